"""The servers that a benchmark runs on, and what its commands share."""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ropewalk_deploy.config import HOME
from ropewalk_deploy.stack.local import describe, down, up
from ropewalk_deploy.stack.model import Stack


@contextmanager
def servers() -> Iterator[Stack]:
    """The stack of ROPEWALK_HOME, or one of its own; left as it was found."""
    chosen = os.environ.get(HOME)
    if chosen:
        home = Path(chosen)
        before = describe(home)
        try:
            yield up(home, _say)
        finally:
            if before is None or not before.is_running:
                down(home, _say)
        return
    with tempfile.TemporaryDirectory(prefix="ropewalk-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # the database server's user must get in when run as root
        try:
            yield up(home, _say)
        finally:
            down(home, _say)


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def at_least_1(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = f"{text} is less than 1"
        raise argparse.ArgumentTypeError(msg)
    return number
