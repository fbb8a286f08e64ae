"""The lines of a truth ledger: what was about to be sent, and what Kafka acknowledged."""

from hashlib import sha256
from typing import Any

import msgspec


class SentClaim(msgspec.Struct, gc=False):
    """A bet of a decision."""

    outcome_key: str
    terms: dict[str, Any] = {}


class Intent(msgspec.Struct, tag_field="k", tag="intent", omit_defaults=True, gc=False):
    """An event about to be sent, written before it is.

    `reward` is what the event itself pays: a decision's components, or a ledger entry's value.
    """

    event_id: str
    type: str
    trajectory_id: str
    sha256: str
    writer: str | None = None
    seq: int | None = None
    n_events: int | None = None
    status: str | None = None
    reward: float = 0.0
    claims: list[SentClaim] = []


class Ack(msgspec.Struct, tag_field="k", tag="ack", gc=False):
    """An acknowledgement: where one copy of an event is in the log."""

    event_id: str
    partition: int
    offset: int


class Opened(msgspec.Struct, tag_field="k", tag="opened", gc=False):
    """A trajectory begins: what a restarted process needs to go on with it."""

    trajectory_id: str
    started_at: str
    slot: int
    number: int


class Died(msgspec.Struct, tag_field="k", tag="died", gc=False):
    """The process is about to die without a word."""

    life: int


class Resolved(msgspec.Struct, tag_field="k", tag="resolved", gc=False):
    """One version of a market's outcome, about to be sent."""

    outcome_key: str
    version: int
    occurred_at: str
    values: dict[str, Any]


class _Sent(msgspec.Struct, gc=False):
    """What a ledger needs of an event's JSON; the rest is skipped."""

    event_id: str
    type: str
    trajectory_id: str
    writer: str | None = None
    seq: int | None = None
    n_events: int | None = None
    status: str | None = None
    value: float = 0.0
    reward_components: dict[str, float] = {}
    claims: list[SentClaim] = []


Line = Intent | Ack | Opened | Died | Resolved

_decode_sent = msgspec.json.Decoder(_Sent).decode
decode_line = msgspec.json.Decoder(Line).decode
encode_line = msgspec.json.Encoder().encode


def intent_of(value: bytes) -> Intent:
    """The intent to send an event, given its bytes."""
    sent = _decode_sent(value)
    return Intent(
        event_id=sent.event_id,
        type=sent.type,
        trajectory_id=sent.trajectory_id,
        sha256=sha256(value).hexdigest(),
        writer=sent.writer,
        seq=sent.seq,
        n_events=sent.n_events,
        status=sent.status,
        reward=sent.value + sum(sent.reward_components.values()),
        claims=sent.claims,
    )
