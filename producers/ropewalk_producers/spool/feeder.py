"""Feeds records of segments to Kafka in order, again after a failure, and settles what arrived."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ropewalk_producers.errors import QueueFullError, UnsendableError
from ropewalk_producers.publisher import Delivery, Listener, Publisher
from ropewalk_producers.spool.format import Damage, Record
from ropewalk_producers.spool.segment import Segment
from ropewalk_producers.spool.window import Window

WINDOW_EVENTS = 10_000
WINDOW_BYTES = 32 * 1024 * 1024
RETRY_S = 1.0
_A_STEP = 200  # records loaded before the other duties of the thread have their turn


class Entry(NamedTuple):
    """A record on its way, and where it lies; in no segment when the disk could not take it."""

    record: Record
    segment: Segment | None
    begin: int


class Hears(NamedTuple):
    """Who hears what the feeder finds out; all but `wake` are called in its thread.

    Attributes:
        settled: A record was acknowledged, or refused for good.
        failing: A problem, in a sentence.
        finished: All of a segment is settled, and it is deleted or set aside.
        spare: A record that no segment could take, when there is one.
        wake: From any thread: there is something to do.
    """

    settled: Callable[[Entry, Delivery], None]
    failing: Callable[[str], None]
    finished: Callable[[Segment], None]
    spare: Callable[[], Record | None]
    wake: Callable[[], None]


class Feeder:
    """Sends what segments hold: first those left by the dead, then our own, each in order.

    Used by one thread. Records of a key reach the log in order: the inner publisher keeps the order
    of what it is given, a failure sends everything again from the first record not settled, and two
    ordered copies of a sequence, mixed, keep the order of first appearances.

    Attributes:
        own_too: Whether our own records have their turn; until then the dead have theirs.
    """

    def __init__(self, inner: Publisher, hears: Hears) -> None:
        self._inner, self._hears = inner, hears
        self._window: Window[Entry] = Window(WINDOW_EVENTS, WINDOW_BYTES)
        self._left: deque[Segment] = deque()
        self._own: deque[Segment] = deque()
        self._outcomes: deque[tuple[int, Delivery]] = deque()
        self._generation = 0
        self._broken_until: float | None = None
        self.own_too = False
        self._listen()

    @property
    def wants_more(self) -> bool:
        """Whether all that the dead left and it was given is on its way."""
        return all(segment.exhausted for segment in self._left)

    def add(self, segment: Segment) -> None:
        """Send what is in a segment, behind those that were added before."""
        (self._own if segment.own else self._left).append(segment)

    def step(self, now: float) -> bool:
        """Hear what arrived and send what fits; whether there is more to send at once.

        Args:
            now: Seconds of any clock that only goes forward.
        """
        self._settle(now)
        if self._broken_until is not None and now >= self._broken_until:
            self._reopen(now)
        busy = self._broken_until is None and self._feed(now)
        self._tidy()
        return busy

    def close(self) -> list[Record]:
        """Give up; the records that are in no segment and now are nowhere."""
        self._inner.close()
        self._settle(0.0, closing=True)
        self._tidy()
        for segment in (*self._left, *self._own):
            segment.close()
        return [entry.record for entry in self._window.items if entry.segment is None]

    def _listen(self) -> None:
        heard = partial(self._heard, self._generation)
        self._inner.listen(Listener(delivered=heard, failing=self._failing))

    def _heard(self, generation: int, delivery: Delivery) -> None:
        self._outcomes.append((generation, delivery))
        self._hears.wake()

    def _failing(self, problem: str, _fatal: bool) -> None:
        self._hears.failing(problem)  # after a fatal one, the next record finds out and reopens

    def _settle(self, now: float, *, closing: bool = False) -> None:
        while self._outcomes:
            generation, delivery = self._outcomes.popleft()
            if delivery.error is None:
                self._settled(int(delivery.event_id), delivery)
            elif generation == self._generation and not closing:
                self._failed(delivery, now)

    def _settled(self, token: int, delivery: Delivery) -> None:
        entry = self._window.settle(token)
        if entry is not None:
            if entry.segment is not None:
                entry.segment.owed -= 1
            self._hears.settled(entry, delivery)

    def _failed(self, delivery: Delivery, now: float) -> None:
        is_broken = self._broken_until is not None
        if delivery.lasting and self._window.alone and not is_broken:
            self._settled(int(delivery.event_id), delivery)
            self._broken_until = now
            return
        if delivery.lasting:
            self._window.again(singly=True)
        if not is_broken:
            self._break(str(delivery.error), now)

    def _break(self, problem: str, now: float) -> None:
        """Send nothing until the connection is made anew."""
        self._broken_until = now + RETRY_S
        self._hears.failing(f"the spool sends again what Kafka did not take: {problem}")

    def _reopen(self, now: float) -> None:
        self._inner.close()
        self._settle(now)
        self._broken_until = None
        self._inner = self._inner.reopened()
        self._generation += 1
        self._window.again(singly=False)
        self._listen()

    def _feed(self, now: float) -> bool:
        n_loaded = 0
        while self._broken_until is None:
            found = self._window.next()
            if found is None:
                if self._window.has_unsent:
                    return False
                if n_loaded >= _A_STEP or not self._window.has_room or not self._load():
                    return n_loaded >= _A_STEP
                n_loaded += 1
                continue
            token, entry = found
            try:
                self._inner.publish(entry.record.key, entry.record.value, str(token))
            except QueueFullError:
                return False  # an acknowledgement will wake us
            except UnsendableError as error:
                self._break(str(error), now)
            else:
                self._window.sent()
        return False

    def _load(self) -> bool:
        """Take the next record into the window; False when there is none."""
        for segment in (*self._left, *(self._own if self.own_too else ())):
            while not segment.exhausted:
                found = segment.take()
                if found is None:
                    break
                if type(found) is Damage:
                    continue
                segment.owed += 1
                self._add(Entry(found.record, segment, found.begin))
                return True
        spare = self._hears.spare() if self.own_too else None
        if spare is None:
            return False
        self._add(Entry(spare, None, 0))
        return True

    def _add(self, entry: Entry) -> None:
        self._window.add(entry, len(entry.record.value))

    def _tidy(self) -> None:
        """Mark how far all is settled, and delete what is settled whole."""
        first = self._window.first
        for queue in (self._left, self._own):
            while queue and queue[0].exhausted and not queue[0].owed:
                self._finish(queue.popleft())
            if queue and first is not None and first.segment is queue[0]:
                queue[0].mark(first.begin)
            elif queue and not queue[0].owed:
                queue[0].mark(queue[0].read)

    def _finish(self, segment: Segment) -> None:
        try:
            segment.remove()
        except OSError as error:
            self._hears.failing(f"the spool cannot delete {segment.path}: {error}")
        self._hears.finished(segment)
