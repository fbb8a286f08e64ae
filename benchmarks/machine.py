"""The machine and the software a result was measured on."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import psutil

ROOT = Path(__file__).parents[1]
PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "msgspec")
_POM = {"": "http://maven.apache.org/POM/4.0.0"}


def describe_machine() -> dict[str, str]:
    """What to know before comparing figures; each a short text."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(terse=True),
        "python": sys.version.split()[0],
        "kafka": f"Apache Kafka {_kafka()}, one broker, same machine",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "commit": _commit(),
    }


def load() -> float:
    """Processes running or waiting, over the last minute: what else the machine does."""
    return os.getloadavg()[0]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _kafka() -> str:
    pom = ROOT / "deploy" / "kafka" / "pom.xml"
    dependencies = ElementTree.parse(pom).iterfind(".//dependency", _POM)  # noqa: S314 - our file
    return next((d.findtext("version", "", _POM) for d in dependencies), "of unknown version")


def _commit() -> str:
    try:
        head = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return f"{head}, with uncommitted changes" if changed else head


def _git(*arguments: str) -> str:
    asked = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return asked.stdout.strip()
