"""What came of one run of a fault."""

from dataclasses import dataclass, field


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


def failed(fault: str, seed: int, error: Exception) -> Fought:
    """A run that did not come to its checks: a problem like any other."""
    problem = f"{type(error).__name__}: {error}"
    return Fought(fault, seed, 0, 0, 0, 1, 0.0, [problem])
