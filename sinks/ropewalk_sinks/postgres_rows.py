"""From decoded records to rows of Postgres. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.outcomes import Outcome
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.published import raw_json
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.scoring import DEFAULT_SPEC, RewardSpec, Score, current_entries
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
from ropewalk_schemas.windows import EPOCH
from ropewalk_sinks.admission import entry_hash
from ropewalk_sinks.decided import Decided, Recorded
from ropewalk_sinks.incoming import headers_json
from ropewalk_sinks.postgres_tables import (
    CALL_PLAIN,
    CLAIMS,
    DEPENDENT,
    ENTRY_PLAIN,
    LLM_CALLS,
    MESSAGE_PLAIN,
    MESSAGES,
    OUTCOMES,
    PART_PLAIN,
    PARTS,
    PROGRESS,
    QUARANTINE,
    REWARDS,
    SCORES,
    STEP_PLAIN,
    STEPS,
    TRAJECTORIES,
    Table,
)
from ropewalk_sinks.scored import immediate_reward, schema_major, score_part

Row = tuple[Any, ...]


_part_plain = attrgetter(*PART_PLAIN)
_message_plain = attrgetter(*MESSAGE_PLAIN)
_step_plain = attrgetter(*STEP_PLAIN)
_call_plain = attrgetter(*CALL_PLAIN)
_entry_plain = attrgetter(*ENTRY_PLAIN)


def guarded_rows(decided: Decided) -> dict[Table, list[Row]]:
    """The rows of the tables in `GUARDED`."""
    parts = [
        (p.trajectory_id, p.part, p.content_hash, p.window_start, p.last) for p in decided.parts
    ]
    return {
        PARTS: parts,
        REWARDS: [_entry_row(entry) for entry in decided.entries],
        OUTCOMES: [_outcome_row(outcome) for outcome in decided.outcomes],
        QUARANTINE: [_quarantine_row(refused) for refused in decided.quarantined],
        PROGRESS: [_progress_row(account) for account in decided.accounts],
    }


def dependent_rows(
    parts: Iterable[Trajectory], spec: RewardSpec = DEFAULT_SPEC
) -> dict[Table, list[Row]]:
    """The rows of the tables in `DEPENDENT`."""
    rows: dict[Table, list[Row]] = {table: [] for table in DEPENDENT}
    for part in parts:
        score = score_part(part, spec)
        key = (part.window_start, part.trajectory_id, part.part)
        rows[TRAJECTORIES].append(_trajectory_row(part, spec, score))
        rows[MESSAGES].extend(_message_rows(key, part))
        rows[STEPS].extend(_step_rows(key, part, score))
        rows[LLM_CALLS].extend(_call_rows(key, part))
        rows[CLAIMS].extend(_claim_rows(part))
        n_entries = len(current_entries(part.rewards))
        known = (spec.id, score.total, immediate_reward(part), n_entries)
        rows[SCORES].append((*key[1:], *known, list(score.steps), list(score.returns)))
    return rows


def months(parts: Iterable[Trajectory]) -> list[datetime]:
    """The first instants of the UTC months that hold the parts' windows, ascending."""
    starts = {part.window_start.astimezone(UTC) for part in parts}
    return sorted({datetime(start.year, start.month, 1, tzinfo=UTC) for start in starts})


def _trajectory_row(part: Trajectory, spec: RewardSpec, score: Score) -> Row:
    return (
        *_part_plain(part),
        schema_major(part.schema_version),
        spec.id,
        score.total,
        raw_json(part.metadata) or "{}",
        raw_json(part.extra) or "{}",
        _json(part.writers),
        _json(part.tool_sets),
    )


def _message_rows(key: Row, part: Trajectory) -> Iterator[Row]:
    for idx, message in enumerate(part.messages):
        tool_calls = _json(message.tool_calls) if message.tool_calls else None
        yield (*key, idx, *_message_plain(message), tool_calls, raw_json(message.parts))


def _step_rows(key: Row, part: Trajectory, score: Score) -> Iterator[Row]:
    scored = zip(part.steps, score.steps, score.returns, strict=True)
    for idx, (step, reward, return_to_go) in enumerate(scored):
        yield (
            *key,
            idx,
            *_step_plain(step),
            raw_json(step.state),
            raw_json(step.observation),
            _json(step.reads),
            raw_json(step.action),
            raw_json(step.result),
            reward,
            _json(step.components),
            return_to_go,
            _int_array(step.calls),
        )


def _call_rows(key: Row, part: Trajectory) -> Iterator[Row]:
    for idx, call in enumerate(part.llm_calls):
        params = raw_json(call.params) or "{}"
        shown = (_int_array(call.input), _int_array(call.output), params)
        yield (*key, idx, *_call_plain(call), *shown)


def _claim_rows(part: Trajectory) -> Iterator[Row]:
    for number, step in enumerate(part.steps):
        for idx, claim in enumerate(step.claims):
            terms = raw_json(claim.terms) or "{}"
            where = (part.trajectory_id, part.part, number)
            yield (*where, claim.outcome_key, idx, step.event_id, terms)


def _entry_row(entry: LedgerEntry) -> Row:
    return (*_entry_plain(entry), raw_json(entry.metadata) or "{}", entry_hash(entry))


def _outcome_row(recorded: Recorded[Outcome]) -> Row:
    outcome = recorded.what
    known = (outcome.outcome_key, outcome.version, _json(outcome.values), outcome.occurred_at)
    return (*known, _instant(recorded.recorded_ms))


def _quarantine_row(recorded: Recorded[Quarantined]) -> Row:
    refused = recorded.what
    return (
        _text(refused.topic),
        refused.partition,
        refused.offset,
        refused.reason,
        _text(refused.detail),
        _text(refused.stage),
        _text(refused.quarantined_by),
        None if refused.trajectory_id is None else _text(refused.trajectory_id),
        refused.key,
        refused.value,
        headers_json([(_text(name), value) for name, value in refused.headers]),
        _instant(refused.broker_ms),
        _instant(refused.quarantined_ms),
        _instant(recorded.recorded_ms),
    )


def _progress_row(recorded: Recorded[Progress]) -> Row:
    account, counts = recorded.what, recorded.what.counts
    return (
        account.partition,
        account.next_offset,
        counts.received,
        counts.assembled,
        account.open_events,
        counts.ledger,
        counts.duplicate,
        sum(counts.quarantined.values()),
        _json(counts.quarantined),
        _instant(account.clock_at_next_ms),
        _instant(account.watermark_ms),
        account.open_trajectories,
        account.worker,
        account.engine_version,
        _instant(recorded.recorded_ms),
    )


def _json(value: object) -> str:
    return to_json(value).decode()


def _int_array(positions: Sequence[int] | None) -> str | None:
    return None if positions is None else f"{{{','.join(map(str, positions))}}}"


def _text(text: str) -> str:
    """Text of a refused record may hold what refused it: the database takes no NUL."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _instant(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)
