"""One engine driven by hand: send, wait, look at what it gives; restart it at will."""

from tests.support.events import T0_MS, event_record, settings_record, tick_record

from ropewalk_schemas.events import LifeEvent, Reward
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.published import REWARD_KIND, TRAJECTORY_KIND
from ropewalk_schemas.quarantine import Headers, Quarantined, from_record
from ropewalk_schemas.topics import KIND_HEADER, QUARANTINE
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
from ropewalk_stream_processors.trajectory import account
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord, Output

PLACE = Place("agent-events", 0, "engine-1")

SETTLE_MS, IDLE_MS, DURATION_MS, WINDOW_S, KEEP_MS = 1_000, 10_000, 60_000, 3600, 120_000


def limits(**changes: int) -> Limits:
    """Limits that a test can wait for."""
    given = {
        "settle_ms": SETTLE_MS,
        "idle_ms": IDLE_MS,
        "duration_ms": DURATION_MS,
        "window_s": WINDOW_S,
    }
    return Limits(**given | changes)


def some_settings(**changes: int) -> Settings:
    """Settings whose default limits are `limits`; `cap_ms` lets any step of a test pass."""
    outer = {
        name: changes.pop(name) for name in ("keep_ms", "cap_ms", "future_ms") if name in changes
    }
    given = {"keep_ms": KEEP_MS, "cap_ms": 10**9} | outer
    return Settings(default=limits(**changes), **given)  # type: ignore[arg-type] # no `projects`


class Bench:
    """An engine, the log it read and all it gave.

    Args:
        settings: Settings in force at the log's begin.
    """

    def __init__(self, settings: Settings | None = None, *, n_partitions: int = 1) -> None:
        self.settings = settings or some_settings()
        self.n_partitions = n_partitions
        self.now_ms = T0_MS
        self.log: list[InputRecord] = []
        self.given: list[Output] = []
        self.engine = self._restored(None)

    def _restored(self, progress: Progress | None, poison: frozenset[int] = frozenset()) -> Engine:
        return account.restore(
            progress,
            PLACE,
            n_partitions=self.n_partitions,
            initial=self.settings,
            poison=poison,
        )

    # -- what comes in

    def send(self, *events: LifeEvent | Reward, after_ms: int = 0) -> int:
        """Append events; gives the last one's offset. `after_ms` passes before the first."""
        self.now_ms += after_ms
        for event in events:
            self.append(event_record(event, len(self.log), self.now_ms))
        return len(self.log) - 1

    def append(self, record: InputRecord) -> int:
        """Append a record as it is, at the next offset."""
        record = record._replace(offset=len(self.log))
        self.log.append(record)
        self._apply(record)
        return record.offset

    def value(self, value: bytes | None, key: bytes | None = b"t-1", headers: Headers = ()) -> int:
        """Append any bytes."""
        return self.append(InputRecord(0, self.now_ms, key, value, headers))

    def wait(self, ms: int) -> None:
        """Let time pass: a tick tells of it."""
        self.now_ms += ms
        self.append(tick_record(0, self.now_ms))

    def change(self, settings: Settings) -> int:
        """Append a settings record."""
        return self.append(settings_record(settings, 0, self.now_ms))

    def _apply(self, record: InputRecord) -> None:
        self.engine.apply(record)
        self.given += self.engine.outputs
        self.engine.outputs = []

    # -- what comes out

    def parts(self, trajectory_id: str | None = None) -> list[Trajectory]:
        """The parts published so far."""
        rows = [
            Trajectory.model_validate_json(output.value or b"")
            for output in self.given
            if output.headers == ((KIND_HEADER, TRAJECTORY_KIND),)
        ]
        return [row for row in rows if trajectory_id in (None, row.trajectory_id)]

    def part(self) -> Trajectory:
        """The only part published so far."""
        (row,) = self.parts()
        return row

    def reasons(self) -> list[str]:
        """Why each part was closed, in order."""
        return [row.close_reason for row in self.parts()]

    def ledger(self) -> list[LedgerEntry]:
        """The ledger entries passed on so far."""
        return [
            LedgerEntry.model_validate_json(output.value or b"")
            for output in self.given
            if output.headers == ((KIND_HEADER, REWARD_KIND),)
        ]

    def refused(self) -> list[Quarantined]:
        """What was quarantined so far."""
        return [
            from_record(output.key, output.value, output.headers)
            for output in self.given
            if output.topic == QUARANTINE.name
        ]

    def why_refused(self) -> list[str]:
        """The reasons of what was quarantined so far."""
        return [record.reason for record in self.refused()]

    def account(self) -> Progress:
        """The account as of now, which balances."""
        progress = account.capture(self.engine, worker="w")
        assert progress.counts.balanced(open_events=progress.open_events)
        return progress

    # -- restarts

    def restart(self, progress: Progress | None = None, *, poison: tuple[int, ...] = ()) -> None:
        """Go on in a new engine, restored from the newest (or that) account as it travels."""
        written = (progress or self.account()).model_dump_json()
        restored = Progress.model_validate_json(written)
        self.engine = self._restored(restored, frozenset(poison))
        for record in self.log[restored.replay_offset :]:
            self._apply(record)

    @property
    def open(self) -> list[str]:
        """Ids of the live trajectories."""
        return sorted(self.engine.lives)
