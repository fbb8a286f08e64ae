from datetime import UTC, datetime, timedelta, timezone

from tests.support.published import a_call, a_part, a_step, an_entry, raw, value_of

from ropewalk_schemas.published import decode_published
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.trajectory import Trajectory
from ropewalk_sinks.decided import Decided, Recorded
from ropewalk_sinks.incoming import is_part
from ropewalk_sinks.postgres_rows import dependent_rows, guarded_rows, months
from ropewalk_sinks.postgres_tables import CLAIMS, LLM_CALLS, QUARANTINE, STEPS


def decoded(part: object) -> Trajectory:
    row = decode_published(value_of(part))
    assert is_part(row)
    return row


def test_every_row_has_one_value_per_column() -> None:
    part = decoded(a_part(steps=[a_step(0, claims=[{"outcome_key": "m"}]), a_step(1)]))
    decided = Decided(parts=[part], entries=[an_entry()])
    for table, rows in (dependent_rows([part]) | guarded_rows(decided)).items():
        assert all(len(row) == len(table.columns) for row in rows), table.name
    assert all(dependent_rows([part]).values())


def test_two_claims_of_a_step_on_one_outcome_are_two_rows() -> None:
    claims = [{"outcome_key": "m", "terms": {"side": side}} for side in ("yes", "no")]
    rows = dependent_rows([decoded(a_part(steps=[a_step(0, claims=claims)]))])[CLAIMS]
    assert [(row[3], row[4], row[6]) for row in rows] == [
        ("m", 0, '{"side":"yes"}'),
        ("m", 1, '{"side":"no"}'),
    ]


def test_unknown_input_stays_null_and_an_empty_one_is_an_empty_array() -> None:
    part = decoded(a_part(llm_calls=[a_call(0, input=None), a_call(1, input=[])]))
    at = LLM_CALLS.columns.index("input")
    assert [row[at] for row in dependent_rows([part])[LLM_CALLS]] == [None, "{}"]


def test_json_null_and_an_absent_value_are_both_null() -> None:
    part = decoded(a_part(steps=[a_step(0, state=None), a_step(1, state=raw(None))]))
    at = STEPS.columns.index("state")
    assert [row[at] for row in dependent_rows([part])[STEPS]] == [None, None]


def test_months_are_of_the_window_in_utc_whatever_its_zone() -> None:
    east = timezone(timedelta(hours=9))
    starts = [
        datetime(2026, 3, 1, 3, tzinfo=east),
        datetime(2026, 12, 31, 23, tzinfo=UTC),
        datetime(2026, 2, 3, tzinfo=UTC),
    ]
    parts = [a_part(window_start=start) for start in starts]
    assert months(parts) == [datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)]


def test_a_refused_record_with_nul_in_its_texts_can_be_stored_and_keeps_its_bytes() -> None:
    refused = Quarantined(
        topic="agent-events", partition=0, offset=1, key=b"a\0", value=b"\0",
        headers=[("h\0", b"")], reason="nul", detail="a\0b", stage="assembler",
        quarantined_by="e", trajectory_id="t\0",
        broker_ms=1, quarantined_ms=2,
    )  # fmt: skip
    [row] = guarded_rows(Decided(quarantined=[Recorded(refused, 3)]))[QUARANTINE]
    values = dict(zip(QUARANTINE.columns, row, strict=True))
    assert (values["key"], values["value"]) == (b"a\0", b"\0")
    assert "\0" not in "".join(v for v in row if isinstance(v, str))
    assert "\\u0000" not in values["headers"]
