"""What a sink says it holds, for those who check it; the same for every sink."""

from typing import NamedTuple


class StoredPart(NamedTuple):
    """Identity and content of a stored part."""

    trajectory_id: str
    part: int
    content_hash: str
    source_partition: int
    n_events: int
    reward: float | None


class StoredReward(NamedTuple):
    """A stored ledger entry and its place in `agent-events`."""

    reward_id: str
    trajectory_id: str
    value: float
    source_partition: int
    source_offset: int


class StoredRefusal(NamedTuple):
    """The place of a refused record in the topic that held it, and why it was refused."""

    topic: str
    partition: int
    offset: int
    reason: str
