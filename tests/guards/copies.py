"""Copies of the working tree, in which a guard may be removed and tests are run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.guards.table import ROOT, Guard
from tests.guards.verdicts import Seen

PACKAGES = ("deploy", "producers", "schemas", "sinks", "stream_processors")
TEST_WITHIN_S = 120
# What pytest would load for every run, and no test of a guard needs: half of its time.
LEFT_OUT = ("--noconftest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")


class RunError(Exception):
    """A run of pytest ended without saying what it saw; the message is what it printed."""


def copy_tree(target: Path) -> None:
    """Copy what git knows, and what it would take, as it lies in the working tree."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others"]
    names = subprocess.check_output([*listing, "--exclude-standard"], text=True).split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if source.is_file():  # one that was deleted is still in the index
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def copy_without(guard: Guard, original: Path, target: Path) -> None:
    """A copy of a copy, with everything compiled there, in which one guard is missing.

    Raises:
        GuardMovedError: If its text is not there exactly once.
    """
    shutil.copytree(original, target, ignore=shutil.ignore_patterns(".hypothesis"))
    path = target / guard.file
    path.write_text(guard.without(path.read_text(encoding="utf-8")), encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()  # its time may be the same to the second


def run_tests(tree: Path, tests: Iterable[str], *, dsn: str = "", run: int = 0) -> Seen:
    """Run tests of a copy, with the packages of that copy; `run` tells runs of one copy apart.

    Raises:
        RunError: If pytest itself fails.
    """
    witness = tree / f".witness-{run}.json"
    command = [
        *(sys.executable, "-m", "pytest", "-q", *LEFT_OUT),
        *("-p", "tests.guards.witness", f"--witness={witness}"),
        *(("-p", "tests.guards.postgres", f"--postgres={dsn}") if dsn else ()),
        *(f"--timeout={TEST_WITHIN_S}", *tests),
    ]
    ran = subprocess.run(
        command, cwd=tree, env=_environment(tree), capture_output=True, text=True, check=False
    )
    if not witness.exists():
        raise RunError(f"{ran.stdout[-1500:]}\n{ran.stderr[-1500:]}".strip())
    return Seen.model_validate(json.loads(witness.read_bytes()) | {"root": tree})


def _environment(tree: Path) -> dict[str, str]:
    """Ours, with the copy's packages before those that are installed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ROPEWALK_")}
    paths = [tree, *(tree / package for package in PACKAGES)]
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
