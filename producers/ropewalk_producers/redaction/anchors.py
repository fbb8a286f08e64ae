"""Whether a text can hold a secret at all: one quick search for what any pattern must find."""

import re
from collections.abc import Iterable

from ropewalk_schemas.encoding import to_json

# Of an event's bytes, the commonest first; what is not here is rarer still.
_COMMON = ' e"taoinsrhldcumfpgw0123456789:,ybvkxjqTSAI.-_OCNRLDPMBFHGUWVYEKXJQZ/=@z'


class Anchors:
    """What one of some patterns must find: one of its anchors."""

    def __init__(self, anchors: Iterable[str]) -> None:
        pattern = _any_of(sorted(set(anchors))) or "(?!)"
        self._in_text = re.compile(pattern).search
        self._in_json = re.compile(pattern.encode()).search

    def may_be_in(self, text: str) -> bool:
        """Whether a pattern may find something."""
        return self._in_text(text) is not None

    def may_be_in_any_of(self, value: object) -> bool:
        """Whether a pattern may find something in any text of plain data, also in an escaped one.

        Raises:
            UnicodeEncodeError: If a text holds half a surrogate pair.
        """
        data = to_json(value)
        return b"\\\\" in data or self._in_json(data) is not None


def _any_of(anchors: list[str]) -> str:
    """A pattern that looks closer only where the rarest character of an anchor stands."""
    around: dict[str, list[str]] = {}
    for anchor in anchors:
        i = max(range(len(anchor)), key=lambda at: _rarity(anchor[at]))
        before, after = re.escape(anchor[: i + 1]), re.escape(anchor[i + 1 :])
        around.setdefault(anchor[i], []).append(f"(?<={before}){after}")
    return "|".join(f"{re.escape(rare)}(?:{'|'.join(looks)})" for rare, looks in around.items())


def _rarity(character: str) -> int:
    found = _COMMON.find(character)
    return len(_COMMON) if found < 0 else found
