"""`ropewalk up` on a database that outlived its log says so, instead of letting sinks fail."""

from pathlib import Path

import pytest

from ropewalk_deploy.commands import stack as module
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import Bounds
from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.topics import PROGRESS
from ropewalk_sinks.postgres_reads import StoredOffset

STACK = Stack("k:1", "postgresql://x", Path("/p"), Path("/home/me"), {}, Path("/var/lib/data"))


class Log:
    """A log whose partitions all end at 10."""

    def __init__(self, _servers: str) -> None: ...

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None: ...

    def bounds(self, _topic: str, _partition: int) -> Bounds:
        return Bounds(0, 10)


def check(monkeypatch: pytest.MonkeyPatch, *stored: StoredOffset) -> None:
    monkeypatch.setattr(module, "LogScanner", Log)
    monkeypatch.setattr(module, "stored_offsets", lambda _dsn: stored)
    module._check_same_log(STACK)


def test_a_database_of_this_log_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch)
    check(monkeypatch, StoredOffset("postgres", PROGRESS.name, 0, 10))
    check(monkeypatch, StoredOffset("postgres", "of another generation", 0, 99))


def test_a_database_that_outlived_its_log_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match=r"up to offset 11.*ends at 10.*delete /var/lib/data"):
        check(monkeypatch, StoredOffset("postgres", PROGRESS.name, 0, 11))
