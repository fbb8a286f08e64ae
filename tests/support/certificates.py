"""A certificate authority of a test's own, and what it signs; made by the `openssl` command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True)
class Certificate:
    """A PEM certificate and its PEM key."""

    certificate: Path
    key: Path

    def both(self) -> str:
        """Key and certificate in one, as Kafka's brokers take them."""
        return self.key.read_text() + self.certificate.read_text()


@dataclass(frozen=True)
class Authority:
    """Signs certificates for 127.0.0.1."""

    own: Certificate

    @property
    def file(self) -> Path:
        """What clients are to trust."""
        return self.own.certificate

    def signed(self, name: str, *, password: str = "") -> Certificate:
        """A certificate for a program of this machine; a password encrypts its key."""
        folder = self.file.parent
        made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
        request, extension = folder / f"{name}.csr", folder / f"{name}.ext"
        extension.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        protection = ("-passout", f"pass:{password}") if password else ("-nodes",)
        _openssl("req", *NEW_KEY, *protection, "-subj", f"/CN={name}",
                 "-keyout", made.key, "-out", request)  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.own.key,
                 "-CAcreateserial", "-days", "2", "-extfile", extension,
                 "-out", made.certificate)  # fmt: skip
        return made


def authority(folder: Path, name: str = "authority") -> Authority:
    """A new authority that keeps everything in a folder."""
    own = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl("req", "-x509", *NEW_KEY, "-nodes", "-days", "2", "-subj", f"/CN=ropewalk test {name}",
             "-keyout", own.key, "-out", own.certificate)  # fmt: skip
    return Authority(own)


def _openssl(*arguments: str | Path) -> None:
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
