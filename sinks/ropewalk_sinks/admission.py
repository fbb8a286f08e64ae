"""Whether what comes in is new, already held, in conflict with what is held, or erased. Pure.

Both sinks ask here, so that they take the same decisions and hold the same rows. A final part is
never replaced: a life sent again whole, perhaps cut differently, is a conflict from the first part
that differs.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol

from ropewalk_schemas.encoding import canonical_json, parse_json
from ropewalk_schemas.published import raw_json
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.trajectory import LedgerEntry
from ropewalk_schemas.windows import to_micros
from ropewalk_sinks.erasure import Erasures, named_by

# Where and when the log took an entry is not what it says: the same reward sent again differs here.
_NOT_CONTENT = frozenset(
    {"type", "schema_version", "recorded_at", "source_partition", "source_offset"}
)
_PLAIN = tuple(LedgerEntry.model_fields.keys() - _NOT_CONTENT - {"metadata", "occurred_at"})


class HeldPart(NamedTuple):
    """What a sink must remember of a stored part."""

    content_hash: str
    last: bool


class IncomingPart(Protocol):
    """What admission needs of a part; a decoded `Trajectory` has it."""

    @property
    def trajectory_id(self) -> str: ...  # noqa: D102
    @property
    def agent_id(self) -> str: ...  # noqa: D102
    @property
    def project(self) -> str: ...  # noqa: D102
    @property
    def part(self) -> int: ...  # noqa: D102
    @property
    def last(self) -> bool: ...  # noqa: D102
    @property
    def content_hash(self) -> str: ...  # noqa: D102
    @property
    def previous_hash(self) -> str: ...  # noqa: D102


class Conflict(NamedTuple):
    """Not to be stored; `detail` is a sentence for a person."""

    detail: str


Verdict = Literal["new", "duplicate", "erased"] | Conflict


def admit(held: Mapping[int, HeldPart], part: IncomingPart) -> Verdict:
    """Whether a part fits what is held of its trajectory.

    A partition is read in order, and no part is published before the one it follows. So a part
    whose predecessor is not held will never fit: its predecessor was refused, or belongs to
    another output generation.

    Args:
        held: The stored parts of the same trajectory, by part number.
        part: The part that comes in.
    """
    same = held.get(part.part)
    if same is not None:
        if same.content_hash == part.content_hash:
            return "duplicate"
        return Conflict(
            f"part {part.part} is already held with content_hash {same.content_hash},"
            f" this one has {part.content_hash}"
        )
    closed = next((number for number, known in held.items() if known.last), None)
    if closed is not None:
        return Conflict(f"part {closed} was the last of this trajectory, yet part {part.part} came")
    expected = _hash_before(held, part.part)
    if expected is None:
        return Conflict(
            f"part {part.part} follows part {part.part - 1}, which is not held:"
            " it was refused, or belongs to another output generation"
        )
    if part.previous_hash != expected:
        return Conflict(
            f"part {part.part} names {part.previous_hash!r} as the hash before it,"
            f" held is {expected!r}"
        )
    return "new"


def _hash_before(held: Mapping[int, HeldPart], part: int) -> str | None:
    """The hash that part must name as the one before it; None if its predecessor is not held."""
    if part == 0:
        return ""
    before = held.get(part - 1)
    return before.content_hash if before else None


def entry_hash(entry: LedgerEntry) -> str:
    """The hash of what a ledger entry says, to be stored with it; 32 hex digits.

    It covers neither `recorded_at` nor the entry's place in the log.
    """
    content = {name: getattr(entry, name) for name in _PLAIN}
    content["occurred_us"] = to_micros(entry.occurred_at)
    content["metadata"] = parse_json(raw_json(entry.metadata) or "{}")
    return blake2b(canonical_json(content), digest_size=16).hexdigest()


def admit_entry(held_hash: str | None, incoming_hash: str, reward_id: str) -> Verdict:
    """Whether a ledger entry fits what is held under its reward_id (None: nothing)."""
    if held_hash is None:
        return "new"
    if held_hash == incoming_hash:
        return "duplicate"
    return Conflict(f"reward {reward_id} is already held with another content; use `supersedes`")


class Admission:
    """Admits the records of one batch in order: later ones see the earlier ones as held.

    Args:
        parts: What is stored of the batch's trajectories, by trajectory_id and part.
        entries: The `entry_hash` stored under the batch's reward_ids.
        erasures: Who is erased; what is found out goes in there too.

    Attributes:
        new_parts: What was admitted, by trajectory_id and part.
        new_entries: The `entry_hash` of what was admitted, by reward_id.
    """

    def __init__(
        self,
        parts: Mapping[str, Mapping[int, HeldPart]],
        entries: Mapping[str, str],
        erasures: Erasures | None = None,
    ) -> None:
        self._erasures = erasures or Erasures()
        self._parts = {trajectory_id: dict(held) for trajectory_id, held in parts.items()}
        self._entries = dict(entries)
        self.new_parts: dict[tuple[str, int], HeldPart] = {}
        self.new_entries: dict[str, str] = {}

    def part(self, part: IncomingPart) -> Verdict:
        """Decide on a part, and hold it if it is new."""
        if self._erasures.has_part(part.trajectory_id, part.agent_id, part.project):
            return "erased"
        held = self._parts.setdefault(part.trajectory_id, {})
        verdict = admit(held, part)
        if verdict == "new":
            new = HeldPart(part.content_hash, part.last)
            held[part.part] = self.new_parts[part.trajectory_id, part.part] = new
        return verdict

    def entry(self, entry: LedgerEntry) -> Verdict:
        """Decide on a ledger entry, and hold it if it is new."""
        if self._erasures.has_trajectory(entry.trajectory_id):
            return "erased"
        incoming = entry_hash(entry)
        verdict = admit_entry(self._entries.get(entry.reward_id), incoming, entry.reward_id)
        if verdict == "new":
            self._entries[entry.reward_id] = self.new_entries[entry.reward_id] = incoming
        return verdict

    def is_erased(self, refused: Quarantined) -> bool:
        """Whether a refused record is of somebody who was erased."""
        return self._erasures.has_refused(named_by(refused))
