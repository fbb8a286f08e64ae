"""Where everything stands, looked at again and again: offsets only ever grow."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ropewalk_deploy.audit.checks import MAX_IDS, Check
from ropewalk_deploy.audit.quiet import READ_BY
from ropewalk_deploy.audit.readers import Ends
from ropewalk_deploy.audit.verify import stores
from ropewalk_deploy.chaos.beside import beside
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.topics import AGENT_EVENTS, OUTCOMES, PROGRESS, QUARANTINE, TRAJECTORIES
from ropewalk_sinks.errors import SinkError
from ropewalk_stream_processors.ledger import newer, progress_key

EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Offsets:
    """Ends of the logs, how far the worker and each sink are, and the worker's accounts."""

    ends: Ends
    worker: Ends
    replay: Ends
    sinks: dict[str, Ends]
    accounts: dict[int, Progress] = field(default_factory=dict)

    def done(self, place: tuple[str, int]) -> int:
        """Up to where all that read a partition have come."""
        topic, _ = place
        if topic == AGENT_EVENTS.name:
            return self.worker.get(place, 0)
        readers = [sink for sink, topics in READ_BY.items() if topic in topics]
        return min(self.sinks[sink].get(place, 0) for sink in readers)

    def all(self) -> dict[str, int]:
        """Each number by its name."""
        named = {"worker": self.worker, "replay point": self.replay, **self.sinks}
        return {f"{who} {t}/{p}": n for who, at in named.items() for (t, p), n in at.items()}


class Looker:
    """Looks at one scanner's logs again and again; of the accounts it reads what is new."""

    def __init__(self, places: Endpoints, scanner: LogScanner) -> None:
        self._places, self._scanner = places, scanner
        self._partitions: dict[str, list[int]] = {}
        self._read: dict[int, int] = {}
        self._accounts: dict[int, Progress | None] = {}

    def look(self) -> Offsets:
        """Everything as of now.

        Raises:
            CommandError: If the broker does not answer.
            SinkError: If the database does not.
        """
        self._read_accounts()
        known = {p: account for p, account in self._accounts.items() if account is not None}
        return Offsets(
            ends={
                (topic.name, p): self._scanner.bounds(topic.name, p).end
                for topic in (AGENT_EVENTS, TRAJECTORIES, OUTCOMES, QUARANTINE)
                for p in self._of(topic.name)
            },
            worker={(AGENT_EVENTS.name, p): a.next_offset for p, a in known.items()},
            replay={(AGENT_EVENTS.name, p): a.replay_offset for p, a in known.items()},
            sinks={stored.sink: stored.offsets() for stored in stores(self._places)},
            accounts=known,
        )

    def _of(self, topic: str) -> list[int]:
        if topic not in self._partitions:
            self._partitions[topic] = self._scanner.partitions(topic)
        return self._partitions[topic]

    def _read_accounts(self) -> None:
        for partition in self._of(PROGRESS.name):
            start = self._read.get(partition, 0)
            for record in self._scanner.records(PROGRESS.name, partition, start=start):
                self._read[partition] = record.offset + 1
                if record.key == progress_key(partition):
                    self._accounts[partition] = newer(self._accounts.get(partition), record.value)


@dataclass
class Watched:
    """What was seen to go back."""

    n_looks: int = 0
    back: list[str] = field(default_factory=list)
    _last: dict[str, int] = field(default_factory=dict)

    def look(self, offsets: Offsets) -> None:
        """Compare with the look before."""
        self.n_looks += 1
        for name, number in offsets.all().items():
            if number < self._last.get(name, 0):
                self.back.append(f"{name} went from {self._last[name]} to {number}")
            self._last[name] = number

    def check(self) -> Check:
        """That nothing went back."""
        n = len(self.back)
        return Check("offsets only grow", not n, 0, n, f"{self.n_looks} looks",
                     wrong=self.back[:MAX_IDS], n_wrong=n)  # fmt: skip


@contextmanager
def watching(places: Endpoints) -> Iterator[Watched]:
    """Look every half second, in a thread; servers that do not answer are looked at again."""
    watched = Watched()

    def work(stop: threading.Event) -> None:
        while not stop.wait(EVERY_S):
            try:
                with LogScanner(places.bootstrap_servers) as scanner:
                    looker = Looker(places, scanner)
                    while not stop.wait(EVERY_S):
                        watched.look(looker.look())
            except (CommandError, SinkError, KeyError):
                continue

    with beside(work, name="offsets"):
        yield watched
