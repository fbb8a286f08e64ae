"""Each distinct set of tools of a part, once."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from ropewalk_schemas.encoding import canonical_json, parse_json


class ToolSets:
    """The distinct tools arrays, in order of first use; layout of the JSON does not matter."""

    def __init__(self) -> None:
        self.sets: list[list[Any]] = []
        self._by_bytes: dict[tuple[bytes, ...], int] = {}
        self._by_digest: dict[bytes, int] = {}

    def position(self, tools: Sequence[Any]) -> int | None:
        """Where these tools (raw JSON objects) are; None when there are none."""
        if not tools:
            return None
        as_given = tuple(bytes(tool) for tool in tools)
        at = self._by_bytes.get(as_given)
        if at is None:
            parsed = canonical_json([parse_json(tool) for tool in as_given])
            digest = blake2b(parsed, digest_size=16).digest()
            at = self._by_digest.setdefault(digest, len(self.sets))
            if at == len(self.sets):
                self.sets.append(list(tools))
            self._by_bytes[as_given] = at
        return at
