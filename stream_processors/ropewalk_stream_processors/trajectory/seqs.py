"""Which seqs of one writer have been seen: ranges for earlier parts, event ids for the open one."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]  # first and last seq, both included


class Seqs:
    """The seqs of one writer.

    Args:
        earlier: Ranges of seqs in parts already cut, sorted and disjoint. Their event ids are
            forgotten: the same (writer, seq) again is a duplicate whatever its id.
    """

    __slots__ = ("_n_earlier", "count", "earlier", "now")

    def __init__(self, earlier: Iterable[Range] = (), count: int | None = None) -> None:
        self.earlier: list[Range] = list(earlier)
        self.now: dict[int, str] = {}
        self.count = count
        self._n_earlier = sum(last - first + 1 for first, last in self.earlier)

    def event_id(self, seq: int) -> str | None:
        """The id seen with a seq: None when unseen, ``""`` when an earlier part has it."""
        known = self.now.get(seq)
        return known if known is not None else "" if self._was_cut(seq) else None

    def _was_cut(self, seq: int) -> bool:
        at = bisect_right(self.earlier, (seq, 1 << 62)) - 1
        return at >= 0 and self.earlier[at][0] <= seq <= self.earlier[at][1]

    def all_there(self) -> bool:
        """Whether the count is known and every seq below it has been seen."""
        if self.count is None or self._n_earlier + len(self.now) < self.count:
            return False
        if max(self.now, default=-1) < self.count and self.last_earlier() < self.count:
            return self._n_earlier + len(self.now) == self.count
        return not any(True for _ in gaps(self.seen(), 0, self.count - 1))

    def last_earlier(self) -> int:
        """The largest seq of earlier parts, -1 when there is none."""
        return self.earlier[-1][1] if self.earlier else -1

    def seen(self) -> list[Range]:
        """All seqs seen, as ranges."""
        return merged([*self.earlier, *ranges(self.now)])

    def cut(self) -> None:
        """The open part was cut: its seqs join the earlier ones, its event ids are forgotten."""
        if self.now:
            self.earlier = self.seen()
            self._n_earlier += len(self.now)
            self.now = {}


def ranges(seqs: Iterable[int]) -> list[Range]:
    """Seqs as sorted, disjoint ranges."""
    return merged((seq, seq) for seq in seqs)


def merged(parts: Iterable[Range]) -> list[Range]:
    """Ranges sorted, with neighbours joined."""
    out: list[Range] = []
    for first, last in sorted(parts):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return out


def gaps(covered: Iterable[Range], first: int, last: int) -> Iterator[Range]:
    """What of ``[first, last]`` sorted, disjoint ranges leave out."""
    for begin, end in covered:
        if begin > last:
            break
        if first < begin:
            yield first, begin - 1
        first = max(first, end + 1)
    if first <= last:
        yield first, last
