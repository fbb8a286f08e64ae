"""What a run of pytest says of a guard: its removal was noticed, was not, or it is unclear."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel
from tests.guards.table import Guard

Result = Literal["noticed", "survived", "unclear"]


class Ended(BaseModel):
    """How one phase of a test ended; `error` is the type of the exception, `says` its message."""

    test: str
    phase: str
    outcome: str
    error: str = ""
    says: str = ""

    def is_failure(self, types: Sequence[str]) -> bool:
        """Whether the test itself failed, by one of these exceptions, and not by a deadline."""
        is_late = self.error == "Failed" and self.says.startswith("Timeout")
        return self.phase == "call" and self.error in types and not is_late


class Seen(BaseModel):
    """What the witness wrote down; `root` is the copy that was to be tested."""

    ended: list[Ended]
    imported: dict[str, str]
    root: Path

    def foreign(self) -> list[str]:
        """Modules of ours that did not come from the copy under test."""
        return [f for f in self.imported.values() if not Path(f).is_relative_to(self.root)]


class Verdict(BaseModel):
    """The outcome of one guard."""

    guard: str
    file: str
    test: str
    result: Result
    says: str
    seconds: float


def judge(guard: Guard, seen: Seen) -> tuple[Result, str]:
    """The result of a run without the guard, and one line that explains it."""
    if why := not_ours(guard, seen):
        return "unclear", why
    bad = [ended for ended in seen.ended if ended.outcome != "passed"]
    otherwise = [ended for ended in bad if not ended.is_failure(guard.failure)]
    if otherwise or not seen.ended:
        return "unclear", _line(otherwise[0]) if otherwise else "no test ran"
    return ("noticed", _line(bad[0])) if bad else ("survived", "the test passes without it")


def not_ours(guard: Guard, seen: Seen) -> str:
    """Why a run proves nothing about the copy; empty when it does."""
    if foreign := seen.foreign():
        return f"imported from elsewhere: {foreign[0]}"
    if not any(name.startswith("ropewalk_") for name in seen.imported):
        return "nothing of ours was imported"
    if guard.module is not None and guard.module not in seen.imported:
        return f"{guard.module} was never imported"
    return ""


def sound(guard: Guard, seen: Seen) -> str:
    """Why a guard's test does not stand on the tree as it is; empty when it does."""
    mine = [e for e in seen.ended if e.test == guard.test or e.test.startswith(f"{guard.test}[")]
    bad = [ended for ended in mine if ended.outcome != "passed"]
    return _line(bad[0]) if bad else "" if mine else "no such test"


def _line(ended: Ended) -> str:
    first = ended.says.strip().partition("\n")[0]
    return f"{ended.phase} {ended.outcome}: {ended.error or 'error'}: {first}"[:200]
