"""What a simulation is told to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ropewalk_deploy.simulation.markets import TONES

_FRACTIONS = (
    *("duplicates", "lost", "reordered", "vanish", "lost_clocks", "long", "short"),
    *("late_rewards", "handovers", "token_ids", "resolved", "corrected", "reviewed"),
)


class SimulationError(Exception):
    """A simulation cannot be run as asked, or did not end; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """A simulation. Fractions are of trajectories unless said otherwise.

    Args:
        ledger: Folder for the truth ledger, one file per process; made if it is not there.
        run: Goes into every id; a run must not be repeated on the same topics.
        events: Target of the whole run; trajectories open at that point are wound up. Or give
            `trajectories`, the number of trajectories of the whole run.
        agents: Per process.
        rate: Events per second of the whole run; 0 is full speed.
        scenarios: Weight of each scenario.
        duplicates: Fraction of events sent again, byte for byte.
        lost: Fraction of events that never leave their process, as when its queue is full.
        reordered: Fraction of writers whose events arrive late, behind those of other writers.
        vanish: Agents that die without an end.
        deaths: Processes that die half-way by `os._exit`; every second one comes back and resumes
            what was open as another writer, the others never do.
        pause_s: A silent gap half-way through each process.
        lost_clocks: Agents whose clock is hours off, or jumps.
        long: Trajectories of hundreds of steps; of `long_steps` when that is given.
        short: Trajectories of one to three steps.
        late_rewards: Trajectories rewarded after they have ended.
        handovers: Trajectories that a child writer works on too.
        resolved: Markets whose outcome becomes known after all have played; the rest never.
        corrected: Of those, the ones whose first outcome was wrong.
        reviewed: Late rewards that a human corrects after all have played, some of them twice.
        rounds: In how many rounds that becomes known, chance deciding what in which.
        hours_behind: How far simulated time is behind ours, so that outcomes come hours later.
        token_ids: Trajectories whose calls carry token ids and log-probabilities.
        stall_s: A broker that acknowledges nothing for so long ends the run.
    """

    ledger: Path
    run: str
    seed: int = 1
    processes: int = 4
    agents: int = 4
    events: int = 10_000
    trajectories: int | None = None
    rate: float = 0.0
    project: str | None = None
    scenarios: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TONES, 1.0))
    duplicates: float = 0.01
    lost: float = 0.0
    reordered: float = 0.0
    vanish: float = 0.02
    deaths: int = 0
    pause_s: float = 0.0
    lost_clocks: float = 0.03
    long: float = 0.02
    long_steps: int | None = None
    short: float = 0.25
    late_rewards: float = 0.2
    handovers: float = 0.05
    token_ids: float = 0.1
    resolved: float = 0.0
    corrected: float = 0.2
    reviewed: float = 0.0
    rounds: int = 1
    hours_behind: float = 0.0
    stall_s: float = 20.0

    def __post_init__(self) -> None:
        for name in _FRACTIONS:
            _check(0 <= getattr(self, name) <= 1, f"{name} is a fraction, from 0 to 1")
        for name in ("processes", "agents", "events", "trajectories", "rounds"):
            count = getattr(self, name)
            _check(count is None or count >= 1, f"{name} is at least 1")
        for name in ("rate", "pause_s", "deaths", "hours_behind"):
            _check(getattr(self, name) >= 0, f"{name} is at least 0")
        _check(self.long + self.short <= 1, "long and short together are at most 1")
        _check(self.deaths <= self.processes, "at most every process can die")
        unknown, weights = set(self.scenarios) - set(TONES), self.scenarios.values()
        _check(not unknown, f"unknown scenarios {sorted(unknown)}; known are {sorted(TONES)}")
        _check(
            min(weights, default=-1) >= 0 and any(weights), "one scenario needs a weight above 0"
        )


def _check(holds: bool, rule: str) -> None:
    if not holds:
        msg = f"simulate: {rule}"
        raise SimulationError(msg)
