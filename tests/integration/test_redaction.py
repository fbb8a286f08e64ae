"""An agent with a secret in every field, through everything there is; then each store is searched.

The same agent without redaction is the control: what the search does not find there proves nothing.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.sql import SQL, Identifier
from tests.support.kafka_site import NOBODY
from tests.support.pipeline import Pipeline, wait_for
from tests.support.planted_secrets import HEX

from ropewalk_deploy.kafka import LogScanner
from ropewalk_producers import Delivery, Recorder, RecorderSettings, Trajectory
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.topics import AGENT_EVENTS, QUARANTINE, TOPICS, TRAJECTORIES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@dataclass
class Planter:
    """Makes a secret of its own for each field, and knows them all."""

    rng: Random
    planted: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        self.planted[name] = f"x{''.join(self.rng.choices(HEX, k=46))}x"
        return f"sk-{self.planted[name]}"

    def found_in(self, data: bytes) -> set[str]:
        """The fields whose secrets are in some bytes."""
        return {name for name, secret in self.planted.items() if secret.encode() in data}


def tell_all(recorder: Recorder, name: str, plant: Planter) -> None:
    """A trajectory with a secret in everything that an agent says in its own words."""
    opening = {"role": "system", "content": plant("opening"), "name": plant("name")}
    with recorder.trajectory(
        agent_id="a", trajectory_id=name, goal=plant("goal"), messages=[opening],
        metadata={"m": [plant("metadata")], plant("metadata key"): 1},
    ) as t:  # fmt: skip
        ask(t, opening, plant)
        step(t, plant)
        t.reward(plant("reward"), 1.0, reason=plant("reason"), metadata={"m": plant("noted")})
        t.end("failed", termination=plant("termination"), error=ValueError(plant("end's error")),
              messages=[{"role": "user", "content": plant("closing")}],
              metadata={"end": plant("end's metadata")})  # fmt: skip


def ask(t: Trajectory, opening: dict[str, str], plant: Planter) -> None:
    arguments = f'{{"a": "{plant("arguments")}"}}'
    called = {"id": plant("call's id"), "type": plant("call's type"),
              "function": {"name": plant("function"), "arguments": arguments}}  # fmt: skip
    asked = {"role": "user", "content": [{"type": "text", "text": plant("part")}, {"type": "x"}]}
    vendor = {plant("vendor's key"): 1}
    said = {"role": "assistant", "content": plant("output"), "tool_calls": [called],
            "reasoning_content": plant("thought"), "vendor": vendor}  # fmt: skip
    tools = [{"type": "function", "function": {"name": "f", "description": plant("tool")}}]
    seen = {"role": "tool", "tool_call_id": plant("tool's id"), "content": plant("tool's answer")}
    t.llm_call(model=plant("model"), messages=[opening, asked], output=said, tools=tools,
               parameters={"stop": [plant("parameter")]}, purpose=plant("purpose"),
               finish_reasons=[plant("finish")], provider=plant("provider"),
               error=plant("call's error"))  # fmt: skip
    t.llm_call(model="m", messages=[opening, asked, said, seen], output="done", tools=tools)


def step(t: Trajectory, plant: Planter) -> None:
    state, seen = {plant("state's key"): {"a": plant("state")}}, [plant("observation")]
    with t.step(state=state, observation=seen, reasoning=plant("reasoning")) as step:
        step.read(plant("read"), {"d": plant("data")}, query=plant("query"), purpose=plant("why"))
        step.action(plant("action"), {"p": plant("action's parameter")}, status="failed",
                    result={"r": plant("result")}, error=ValueError(plant("step's error")),
                    tool_call_id=plant("action's call"))  # fmt: skip
        step.claim("prediction:x", {"t": plant("term")})
        step.reward_component(plant("component"), 0.5)


def refused(recorder: Recorder, name: str, plant: Planter) -> None:
    """What goes to quarantine with its bytes: it says that it happens tomorrow."""
    t = recorder.trajectory(agent_id="a", trajectory_id=name)
    told = [{"role": "user", "content": plant("refused")}]
    t.llm_call(model="m", messages=told, at=datetime.now(UTC) + timedelta(days=1))
    t.end()


@dataclass
class Lives:
    """What was planted with redaction and without, and what each place holds of it."""

    redacted: Planter
    control: Planter
    places: dict[str, bytes]


@pytest.fixture(scope="module")
def lives(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Lives:
    lives = Lives(Planter(Random(1)), Planter(Random(2)), {})
    spool = tmp_path_factory.mktemp("redaction") / "spool"
    ours = Heard()
    logging.getLogger().addHandler(ours)
    for name, plant, redact in (
        ("redaction-control", lives.control, "none"),
        ("redaction", lives.redacted, "secrets"),
    ):
        away = Recorder(
            RecorderSettings(
                project="p", service="s", bootstrap_servers=NOBODY, redact=redact,
                durability="spool", spool_path=str(spool), spool_ack="disk",
            ),
            on_delivery=ours.deliveries.append,
        )  # fmt: skip
        tell_all(away, name, plant)
        refused(away, f"{name}-refused", plant)
        with away.trajectory(agent_id="a", trajectory_id=f"{name}-odd", mode=plant("mode")):  # type: ignore[arg-type]
            pass
        ours.said.append(str(away.last_error))
        assert away.close(0.1).spooled
    logging.getLogger().removeHandler(ours)
    lives.places |= {"spool": all_bytes(spool), "recorder": "\n".join(ours.said).encode()}
    lives.places["on_delivery"] = b"\n".join(d.key + d.value for d in ours.deliveries)
    with pipeline.running():
        drained = pipeline.ropewalk("spool", "drain", "--path", str(spool))
        assert drained.returncode == 0, drained.stderr
        wait_for(lambda: stored(pipeline), told=pipeline.log_tail())
        pipeline.wait_until_settled(open_too=False)
        shown = [pipeline.ropewalk(*c.split()) for c in ("status", "quarantine ls")]
    lives.places |= {
        "commands": "".join(done.stdout + done.stderr for done in (drained, *shown)).encode(),
        "programs' log": pipeline.log.read_bytes(),
        "postgres": b"\n".join(rows_of(pipeline)),
        "parquet": b"\n".join(columns_of(pipeline.places.parquet_path)),
        "parquet's files": all_bytes(pipeline.places.parquet_path),
        **topics_of(pipeline),
    }
    return lives


class Heard(logging.Handler):
    """What the recorder tells whoever listens."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.deliveries: list[Delivery] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


def stored(pipeline: Pipeline) -> bool:
    """Whether both sinks have both trajectories, and what was refused of them."""
    names = {"redaction", "redaction-control"}
    with psycopg.connect(pipeline.places.postgres_dsn) as connection:
        ids = {row[0] for row in connection.execute("SELECT trajectory_id FROM parts")}
        keys = {bytes(row[0] or b"") for row in connection.execute("SELECT key FROM quarantine")}
    parquet = b"".join(columns_of(pipeline.places.parquet_path))
    refused = [f"{name}-refused".encode() for name in names]
    return names <= ids and set(refused) <= keys and all(name in parquet for name in refused)


def all_bytes(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def rows_of(pipeline: Pipeline) -> Iterator[bytes]:
    """Every row of every table of the database."""
    tables = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT LIKE 'pg_%'"
    with psycopg.connect(pipeline.places.postgres_dsn) as connection:
        for schema, table in connection.execute(tables).fetchall():
            for row in connection.execute(
                SQL("SELECT * FROM {}").format(Identifier(schema, table))
            ):
                yield readable(row)


def columns_of(root: Path) -> Iterator[bytes]:
    """Every value of every file that readers see."""
    for path in sorted(root.rglob("*.parquet")):
        if "_ropewalk" not in path.parts:  # there a living sink moves its files away
            yield from map(readable, pq.read_table(path, partitioning=None).to_pylist())


def topics_of(pipeline: Pipeline) -> dict[str, bytes]:
    with LogScanner(pipeline.places.bootstrap_servers) as scanner:
        return {
            topic.name: b"\n".join(
                readable(record)
                for partition in scanner.partitions(topic.name)
                for record in scanner.records(topic.name, partition)
            )
            for topic in TOPICS
        }


def readable(value: Any) -> bytes:
    """All that is in a row or record, bytes as they are."""
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return b"\n".join(readable(part) for item in value.items() for part in item)
    if isinstance(value, list | tuple):
        return b"\n".join(map(readable, value))
    return str(value).encode()


def test_no_store_and_no_log_holds_a_secret(lives: Lives) -> None:
    assert {name: lives.redacted.found_in(data) for name, data in lives.places.items()} == {
        name: set() for name in lives.places
    }


def test_the_search_finds_each_where_nothing_was_redacted(lives: Lives) -> None:
    planted = set(lives.control.planted)
    assert lives.control.found_in(lives.places["recorder"]) == {"mode"}
    for name in ("spool", "on_delivery", AGENT_EVENTS.name):
        assert lives.control.found_in(lives.places[name]) == planted - {"mode"}, name
    ends, refused = {"termination"}, {"refused", "mode"}
    for name in (TRAJECTORIES.name, "postgres", "parquet"):
        assert planted - lives.control.found_in(lives.places[name]) <= ends | refused, name
    for name in (QUARANTINE.name, "postgres", "parquet"):
        assert "refused" in lives.control.found_in(lives.places[name]), name
    assert to_json("[redacted:api_key]")[1:-1] in lives.places["postgres"]
