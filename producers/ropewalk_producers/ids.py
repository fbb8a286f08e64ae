"""Ids of events: fresh UUIDv7 for live agents, derived and stable ones for importers."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

NewId = Callable[[], str]


class EventIds(Protocol):
    """Where the ids of one trajectory's events come from."""

    def event_id(self, trajectory_id: str, writer: str, seq: int) -> str:
        """The id of the event that is `seq` of this writer."""
        ...

    def reward_id(self, trajectory_id: str, name: str, n: int) -> str:
        """The id of the n-th reward of that name this trajectory object records, from 0."""
        ...


def uuid7() -> str:
    """A UUID of version 7 as text: 48 bits of Unix milliseconds, then 74 random bits."""
    ms = time.time_ns() // 1_000_000
    rest = int.from_bytes(os.urandom(10))
    value = (ms & 0xFFFF_FFFF_FFFF) << 80 | rest
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class FreshIds:
    """A new id each time."""

    new_id: NewId = uuid7

    def event_id(self, trajectory_id: str, writer: str, seq: int) -> str:
        """A new id."""
        return self.new_id()

    def reward_id(self, trajectory_id: str, name: str, n: int) -> str:
        """A new id."""
        return self.new_id()


@dataclass(frozen=True, slots=True)
class DerivedIds:
    """Ids that are a function of what they name (UUIDv5), so that an import can be repeated."""

    namespace: UUID

    def of(self, *parts: str | int) -> str:
        """The id of anything an importer must name: a trajectory, a writer, a call."""
        return str(uuid5(self.namespace, json.dumps(parts)))

    def event_id(self, trajectory_id: str, writer: str, seq: int) -> str:
        """The id of the event that is `seq` of this writer."""
        return self.of("event", trajectory_id, writer, seq)

    def reward_id(self, trajectory_id: str, name: str, n: int) -> str:
        """The same for every writer: who resumes a trajectory names its rewards' ids itself."""
        return self.of("reward", trajectory_id, name, n)


def derived_ids(namespace: str) -> DerivedIds:
    """Ids of one import; equal namespaces give equal ids.

    >>> derived_ids("tau").event_id("t1", "w1", 0) == derived_ids("tau").event_id("t1", "w1", 0)
    True
    """
    return DerivedIds(uuid5(NAMESPACE_URL, f"ropewalk:{namespace}"))
