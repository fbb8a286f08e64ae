"""Kafka's jars, fetched by Maven and kept in the home."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ropewalk_deploy.stack.errors import MissingProgramError, ServerError
from ropewalk_deploy.stack.locking import exclusive
from ropewalk_deploy.stack.processes import Progress

# In a checkout beside the package; in an installed package, which has no such folder, inside it.
POMS = (
    Path(__file__).parents[2] / "kafka" / "pom.xml",
    Path(__file__).parent / "pom.xml",
)
FETCH_TIMEOUT_S = 900


def ensure_jars(libs: Path, *, java: Path, progress: Progress) -> None:
    """Fill `libs` with the jars of the pom, unless they are there already.

    Raises:
        MissingProgramError: If Maven is needed and missing, or the pom is.
        ServerError: If Maven fails.
    """
    pom = _pom()
    stamp = libs / "pom.sha256"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    # Jars of an older pom would stay on the class path.
    shutil.rmtree(libs, ignore_errors=True)
    progress("Kafka: fetching its jars with Maven (43 MB, once)")
    # Homes have locks of their own, yet share Maven's repository: one fills it at a time.
    with exclusive(Path(tempfile.gettempdir()) / f"ropewalk-maven-{os.getuid()}.lock", progress):
        _fetch(pom, libs, java=java)
    stamp.write_text(digest)


def _pom() -> Path:
    for path in POMS:
        if path.exists():
            return path
    msg = (
        "The list of Kafka's jars (pom.xml) is not part of this installation of Ropewalk. "
        "Run `ropewalk` from a checkout of its repository, or install it anew."
    )
    raise MissingProgramError(msg)


def _fetch(pom: Path, libs: Path, *, java: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        msg = (
            "Kafka's jars are fetched by Maven, and `mvn` is not on the PATH. "
            "Install it (`apt-get install maven`, `brew install maven`) and try again."
        )
        raise MissingProgramError(msg)
    # Maven finds the machine's Java by itself, which also trusts the machine's own certificates.
    with_java = [] if shutil.which("java") else ["env", f"JAVA_HOME={java.parents[1]}"]
    command = [
        *with_java,
        maven,
        *("--quiet", "--batch-mode", "-Dstyle.color=never", "--file", str(pom)),
        *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"),
    ]
    try:
        run = subprocess.run(  # noqa: S603 - the arguments are paths of our own
            command,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"Maven did not fetch Kafka's jars within {FETCH_TIMEOUT_S} s; check the network."
        raise ServerError(msg) from error
    if run.returncode != 0:
        lines = run.stdout.strip().splitlines()
        # Maven says first what is wrong, then at length how to ask it for more.
        telling = [line for line in lines if line.startswith("[ERROR]")] or lines
        said = "\n  ".join(telling[:5])
        msg = (
            "Maven could not fetch Kafka's jars. Check the network (certificates, and the proxy "
            f"or mirror in Maven's settings.xml) and try again. Maven said:\n  {said}"
        )
        raise ServerError(msg)
