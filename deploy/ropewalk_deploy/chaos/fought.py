"""What came of one run of a fault."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ropewalk_deploy.audit.checks import Check


@dataclass(frozen=True, slots=True)
class Fought:
    """What came of one run.

    Args:
        events: Acknowledged to agents.
        lost: Of those, the ones that are nowhere.
        duplicated: Events in two parts, and parts or rewards that are stored twice.
        wrong: Checks that failed, and things noted that must not be.
        recover_s: From the end of the fault until all sent by then was assembled and stored.
        problems: Each of `wrong` in words.
        seconds: The whole run, checks included.
        version: Of the code that was tested.
        told: Losses that the fault must bring about, and what was said of them, by name.
    """

    fault: str
    seed: int
    events: int
    lost: int
    duplicated: int
    wrong: int
    recover_s: float
    problems: list[str]
    seconds: float = 0.0
    version: str = ""
    told: dict[str, int] = field(default_factory=dict)


def judged(  # noqa: PLR0913 - one argument per thing that came of it
    fault: str,
    seed: int,
    checks: Iterable[Check],
    notes: Sequence[str],
    *,
    events: int,
    recover_s: float,
    lost: int = 0,
    told: Mapping[str, int] | None = None,
) -> Fought:
    """What the checks of a run say; `lost` is what was found lost besides."""
    wrong = [check for check in checks if not check.ok]
    n_wrong = {check.name: check.n_wrong for check in wrong}
    in_two_parts = n_wrong.get("ledger: no event is in two parts", 0)
    stored_twice = sum(line.endswith("times") for check in wrong for line in check.wrong)
    return Fought(
        fault=fault,
        seed=seed,
        events=events,
        lost=lost + n_wrong.get("ledger: acknowledged events are in the result", 0),
        duplicated=in_two_parts + stored_twice,
        wrong=len(wrong) + len(notes),
        recover_s=round(recover_s, 1),
        problems=[*(f"{c.name}: {c.wrong[:3] or c.detail}" for c in wrong), *notes],
        told=dict(told or {}),
    )


def failed(fault: str, seed: int, error: Exception) -> Fought:
    """A run that did not come to its checks: a problem like any other."""
    problem = f"{type(error).__name__}: {error}"
    return Fought(fault, seed, 0, 0, 0, 1, 0.0, [problem])
