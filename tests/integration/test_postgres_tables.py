"""What readers of Postgres find: every column, and the views."""

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.published import T0, a_call, a_part, a_step, an_entry, raw, value_of
from tests.support.sink_lab import fresh_database, rows

from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.published import ComponentRow, MessageRow, encode_published
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.sink import SourceRecord, TopicPartition

pytestmark = pytest.mark.integration

AT = TopicPartition("trajectories", 0)
ODD_TEXT = 'tab\t line\n quote" back\\slash \\N {a,b} NULL é \U0001f600 \u2028'
ODD_JSON = {"a": [1, -2.5, 1e-7, None, True], ODD_TEXT: ODD_TEXT, "big": 2**70}


def refuse_nothing(refused: Sequence[Quarantined]) -> None:
    raise AssertionError(refused)


@pytest.fixture
def dsn(stack: Stack, unique: str) -> str:
    return fresh_database(stack, unique)


def store(dsn: str, *published: object) -> None:
    settings = PostgresSettings.load(bootstrap_servers="none:1", postgres_dsn=dsn)
    with closing(PostgresSink(settings)) as sink:
        start = sink.claim([AT])[AT]
        values = map(value_of, published)
        sink.add(
            [SourceRecord(AT, start + n, 0, None, value, []) for n, value in enumerate(values)]
        )
        sink.flush(refuse_nothing)


def shown(dsn: str, table: str) -> list[dict[str, Any]]:
    """Rows as the wire would show them: instants as text."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        found = connection.execute(f"SELECT * FROM {table}".encode()).fetchall()
    return [{name: on_the_wire(value) for name, value in row.items()} for row in found]


def on_the_wire(value: object) -> object:
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def a_rich_part() -> Any:
    """A part with every field set."""
    named: dict[str, Any] = {}
    for name in ("episode_id", "scenario", "policy", "policy_version", "group_key", "termination"):
        named[name] = f"{name} {ODD_TEXT}"
    step = a_step(
        0,
        observation=raw(ODD_JSON),
        reads=[{"name": "prices", "query": ODD_JSON, "data": [1], "purpose": "look"}],
        reasoning=ODD_TEXT,
        error=ODD_TEXT,
        tool_call_id="tool-1",
        claims=[{"outcome_key": "market-1", "terms": ODD_JSON}],
    )
    tool_call = {"id": "tool-1", "function": {"name": "buy", "arguments": '{"x": "\\u00e9"}'}}
    call = a_call(0, error=ODD_TEXT, parent_call="call-9", finish_reasons=["stop", 'a,"b"', "NULL"])
    return a_part(
        **named,
        goal=ODD_TEXT, seed=-(2**63), error=ODD_TEXT, input_tokens=2**40, output_tokens=0,
        cost_usd=0.1 + 0.2, metadata=raw(ODD_JSON), extra=raw({"event-1": ODD_JSON}),
        steps=[step], llm_calls=[call, a_call(1, input=None, output=[], step=None)],
        messages=[
            MessageRow(role="user", parts=raw([ODD_JSON]), name="n"),
            MessageRow(role="assistant", reasoning=ODD_TEXT, tool_calls=[tool_call]),
            MessageRow(role="tool", content=ODD_TEXT, tool_call_id="tool-1"),
        ],
        rewards=[an_entry(value=0.5)],
    )  # fmt: skip


def agreed(row: dict[str, Any], sent: dict[str, Any]) -> set[str]:
    """The columns of a row that are fields of what was sent, after comparing them."""
    known = row.keys() & sent.keys()
    assert {name: row[name] for name in known} == {name: sent[name] for name in known}
    return set(known)


def test_every_column_comes_back_as_it_was_published(dsn: str) -> None:
    part = a_rich_part()
    store(dsn, part)
    sent = json.loads(encode_published(part))
    [row] = shown(dsn, "trajectories")
    rest = {"schema_version", "reward_spec", "reward"}
    assert row.keys() - agreed(row, sent | {"schema_version": row["schema_version"]}) == rest - {
        "schema_version"
    }
    assert (row["schema_version"], row["reward_spec"], row["reward"]) == (1, "default@1", 1.25)
    key = {"window_start", "trajectory_id", "part", "idx"}
    for table in ("messages", "steps", "llm_calls"):
        found = sorted(shown(dsn, table), key=lambda r: int(r["idx"]))
        assert [r["idx"] for r in found] == list(range(len(sent[table])))
        for r, item in zip(found, sent[table], strict=True):
            own = {name: value for name, value in r.items() if name not in key}
            unsent = own.keys() - agreed(own, item)
            # What was not sent is null or empty, but for what the sink computes.
            assert all(not own[name] for name in unsent - {"reward", "return_to_go", "type"})
    [step] = shown(dsn, "steps")
    assert (step["reward"], step["return_to_go"]) == (1.25, 1.25)


def test_the_tables_beside_a_part_hold_its_guard_its_score_and_its_claims(dsn: str) -> None:
    store(dsn, a_rich_part(), an_entry(metadata=raw(ODD_JSON), outcome_version=3))
    [guard], [score], [claim] = (shown(dsn, t) for t in ("parts", "scores", "claims"))
    assert score.pop("computed_at") is not None
    sent = json.loads(encode_published(a_rich_part()))
    assert agreed(guard, sent) == guard.keys()
    assert score == {
        "trajectory_id": "t-1", "part": 0, "spec": "default@1", "total": 1.25, "immediate": 0.75,
        "n_entries": 1, "steps": [1.25], "returns": [1.25],
    }  # fmt: skip
    assert claim == {
        "trajectory_id": "t-1", "part": 0, "step": 0, "outcome_key": "market-1", "rule": "",
        "idx": 0, "event_id": "event-0", "terms": ODD_JSON,
    }  # fmt: skip
    [reward] = shown(dsn, "rewards")
    entry = json.loads(value_of(an_entry(metadata=raw(ODD_JSON), outcome_version=3)))
    optional = {"target_event_id", "call_id", "response_id", "source_version", "supersedes",
                "reason", "outcome_key"}  # fmt: skip
    assert reward.keys() - agreed(reward, entry) == optional | {"content_hash"}
    assert {reward[name] for name in optional} == {None}


def test_current_rewards_leave_out_what_is_superseded_and_place_the_rest(dsn: str) -> None:
    store(
        dsn,
        a_part("t", steps=[a_step(0), a_step(1, calls=[1])]),
        an_entry("r-1", "t", value=1.0),
        an_entry("r-2", "t", value=2.0, supersedes="r-1"),
        an_entry("r-3", "t", value=4.0, target_event_id="event-1"),
        an_entry("r-4", "t", value=8.0, call_id="call-1"),
        an_entry("r-5", "t", value=16.0, response_id="response-0"),
        an_entry("r-6", "t", value=32.0, target_event_id="unknown"),
        an_entry("r-7", "other", value=64.0, supersedes="r-2"),
    )
    found = rows(dsn, "SELECT part, step, reward, n_entries FROM current_rewards"
                      " WHERE trajectory_id = 't' ORDER BY step")  # fmt: skip
    assert found == [(0, 0, 16.0, 1), (0, 1, 12.0, 2), (None, None, 34.0, 2)]
    assert rows(dsn, "SELECT reward, immediate, n_entries FROM current_scores") == [(63.5, 1.5, 5)]


def test_an_entry_for_an_event_id_of_two_parts_counts_once_at_the_first(dsn: str) -> None:
    first = a_part("t", steps=[a_step(0)], last=False)
    second = a_part("t", part=1, steps=[a_step(0)], previous_hash=first.content_hash)
    store(dsn, first, second, an_entry("r-1", "t", value=2.0, target_event_id="event-0"))
    query = "SELECT part, step, reward, n_entries FROM current_rewards"
    assert rows(dsn, query) == [(0, 0, 2.0, 1)]
    assert rows(dsn, "SELECT part, n_entries FROM current_scores ORDER BY part") == [(0, 1), (1, 0)]


def test_windows_count_what_a_project_did_in_each(dsn: str) -> None:
    later = T0 + timedelta(hours=1)
    store(
        dsn,
        a_part("a", input_tokens=5, cost_usd=0.5),
        a_part("b", complete=False, n_missing=2, linear=False),
        a_part("c", 0, last=False, window_start=later, window_id="next"),
        a_part("d", project="other"),
        an_entry("r", "a", value=1.0),
    )
    columns = "project, n_trajectories, n_complete, n_linear, n_missing, n_last, n_rewarded, reward"
    found = rows(dsn, f"SELECT {columns} FROM windows ORDER BY project, window_start")
    assert found == [
        ("demo", 2, 1, 1, 2, 2, 2, 4.0),
        ("demo", 1, 1, 1, 0, 0, 1, 1.5),
        ("other", 1, 1, 1, 0, 1, 1, 1.5),
    ]


def test_groups_say_whether_they_can_train_and_why_not(dsn: str) -> None:
    def member(name: str, group: str, value: float | None, **changes: Any) -> Any:
        components = [] if value is None else [ComponentRow(name="won", value=value)]
        steps = [a_step(0, components=components)]
        given = {"scenario": "s", "group_key": group, "policy_version": "v1"}
        return a_part(name, steps=steps, **given | changes)

    store(
        dsn,
        member("a1", "good", 0.0),
        member("a2", "good", 1.0, window_start=T0 + timedelta(hours=5)),
        member("b1", "equal", 1.0),
        member("b2", "equal", 1.0),
        member("c1", "alone", 1.0),
        member("d1", "mixed", 1.0),
        member("d2", "mixed", 2.0, policy="another", complete=False),
        member("e1", "unknown", None),
        member("e2", "unknown", 1.0),
    )
    found = rows(dsn, "SELECT group_key, size, trainable, why_not FROM groups ORDER BY 1")
    assert found == [
        ("alone", 1, False, ["too small"]),
        ("equal", 2, False, ["equal rewards"]),
        ("good", 2, True, []),
        ("mixed", 2, False, ["mixed policies", "incomplete members"]),
        ("unknown", 2, False, ["members without a reward"]),
    ]


def test_without_a_group_key_a_scenario_of_one_window_is_the_group(dsn: str) -> None:
    store(dsn, a_part("a", scenario="s"), a_part("b", scenario="s", window_id="next"))
    found = rows(dsn, "SELECT scenario, group_key, window_id, size FROM groups ORDER BY window_id")
    assert found == [("s", None, "2026-03-01T12:00:00Z/3600s", 1), ("s", None, "next", 1)]
