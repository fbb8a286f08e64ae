"""Which code was tested."""

import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

ASK_WITHIN_S = 10.0


@cache
def code_version() -> str:
    """The commit of the checkout, "+" when files differ from it; else the package's version."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "--short", "HEAD")
    is_ours = commit and _git(folder, "ls-files", Path(__file__).name)
    if not is_ours:
        return version("ropewalk")
    return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        asked = subprocess.run(  # noqa: S603 - the arguments are our own
            command, check=False, capture_output=True, text=True, timeout=ASK_WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
