"""The Python of README.md is run as it stands, without servers, and prints what README shows.

What the first block records goes through the real engine and the real Parquet sink, and is what
the blocks for data scientists then read.
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from ropewalk_producers.testing import MemoryRecorder, Record
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_sinks.config import ParquetSettings
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.sink import SourceRecord, TopicPartition
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord

README = Path(__file__).parents[3] / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PARQUET = Path(".ropewalk", "parquet")


class Block(NamedTuple):
    """Some Python, and what it prints: the text block right behind it, else nothing."""

    line: int
    code: str
    prints: str


def blocks(text: str) -> list[Block]:
    """The Python blocks of a Markdown text."""
    fences = list(FENCE.finditer(text))
    following = [*fences[1:], None]
    found = []
    for fence, after in zip(fences, following, strict=True):
        if fence[1] != "python":
            continue
        is_output = after is not None and after[1] == "text"
        shown = after[2] if after is not None and is_output else ""
        between = text[fence.end() : after.start()].strip() if after is not None else ""
        prints = "" if between else shown
        found.append(Block(text[: fence.start()].count("\n") + 1, fence[2], prints))
    return found


def run(block: Block) -> dict[str, object]:
    """Run a block as a module of its own."""
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(block.code, f"README.md:{block.line}", "exec"), names)
    return names


def store(records: Iterable[Record]) -> None:
    """Assemble what was recorded, and store it where a local stack has its Parquet."""
    engine = Engine(Place(AGENT_EVENTS.name, 0, "1"), n_partitions=1, settings=Settings())
    broker_ms = time.time_ns() // 1_000_000  # the recorder's clock was the real one
    for offset, record in enumerate(records):
        engine.apply(InputRecord(offset, broker_ms + offset, record.key, record.value, ()))
    at: dict[str, TopicPartition] = {}
    published = []
    for offset, output in enumerate(engine.outputs):
        place = at.setdefault(output.topic, TopicPartition(output.topic, 0))
        published.append(
            SourceRecord(place, offset, broker_ms, output.key, output.value, output.headers)
        )
    sink = ParquetSink(ParquetSettings(bootstrap_servers="unused:1", parquet_path=PARQUET))
    sink.claim(at.values())
    sink.add(published)
    sink.flush(lambda refused: pytest.fail(f"refused: {refused}"))
    sink.close()


def test_readme_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ropewalk_producers.Recorder", MemoryRecorder)
    recording, *others = blocks(README.read_text(encoding="utf-8"))
    recorder = run(recording)["recorder"]
    assert isinstance(recorder, MemoryRecorder)
    assert capsys.readouterr().out == recording.prints
    store(recorder.records)
    assert len(others) >= 3, "README has lost its examples for tests, DuckDB and pandas"
    for block in others:
        run(block)
        assert (block.line, capsys.readouterr().out) == (block.line, block.prints)
