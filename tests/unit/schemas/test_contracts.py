"""The small promises of the package: names, topics, limits and counts."""

import ast
import doctest
import importlib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import ropewalk_schemas
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_schemas.progress import Counts
from ropewalk_schemas.reasons import Reason
from ropewalk_schemas.topics import (
    AGENT_EVENTS,
    CLIENT_MESSAGE_BYTES,
    MAX_EVENT_BYTES,
    PROGRESS,
    QUARANTINE,
    TOPICS,
    TRAJECTORIES,
    TopicSpec,
)

PACKAGE = Path(ropewalk_schemas.__file__).parent
FATES = st.integers(0, 1000)


def test_exported_names_agree_with_all() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert sorted(imported) == ropewalk_schemas.__all__


@pytest.mark.parametrize("module", sorted(path.stem for path in PACKAGE.glob("[a-z]*.py")))
def test_examples_in_docstrings_hold(module: str) -> None:
    imported = importlib.import_module(f"ropewalk_schemas.{module}")
    assert doctest.testmod(imported).failed == 0


def test_topic_names_are_unique() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_says_who_writes_and_reads_it_and_how_long_it_keeps(topic: TopicSpec) -> None:
    assert topic.producers
    assert topic.consumers
    assert topic.key
    assert topic.holds
    assert topic.retention_ms == -1 or topic.retention_ms > 0
    config = topic.config()
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["retention.ms"] == str(topic.retention_ms)
    assert int(config["max.message.bytes"]) < CLIENT_MESSAGE_BYTES


def test_what_a_topic_takes_fits_where_it_may_have_to_go() -> None:
    assert MAX_EVENT_BYTES < AGENT_EVENTS.max_message_bytes < QUARANTINE.max_message_bytes
    assert TRAJECTORIES.max_message_bytes < QUARANTINE.max_message_bytes
    assert PROGRESS.config()["cleanup.policy"] == "compact"
    assert AGENT_EVENTS.partitions == TRAJECTORIES.partitions == PROGRESS.partitions


@given(FATES, FATES, FATES, st.dictionaries(st.sampled_from(get_args(Reason)), FATES), FATES)
def test_counts_balance_when_every_record_has_exactly_one_fate(
    assembled: int, ledger: int, duplicate: int, quarantined: dict[Reason, int], still_open: int
) -> None:
    received = assembled + ledger + duplicate + sum(quarantined.values()) + still_open
    for off_by in (-1, 0, 1):
        counts = Counts.model_construct(
            received=received + off_by,
            assembled=assembled,
            ledger=ledger,
            duplicate=duplicate,
            quarantined=quarantined,
        )
        assert counts.balanced(open_events=still_open) is (off_by == 0)


def test_a_project_without_limits_of_its_own_has_the_default_ones() -> None:
    settings = Settings(default=Limits(settle_ms=1), projects={"slow": Limits(idle_ms=5)})
    assert settings.for_project("slow").idle_ms == 5
    assert settings.for_project("slow").settle_ms == Limits().settle_ms
    assert settings.for_project("any other").settle_ms == 1


def test_the_longest_step_of_the_clock_is_shorter_than_any_default_wait() -> None:
    limits = Limits()
    assert Settings().cap_ms < min(limits.settle_ms, limits.idle_ms, limits.duration_ms)
    assert limits.max_bytes <= MAX_EVENT_BYTES


@pytest.mark.parametrize(
    "limits",
    [{"settle_ms": 0}, {"window_s": 0}, {"max_bytes": 2**30}, {"idle_ms": 1.5}, {"idle_ms": True}],
)
def test_limits_no_engine_could_keep_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Limits(**limits)
