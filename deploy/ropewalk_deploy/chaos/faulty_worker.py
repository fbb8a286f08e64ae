"""A worker whose engine has a bug: ``python -m ropewalk_deploy.chaos.faulty_worker worker``."""

from ropewalk_deploy.__main__ import main
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.records import InputRecord

MARK = "the engine cannot take this"
_MARK = MARK.encode()
_apply = Engine.apply


def _fail_on_mark(self: Engine, record: InputRecord) -> None:
    if record.offset not in self.poison and record.value and _MARK in record.value:
        raise ZeroDivisionError("a bug in the engine")
    _apply(self, record)


if __name__ == "__main__":
    Engine.apply = _fail_on_mark  # type: ignore[method-assign] # the bug
    main()
