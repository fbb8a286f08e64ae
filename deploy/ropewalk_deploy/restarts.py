"""When a program that died is started again; pure."""

from dataclasses import dataclass

# Exit statuses after which a restart cannot help: a person must change something first.
HOPELESS = frozenset({2, 3})
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
HEALTHY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do: start again after `delay_s`, or give up."""

    give_up: bool
    delay_s: float


def verdict(status: int, *, lived_s: float, n_quick_deaths: int) -> Verdict:
    """What to do about a program that ended.

    Args:
        status: Its exit status; negative for a signal.
        lived_s: How long it lived.
        n_quick_deaths: How many times in a row it died young before, this time not counted.
    """
    if status in HOPELESS:
        return Verdict(give_up=True, delay_s=0.0)
    n = 0 if lived_s >= HEALTHY_AFTER_S else n_quick_deaths
    return Verdict(give_up=False, delay_s=min(FIRST_DELAY_S * 2**n, LONGEST_DELAY_S))
