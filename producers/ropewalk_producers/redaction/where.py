"""Where a walk through an event stands: for field paths and for the user's function."""

from dataclasses import dataclass

from ropewalk_producers.redaction.paths import ITEM, Key, Rests, onward


@dataclass(frozen=True, slots=True)
class Where:
    """A place of one event or message.

    Attributes:
        place: The field of the contract, without keys that an agent chose.
        path: With them.
        rests: What field paths still ask from here on.
    """

    place: str
    path: str
    rests: Rests

    def field(self, name: str) -> "Where":
        """A field of the contract."""
        path = f"{self.path}.{name}"
        return Where(path, path, onward(self.rests, Key(name)))

    def key(self, name: str, shown: str) -> "Where":
        """A key of an object, and how it is shown."""
        return Where(self.place, f"{self.path}.{shown}", onward(self.rests, Key(name)))

    def item(self) -> "Where":
        """An item of a list."""
        return Where(self.place, f"{self.path}[*]", onward(self.rests, ITEM))

    @property
    def hidden(self) -> bool:
        """Whether a path ends here."""
        return () in self.rests


class _Nowhere(Where):
    """Any place, when nobody asks which; costs nothing."""

    __slots__ = ()

    def field(self, name: str) -> Where:
        return self

    def key(self, name: str, shown: str) -> Where:
        return self

    def item(self) -> Where:
        return self


NOWHERE: Where = _Nowhere("", "", ())
