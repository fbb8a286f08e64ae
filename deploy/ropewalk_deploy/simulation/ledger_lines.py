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

    Args:
        reward: What the event itself pays: a decision's components, or a ledger entry's value.
        supersedes: The ledger entry that a ledger entry replaces.
        round: Of a decision: which one of its agent's it is, from 0.
        owned: Of a decision: what the agent owned before it, in dollars.
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
    supersedes: str | None = None
    claims: list[SentClaim] = []
    round: int | None = None
    owned: float | None = None


class Ack(msgspec.Struct, tag_field="k", tag="ack", gc=False):
    """An acknowledgement: where one copy of an event is in the log, and since when.

    `at_ms` is broker time; None where the log keeps none.
    """

    event_id: str
    partition: int
    offset: int
    at_ms: int | None = None


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


class Told(msgspec.Struct, tag_field="k", tag="told", gc=False):
    """An acknowledgement of one version of an outcome; `at_ms` is broker time."""

    outcome_key: str
    version: int
    at_ms: int


class Moment(msgspec.Struct, tag_field="k", tag="moment", gc=False):
    """Everything sent so far has had all its consequences by this broker time.

    Args:
        after: What had been sent, for a person.
        judged: Whether a judge had nothing left to do either.
    """

    at_ms: int
    after: str
    judged: bool


class _Seen(msgspec.Struct, gc=False):
    round: int


class _State(msgspec.Struct, gc=False):
    portfolio_value: float


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
    supersedes: str | None = None
    claims: list[SentClaim] = []
    observation: _Seen | None = None
    state: _State | None = None


Line = Intent | Ack | Opened | Died | Resolved | Told | Moment

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
        supersedes=sent.supersedes,
        claims=sent.claims,
        round=sent.observation.round if sent.observation else None,
        owned=sent.state.portfolio_value if sent.state else None,
    )
