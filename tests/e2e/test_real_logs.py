"""Real logs through the whole pipeline: both sinks say exactly what others counted in the files."""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg
import pytest
from tests.support.pipeline import Pipeline
from tests.support.shared_data import logs_of, truth_of

from ropewalk_deploy.audit.accounts import Accounts
from ropewalk_deploy.audit.readers import newest_progress
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.topics import TRAJECTORIES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FORMATS = {"tau_bench": "tau-bench", "tau2_dev": "tau2"}
COST = 1e-9
Row = dict[str, Any]


class Store(Protocol):
    """One sink's data, asked in SQL; the tables have the same names and columns in both."""

    def ask(self, query: str) -> list[Row]:
        """The rows of a query."""
        ...

    def contents(self) -> dict[str, tuple[int, str]]:
        """By table: how many rows, and a digest of them all."""
        ...


@dataclass
class Postgres:
    """The Postgres sink's tables."""

    dsn: str
    TABLES = (
        *("trajectories", "messages", "steps", "llm_calls", "parts"),
        *("rewards", "scores", "claims", "quarantine"),
    )

    def ask(self, query: str) -> list[Row]:
        with psycopg.connect(self.dsn, options="-c TimeZone=UTC") as connection:
            cursor = connection.execute(query.encode())
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def contents(self) -> dict[str, tuple[int, str]]:
        return {name: digest(self.ask(f"SELECT * FROM {name}")) for name in self.TABLES}


@dataclass
class Parquet:
    """The Parquet datasets; nested lists are laid out as the tables of Postgres."""

    path: Path

    def _source(self, dataset: str) -> str:
        return f"read_parquet('{self.path}/{dataset}/**/*.parquet', hive_partitioning = true)"

    def _views(self) -> Iterator[str]:
        yield f"CREATE VIEW trajectories AS SELECT * FROM {self._source('trajectories')}"
        for name in ("messages", "steps", "llm_calls"):
            yield (
                f"CREATE VIEW {name} AS SELECT trajectory_id, part, idx, item.* FROM ("
                f"SELECT trajectory_id, part, unnest(range(len({name}))) AS idx, "
                f"unnest({name}) AS item FROM trajectories)"
            )
        yield f"CREATE VIEW rewards AS SELECT * FROM {self._source('rewards')}"

    def ask(self, query: str) -> list[Row]:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for view in self._views():
                connection.execute(view)
            found = connection.execute(query)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def contents(self) -> dict[str, tuple[int, str]]:
        datasets = ("trajectories", "rewards", "quarantine")
        names = [name for name in datasets if any((self.path / name).glob("**/*.parquet"))]
        return {name: digest(self.ask(f"SELECT * FROM {self._source(name)}")) for name in names}


def digest(rows: list[Row]) -> tuple[int, str]:
    """The same for the same rows, whatever their order."""
    lines = sorted(repr(sorted(row.items())) for row in rows)
    return len(rows), hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass
class Replayed:
    """Both logs, in both sinks."""

    pipeline: Pipeline
    stores: dict[str, Store]
    truths: dict[str, dict[str, Any]]
    folder: Path

    def replay(self) -> dict[str, Row]:
        """Replay all files, and wait until everything is stored; the replays' own reports."""
        reports = {}
        for name, log_format in FORMATS.items():
            files = [str(path) for path in logs_of(self.folder / name)]
            reports[name] = self.pipeline.answer("replay", *files, "--format", log_format)
        self.pipeline.wait_until_settled()
        self.pipeline.verify()
        return reports


@pytest.fixture(scope="module")
def replayed(real_logs: Path, pipeline: Pipeline) -> Iterator[Replayed]:
    with pipeline.running():
        pipeline.wait_until_owned()
        places = pipeline.places
        stores: dict[str, Store] = {
            "postgres": Postgres(places.postgres_dsn),
            "parquet": Parquet(places.parquet_path),
        }
        truths = {name: truth_of(real_logs / name) for name in FORMATS}
        replayed = Replayed(pipeline, stores, truths, real_logs)
        for name, report in replayed.replay().items():
            assert report["n_trajectories"] == truths[name]["totals"]["trajectories"]
            assert report["delivery"]["delivered"] == report["n_events"]
        yield replayed


@pytest.fixture(params=["postgres", "parquet"])
def store(replayed: Replayed, request: pytest.FixtureRequest) -> Store:
    return replayed.stores[request.param]


# One row per part: what was said in it, asked of either sink in the same words.
SAID = """
SELECT t.trajectory_id, t.part, t.last, t.complete, t.linear, t.status, t.termination, t.reward,
       t.n_steps, t.n_llm_calls, t.n_missing, t.group_key, t.input_tokens, t.output_tokens,
       t.cost_usd, t.metadata->>'run' AS run, t.metadata->>'trial' AS trial,
       m.messages, m.assistant, m.tool, m.users, m.last_role,
       coalesce(c.calls_agent, 0) AS calls_agent, coalesce(c.calls_user, 0) AS calls_user,
       coalesce(c.calls, 0) AS calls,
       c.agent_input, c.agent_output, c.user_input, c.user_output, c.agent_cost, c.user_cost,
       coalesce(s.tool_calls, 0) AS tool_calls, coalesce(s.tool_calls_agent, 0) AS tool_calls_agent,
       coalesce(s.tool_calls_user, 0) AS tool_calls_user,
       coalesce(s.tool_results, 0) AS tool_results, coalesce(s.tool_errors, 0) AS tool_errors,
       r.entries, r.given
FROM trajectories t
LEFT JOIN (
    SELECT a.trajectory_id, a.part, count(*) AS messages,
           count(*) FILTER (WHERE a.role = 'assistant') AS assistant,
           count(*) FILTER (WHERE a.role = 'tool') AS tool,
           count(*) FILTER (WHERE a.role = 'user') AS users,
           max(CASE WHEN a.idx = b.last THEN a.role END) AS last_role
    FROM messages a
    JOIN (SELECT trajectory_id, part, max(idx) AS last FROM messages GROUP BY 1, 2) b
        ON b.trajectory_id = a.trajectory_id AND b.part = a.part
    GROUP BY 1, 2
) m ON m.trajectory_id = t.trajectory_id AND m.part = t.part
LEFT JOIN (
    SELECT trajectory_id, part, count(*) AS calls,
           count(*) FILTER (WHERE thread = 'main') AS calls_agent,
           count(*) FILTER (WHERE thread = 'user') AS calls_user,
           sum(input_tokens) FILTER (WHERE thread = 'main') AS agent_input,
           sum(output_tokens) FILTER (WHERE thread = 'main') AS agent_output,
           sum(input_tokens) FILTER (WHERE thread = 'user') AS user_input,
           sum(output_tokens) FILTER (WHERE thread = 'user') AS user_output,
           sum(cost_usd) FILTER (WHERE thread = 'main') AS agent_cost,
           sum(cost_usd) FILTER (WHERE thread = 'user') AS user_cost
    FROM llm_calls GROUP BY 1, 2
) c ON c.trajectory_id = t.trajectory_id AND c.part = t.part
LEFT JOIN (
    SELECT s.trajectory_id, s.part, count(*) AS tool_calls,
           count(*) FILTER (WHERE l.thread = 'main') AS tool_calls_agent,
           count(*) FILTER (WHERE l.thread = 'user') AS tool_calls_user,
           count(s.result) AS tool_results,
           count(*) FILTER (WHERE s.action_status = 'failed') AS tool_errors
    FROM steps s
    JOIN llm_calls l ON l.trajectory_id = s.trajectory_id AND l.part = s.part AND l.idx = s.calls[1]
    GROUP BY 1, 2
) s ON s.trajectory_id = t.trajectory_id AND s.part = t.part
LEFT JOIN (
    SELECT trajectory_id, count(*) AS entries, sum(value) AS given FROM rewards GROUP BY 1
) r ON r.trajectory_id = t.trajectory_id
"""


def said(store: Store, name: str, truth: dict[str, Any]) -> dict[str, Row]:
    """What a sink says of each trajectory of a log, by the truth's own name for it."""
    runs = set(truth["by_run"]) if "by_run" in truth else {"gpt-4o-airline"}
    assert name in FORMATS
    rows = [row for row in store.ask(SAID) if row["run"] in runs]
    found = {row["trajectory_id"].removeprefix(f"{row['run']}/"): row for row in rows}
    assert len(found) == len(rows), "one part each"
    for row in rows:
        assert (row["part"], row["last"], row["complete"], row["n_missing"]) == (0, True, True, 0)
        assert row["linear"], row["trajectory_id"]
        assert row["n_llm_calls"] == row["calls"]
        assert row["n_steps"] == row["tool_calls"]
    return found


def test_each_tau_bench_trajectory_is_stored_as_counted(replayed: Replayed, store: Store) -> None:
    truth = replayed.truths["tau_bench"]
    found = said(store, "tau_bench", truth)
    names: dict[str, set[str]] = {}
    for row in store.ask("SELECT trajectory_id, action_type FROM steps"):
        names.setdefault(row["trajectory_id"], set()).add(row["action_type"])
    assert {
        key: {
            "trajectory_id": key,
            "task_id": int(row["group_key"]),
            "trial": int(row["trial"]),
            "reward": row["reward"],
            "messages": row["messages"],
            "agent_llm_calls": row["calls_agent"],
            "user_messages": row["users"],
            "tool_results": row["tool_results"],
            "tool_calls": row["tool_calls_agent"],
            "tool_names": sorted(names.get(row["trajectory_id"], ())),
            "last_role": row["last_role"],
        }
        for key, row in found.items()
    } == {row["trajectory_id"]: row for row in truth["per_trajectory"]}
    for row in found.values():
        assert (row["entries"], row["given"]) == (1, row["reward"])
        assert row["assistant"] == row["calls"] == row["calls_agent"]
        assert row["tool"] == row["tool_results"]


def test_all_of_tau_bench_is_stored_as_counted(replayed: Replayed, store: Store) -> None:
    truth = replayed.truths["tau_bench"]
    rows = list(said(store, "tau_bench", truth).values())
    assert {
        "trajectories": len(rows),
        "tasks": len({row["group_key"] for row in rows}),
        "messages": sum(row["messages"] for row in rows),
        "agent_llm_calls": sum(row["calls"] for row in rows),
        "user_messages": sum(row["users"] for row in rows),
        "tool_calls": sum(row["tool_calls"] for row in rows),
        "tool_results": sum(row["tool_results"] for row in rows),
        "reward_sum": sum(row["reward"] for row in rows),
    } == truth["totals"]
    by_trial: dict[str, float] = {}
    for row in rows:
        by_trial[row["trial"]] = by_trial.get(row["trial"], 0.0) + row["reward"]
    assert by_trial == truth["reward_by_trial"]


def test_tau_bench_conversations_are_the_file_s_message_for_message(
    replayed: Replayed, store: Store
) -> None:
    (path,) = logs_of(replayed.folder / "tau_bench")
    stored: dict[str, list[Row]] = {}
    for row in store.ask("SELECT * FROM messages ORDER BY trajectory_id, part, idx"):
        stored.setdefault(row["trajectory_id"], []).append(row)
    for record in json.loads(gzip.decompress(path.read_bytes())):
        found = stored[f"gpt-4o-airline/{record['task_id']}/{record['trial']}"]
        assert list(map(comparable, found)) == list(map(comparable, record["traj"]))
        assert list(map(written, found)) == list(map(written, record["traj"]))


def comparable(message: Row) -> tuple[Any, ...]:
    """A message, its tool arguments parsed."""
    calls = [
        (call["id"], call["type"], call["function"]["name"], _parsed(call["function"]["arguments"]))
        for call in message.get("tool_calls") or []
    ]
    fields = ("role", "content", "name", "tool_call_id")
    return *(message.get(name) for name in fields), calls


def written(message: Row) -> list[str]:
    """The arguments as the model wrote them."""
    return [call["function"]["arguments"] for call in message.get("tool_calls") or []]


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def test_each_tau2_trajectory_is_stored_as_counted(replayed: Replayed, store: Store) -> None:
    truth = replayed.truths["tau2_dev"]
    found = said(store, "tau2_dev", truth)
    counted = {row["trajectory_id"]: row for row in truth["per_trajectory"]}
    same = (
        *("run", "task_id", "trial", "reward", "termination", "messages", "by_role"),
        *("llm_calls_agent", "llm_calls_user", "tool_calls_agent", "tool_calls_user"),
        *("tool_results", "tool_errors", "agent_prompt_tokens", "agent_completion_tokens"),
        *("user_prompt_tokens", "user_completion_tokens"),
    )
    assert {
        key: {
            "run": row["run"],
            "task_id": row["group_key"],
            "trial": int(row["trial"]),
            "reward": row["reward"],
            "termination": row["termination"],
            "messages": row["messages"],
            "by_role": _roles(row),
            "llm_calls_agent": row["calls_agent"],
            "llm_calls_user": row["calls_user"],
            "tool_calls_agent": row["tool_calls_agent"],
            "tool_calls_user": row["tool_calls_user"],
            "tool_results": row["tool_results"],
            "tool_errors": row["tool_errors"],
            "agent_prompt_tokens": row["agent_input"],
            "agent_completion_tokens": row["agent_output"],
            "user_prompt_tokens": row["user_input"],
            "user_completion_tokens": row["user_output"],
        }
        for key, row in found.items()
    } == {key: {name: row[name] for name in same} for key, row in counted.items()}
    for key, row in found.items():
        for side in ("agent", "user"):
            for told in (f"{side}_cost", f"message_cost_{side}"):
                assert row[f"{side}_cost"] == pytest.approx(counted[key][told], abs=COST, rel=0)
        assert row["cost_usd"] == pytest.approx(
            counted[key]["agent_cost"] + counted[key]["user_cost"], abs=COST, rel=0
        )
        assert row["input_tokens"] == row["agent_input"] + row["user_input"]
        assert row["output_tokens"] == row["agent_output"] + row["user_output"]
        assert (row["entries"], row["given"]) == (1, row["reward"])


def _roles(row: Row) -> dict[str, int]:
    roles = {"assistant": row["assistant"], "tool": row["tool"], "user": row["users"]}
    return {role: n for role, n in roles.items() if n}


def test_all_of_tau2_is_stored_as_counted(replayed: Replayed, store: Store) -> None:
    truth = replayed.truths["tau2_dev"]
    rows = list(said(store, "tau2_dev", truth).values())
    totals = dict(truth["totals"])
    cost = totals.pop("cost")

    def total(*names: str) -> int:
        return sum(int(row[name]) for row in rows for name in names)

    assert {
        "trajectories": len(rows),
        "runs": len({row["run"] for row in rows}),
        "messages": total("messages"),
        "llm_calls_agent": total("calls_agent"),
        "llm_calls_user": total("calls_user"),
        "tool_calls_agent": total("tool_calls_agent"),
        "tool_calls_user": total("tool_calls_user"),
        "tool_results": total("tool_results"),
        "tool_errors": total("tool_errors"),
        "prompt_tokens": total("input_tokens"),
        "completion_tokens": total("output_tokens"),
        "reward_sum": sum(row["reward"] for row in rows),
    } == totals
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(cost, abs=COST, rel=0)
    by_run = {
        run: {
            "trajectories": sum(row["run"] == run for row in rows),
            "reward_sum": sum(row["reward"] for row in rows if row["run"] == run),
            "messages": sum(row["messages"] for row in rows if row["run"] == run),
            "llm_calls": sum(row["calls"] for row in rows if row["run"] == run),
            "tool_calls": sum(row["tool_calls"] for row in rows if row["run"] == run),
        }
        for run in truth["by_run"]
    }
    assert by_run == truth["by_run"]


@pytest.mark.parametrize("length_s", [60, 300, 3600])
def test_tau2_calls_fall_into_the_windows_that_were_counted(
    replayed: Replayed, store: Store, length_s: int
) -> None:
    counted = replayed.truths["tau2_dev"]["llm_call_windows_event_time"][str(length_s)]
    rows = store.ask(f"""
        SELECT CAST(floor(extract(epoch FROM c.at) / {length_s}) * {length_s} AS bigint) AS start,
               count(*) AS calls, sum(c.input_tokens) AS prompt, sum(c.output_tokens) AS completion,
               count(DISTINCT c.trajectory_id) AS trajectories
        FROM llm_calls c WHERE c.trajectory_id LIKE 'gpt-4.1%' GROUP BY 1 ORDER BY 1
    """)
    found = [[int(value) for value in row.values()] for row in rows]
    assert found == counted["rows_start_calls_prompt_completion_trajectories"]
    assert len(found) == counted["windows"]
    assert sum(row[-1] for row in found) == counted["trajectory_windows"]


def test_replaying_the_same_files_again_changes_nothing(replayed: Replayed) -> None:
    before = {name: store.contents() for name, store in replayed.stores.items()}
    n_accounted, n_published = _received(replayed.pipeline), _published(replayed.pipeline)
    reports = replayed.replay()
    n_events = sum(report["n_events"] for report in reports.values())
    n_trajectories = sum(report["n_trajectories"] for report in reports.values())
    assert _received(replayed.pipeline) == n_accounted + n_events
    assert {name: store.contents() for name, store in replayed.stores.items()} == before
    for key, times in (_published(replayed.pipeline) - n_published).items():
        assert times == 1, f"{key} came again whole, the same"
    assert (_published(replayed.pipeline) - n_published).total() == n_trajectories


def _received(pipeline: Pipeline) -> int:
    with LogScanner(pipeline.places.bootstrap_servers) as scanner:
        return sum(account.counts.received for account in newest_progress(scanner).values())


def _published(pipeline: Pipeline) -> Counter[tuple[str, str]]:
    """How often each content was published."""
    accounts = Accounts()
    with LogScanner(pipeline.places.bootstrap_servers) as scanner:
        for partition in scanner.partitions(TRAJECTORIES.name):
            accounts.take_outputs(TRAJECTORIES.name, scanner.records(TRAJECTORIES.name, partition))
    return Counter(
        (key.trajectory_id, part.content_hash)
        for key, seen in accounts.parts.items()
        for part in seen
    )
