"""What is on its way: items sent in order, some not settled yet, and which to send next."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Window(Generic[Item]):
    """Items by token, in the order they were added; a token is never used twice."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items, self._max_bytes = max_items, max_bytes
        self._items: OrderedDict[int, tuple[Item, int]] = OrderedDict()
        self._unsent: deque[int] = deque()
        self._bytes = 0
        self._next_token = 0
        self._singly_below = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def has_room(self) -> bool:
        """Whether another item may be added."""
        return len(self._items) < self._max_items and self._bytes < self._max_bytes

    @property
    def has_unsent(self) -> bool:
        """Whether items wait to be sent."""
        return bool(self._unsent)

    @property
    def first(self) -> Item | None:
        """The oldest item not settled."""
        return next(iter(self._items.values()))[0] if self._items else None

    @property
    def items(self) -> list[Item]:
        """All items not settled, oldest first."""
        return [item for item, _ in self._items.values()]

    @property
    def alone(self) -> bool:
        """Whether the oldest item is one that is sent alone."""
        return bool(self._items) and next(iter(self._items)) < self._singly_below

    def add(self, item: Item, size: int) -> None:
        """Take an item, to be sent after all others."""
        self._items[self._next_token] = (item, size)
        self._unsent.append(self._next_token)
        self._next_token += 1
        self._bytes += size

    def next(self) -> tuple[int, Item] | None:
        """The item to send now; None when there is none, or it must wait to be alone."""
        if not self._unsent or (self.alone and len(self._items) > len(self._unsent)):
            return None
        token = self._unsent[0]
        return token, self._items[token][0]

    def sent(self) -> None:
        """What `next` gave is on its way."""
        self._unsent.popleft()

    def settle(self, token: int) -> Item | None:
        """Forget an item; None when it was settled before."""
        found = self._items.pop(token, None)
        if found is None:
            return None
        item, size = found
        self._bytes -= size
        if token in self._unsent:  # acknowledged after all, while it waits to be sent again
            self._unsent.remove(token)
        return item

    def again(self, *, singly: bool) -> None:
        """Send all that is not settled once more, in order.

        With `singly`, each is sent when the last is settled: alone, an item cannot fail for what
        another in its batch did.
        """
        self._unsent = deque(self._items)
        if singly:
            self._singly_below = self._next_token
