"""Ids of judgments and rewards: functions of what is judged, how and by whom. Pure."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from ropewalk_schemas.encoding import canonical_json
from ropewalk_sinks.judging.model import Member

_NAMESPACE = UUID("8f1d6f0e-52a5-5b7e-9f0c-3c1d0c1f7a44")


def judgment_id(members: Sequence[Member], *, rubric: str, model: str) -> str:
    """The id of the judgment of these members, in whatever order, by a rubric version and model."""
    said = canonical_json([sorted(list(member) for member in members), rubric, model])
    return str(uuid5(_NAMESPACE, said.decode()))


def refusal_number(judgment: str, at: datetime) -> int:
    """A number for the refusal of a moment, below 2**53: refusals of any database differ."""
    return uuid5(UUID(judgment), at.isoformat()).int >> 75


def reward_id(judgment: str, member: Member) -> str:
    """The id of the reward that a judgment gives to one of its members."""
    return str(uuid5(UUID(judgment), canonical_json(list(member)).decode()))
