"""How every program of ours proves to Kafka who it is, and how it knows Kafka.

The settings are ``ROPEWALK_KAFKA_<NAME>``, the same for all programs. Nothing here knows a client:
`KafkaSecurity` gives librdkafka's names and an `ssl.SSLContext`.
"""

import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn, Self

from pydantic import SecretStr

from ropewalk_schemas.errors import KafkaSecurityError

PREFIX = "ROPEWALK_KAFKA_"
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_NO_SECRET = SecretStr("")
_OF_SASL = ("sasl_mechanism", "username", "password")
_OF_TLS = ("ca_file", "certificate_file", "key_file", "key_password")
_LIBRDKAFKA = {
    "security_protocol": "security.protocol",
    "sasl_mechanism": "sasl.mechanism",
    "username": "sasl.username",
    "password": "sasl.password",
    "ca_file": "ssl.ca.location",
    "certificate_file": "ssl.certificate.location",
    "key_file": "ssl.key.location",
    "key_password": "ssl.key.password",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity:
    """TLS and SASL of a connection to Kafka; checked whole when it is made, files included.

    Attributes:
        security_protocol: One of `PROTOCOLS`.
        sasl_mechanism: One of `MECHANISMS`; for the SASL protocols, with the next two.
        username: Who we are.
        password: Never shown; a plain string is wrapped.
        ca_file: PEM certificates of who signs the brokers'; else the machine's own list counts.
        certificate_file: PEM certificate of ours, where brokers ask for one; with `key_file`.
        key_file: Its PEM key.
        key_password: Of an encrypted key.

    Raises:
        KafkaSecurityError: Naming the setting that is wrong, missing or without effect.
    """

    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    username: str = ""
    password: SecretStr = _NO_SECRET
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password: SecretStr = _NO_SECRET

    def __post_init__(self) -> None:
        for name in ("password", "key_password"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, SecretStr(getattr(self, name)))
        _check_choice("security_protocol", self.security_protocol, PROTOCOLS)
        self._check_sasl()
        self._check_tls()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """What ``ROPEWALK_KAFKA_...`` say; an empty variable says nothing.

        Raises:
            KafkaSecurityError: Naming the variable.
        """
        found = {
            setting.name: environ.get(variable_of(setting.name), "") for setting in fields(cls)
        }
        return cls(**{name: text for name, text in found.items() if text})  # type: ignore[arg-type]

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether we say who we are by name and password."""
        return self.security_protocol.startswith("SASL")

    def librdkafka(self) -> dict[str, str]:
        """The settings by librdkafka's names, secrets in clear; none for an open broker."""
        if self == KafkaSecurity():
            return {}
        return {_LIBRDKAFKA[name]: text for name, text in self._texts().items() if text}

    def ssl_context(self) -> ssl.SSLContext | None:
        """What Python's own TLS needs; None without TLS. Host names are checked.

        Raises:
            KafkaSecurityError: If a file does not hold what its setting says.
        """
        if not self.uses_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ValueError) as error:
            _wrong("ca_file", f"is {self.ca_file}, which holds no PEM certificates ({error})")
        if self.certificate_file:
            password = self.key_password.get_secret_value()
            try:  # given a password, even an empty one, OpenSSL never asks a person for it
                context.load_cert_chain(self.certificate_file, self.key_file, password)
            except (OSError, ValueError) as error:
                problem = (
                    f"is {self.certificate_file}, which does not fit the key in {self.key_file} "
                    f"(ROPEWALK_KAFKA_KEY_FILE, with ROPEWALK_KAFKA_KEY_PASSWORD): {error}"
                )
                _wrong("certificate_file", problem)
        return context

    def _texts(self) -> dict[str, str]:
        """The settings in clear."""
        given = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in given.items()
        }

    def _check_sasl(self) -> None:
        texts = self._texts()
        if not self.uses_sasl:
            _check_unused(texts, _OF_SASL, self.security_protocol, "SASL_SSL")
            return
        for name in _OF_SASL:
            if not texts[name]:
                example = f", one of {', '.join(MECHANISMS)}" if name == "sasl_mechanism" else ""
                _wrong(name, f"is not set; {self.security_protocol} needs it{example}")
        _check_choice("sasl_mechanism", self.sasl_mechanism, MECHANISMS)

    def _check_tls(self) -> None:
        texts = self._texts()
        if not self.uses_tls:
            _check_unused(texts, _OF_TLS, self.security_protocol, "SSL or SASL_SSL")
            return
        for name, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
            if texts[name] and not texts[other]:
                _wrong(other, f"is not set; {variable_of(name)} needs it")
        if texts["key_password"] and not texts["key_file"]:
            _wrong("key_file", f"is not set; {variable_of('key_password')} needs it")
        for name in ("ca_file", "certificate_file", "key_file"):
            path = texts[name]
            if path and not (os.path.isfile(path) and os.access(path, os.R_OK)):
                _wrong(name, f"is {path}, which is not a file that this program may read")
        self.ssl_context()  # what is in the files shows now, and not at the first connection


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def advice(told: str) -> str | None:
    """Which settings to look at, by what a Kafka client tells of a failure; None if none of these.

    `told` is librdkafka's text, which holds no secret.
    """
    if any(sign in told for sign in ("security.protocol", "PLAINTEXT broker", "SSL listener")):
        return "check ROPEWALK_KAFKA_SECURITY_PROTOCOL"
    if "SASL" in told:
        return (
            "check ROPEWALK_KAFKA_USERNAME, ROPEWALK_KAFKA_PASSWORD and "
            "ROPEWALK_KAFKA_SASL_MECHANISM"
        )
    if "SSL" in told or "certificate" in told:
        return (
            "check ROPEWALK_KAFKA_CA_FILE and, if the brokers ask for a certificate, "
            "ROPEWALK_KAFKA_CERTIFICATE_FILE"
        )
    return None


def is_refusal(told: str) -> bool:
    """Whether the broker knows us and says no: asking again with the same settings is in vain."""
    return "SASL authentication error" in told or "Unsupported SASL mechanism" in told


def telling(told: Sequence[str]) -> str:
    """Of what a client told, the text that explains the rest; the last one if none does."""
    refusals = (text for text in told if is_refusal(text))
    explained = (text for text in told if advice(text))
    return next(refusals, next(explained, told[-1]))


def no_answer(bootstrap_servers: str, why: str) -> str:
    """What a person reads when Kafka refuses us, or does not answer; `why` as from `telling`."""
    look = advice(why)
    if is_refusal(why):
        return f"Kafka at {bootstrap_servers} refuses us ({why}): {look}"
    ask = (
        "is it running (`ropewalk up`), and are ROPEWALK_BOOTSTRAP_SERVERS and "
        "ROPEWALK_KAFKA_SECURITY_PROTOCOL right?"
    )
    return f"no answer from Kafka at {bootstrap_servers} ({why}); {look or ask}"


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        _wrong(name, f"is {value!r}; it must be one of {', '.join(choices)}")


def _check_unused(
    texts: Mapping[str, str], names: tuple[str, ...], protocol: str, needed: str
) -> None:
    """What is given and not used is a protocol forgotten: then nothing would be protected."""
    for name in names:
        if texts[name]:
            problem = f"is set, but ROPEWALK_KAFKA_SECURITY_PROTOCOL is {protocol}, which makes no "
            _wrong(name, f"{problem}use of it; it takes {needed}")


def _wrong(name: str, problem: str) -> NoReturn:
    raise KafkaSecurityError(variable_of(name), problem)
