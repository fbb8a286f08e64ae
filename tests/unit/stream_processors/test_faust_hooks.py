"""The private hooks of Faust, mode and aiokafka that the worker relies on; an upgrade that moves
one must fail here, not lose events."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mode
import pytest
from aiokafka.consumer.fetcher import Fetcher as AIOKafkaFetcher
from faust.app.base import App
from faust.tables.recovery import Recovery
from faust.transport import consumer as base
from faust.transport.drivers import aiokafka as driver
from mode.worker import Worker as ModeWorker

from ropewalk_stream_processors import app as shell
from ropewalk_stream_processors.transport import BatchConsumer, BatchFetcher, BatchTransport

PINNED = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}


@pytest.mark.parametrize(("package", "wanted"), PINNED.items())
def test_the_version_is_the_one_whose_source_was_read(package: str, wanted: str) -> None:
    assert version(package) == wanted
    assert f'"{package}=={wanted}"' in (Path(__file__).parents[3] / "pyproject.toml").read_text()


def source_of(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function))


def calls(function: Callable[..., Any]) -> list[str]:
    """What a function calls, in the order of its source: ``self.x.y`` as ``self.x.y``."""
    found = [
        node for node in ast.walk(ast.parse(source_of(function))) if isinstance(node, ast.Call)
    ]
    found.sort(key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0))
    return [ast.unparse(node.func) for node in found]


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


SIGNATURES: dict[str, tuple[Callable[..., Any], list[str], bool]] = {
    # what we override
    "_drain_messages": (base.Consumer._drain_messages, ["self", "fetcher"], True),
    "_filter_tps_with_pending_acks": (
        base.Consumer._filter_tps_with_pending_acks,
        ["self", "topics"],
        False,
    ),
    "_new_offset": (base.Consumer._new_offset, ["self", "tp"], False),
    "_should_commit": (base.Consumer._should_commit, ["self", "tp", "offset"], False),
    "_commit": (base.ThreadDelegateConsumer._commit, ["self", "offsets"], True),
    "_schedule_shutdown": (ModeWorker._schedule_shutdown, ["self", "signal"], False),
    # what we call
    "_wait_next_records": (base.Consumer._wait_next_records, ["self", "timeout"], True),
    "seek": (base.Consumer.seek, ["self", "partition", "offset"], True),
    "assignment": (base.ThreadDelegateConsumer.assignment, ["self"], False),
    "earliest_offsets": (
        base.ThreadDelegateConsumer.earliest_offsets,
        ["self", "partitions"],
        True,
    ),
    "set_shutdown": (mode.Service.set_shutdown, ["self"], False),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_hook_has_the_signature_the_worker_relies_on(name: str) -> None:
    function, wanted, is_coroutine = SIGNATURES[name]
    assert parameters(function) == wanted
    assert inspect.iscoroutinefunction(function) == is_coroutine


@pytest.mark.parametrize(
    "name",
    [
        "_drain_messages",
        "_filter_tps_with_pending_acks",
        "_new_offset",
        "_should_commit",
        "_commit",
    ],
)
def test_the_batch_consumer_overrides_a_hook_with_the_same_signature(name: str) -> None:
    ours, theirs = getattr(BatchConsumer, name), getattr(driver.Consumer, name)
    assert ours is not theirs
    assert parameters(ours) == parameters(theirs)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


def test_the_fetcher_runs_nothing_but_the_consumer_s_drain_loop() -> None:
    task = base.Fetcher._fetcher.fun
    assert calls(task)[:2] == ["cast", "consumer._drain_messages"]
    assert {"self.supervisor.wakeup", "self.set_shutdown"} <= set(calls(task))
    stop = source_of(base.Fetcher.on_stop)
    assert "_drainer" in stop
    assert issubclass(BatchFetcher, base.Fetcher)
    assert BatchFetcher._tasks is not None
    assert BatchFetcher._tasks[BatchFetcher._get_class_id()] == {"_fetcher"}


def test_the_app_takes_fetcher_and_consumer_from_the_transport() -> None:
    app = ast.parse(inspect.getsource(App)).body[0]
    (fetcher,) = [n for n in ast.walk(app) if getattr(n, "name", "") == "_fetcher"]
    assert "self.transport.Fetcher" in ast.unparse(fetcher)
    assert "self.Consumer" in calls(base_transport().create_consumer)
    assert BatchTransport.Consumer is BatchConsumer
    assert BatchTransport.Fetcher is BatchFetcher


def base_transport() -> Any:
    return driver.Transport.__mro__[1]


def test_stopping_sets_stopped_before_it_cancels_tasks() -> None:
    said = calls(mode.Service.stop)
    assert said.index("self._stopped_set") < said.index("self.on_stop")
    assert said.index("self.on_stop") < said.index("self._stop_futures")


def test_next_records_come_as_batches_by_partition_with_the_active_ones() -> None:
    source = source_of(base.Consumer._wait_next_records)
    assert "return records, active_partitions" in source
    assert "if not self.flow_active:" in source
    assert calls(base.Consumer._wait_next_records)[0] == "self.wait"
    assert "self._getmany" in calls(base.Consumer._wait_next_records)
    fetch = source_of(driver.AIOKafkaConsumerThread._fetch_records)
    assert "fetcher.fetched_records(" in fetch
    assert list(inspect.signature(AIOKafkaFetcher.fetched_records).parameters)[:3] == [
        "self",
        "partitions",
        "timeout",
    ]


def test_records_have_what_an_input_record_is_made_of() -> None:
    from aiokafka.structs import ConsumerRecord

    assert {"offset", "timestamp", "timestamp_type", "key", "value", "headers"} <= set(
        ConsumerRecord.__dataclass_fields__
    )


def test_flow_is_stopped_and_resumed_by_one_flag() -> None:
    assert base.Consumer.flow_active is True
    assert "self.flow_active = False" in source_of(base.Consumer.stop_flow)
    assert "self.flow_active = True" in source_of(base.Consumer.resume_flow)
    assert "consumer.stop_flow" in source_of(App._on_partitions_revoked)


def test_the_generation_changes_at_every_assignment() -> None:
    assert App.consumer_generation_id == 0
    listener = source_of(driver.ConsumerRebalanceListener.on_partitions_assigned)
    assert "self._thread.app.consumer_generation_id = generation" in listener
    assert "await self._thread.on_partitions_assigned" in listener


def test_after_a_rebalance_faust_seeks_to_the_group_s_offsets_before_flow_resumes() -> None:
    """Which is why the worker seeks again, and only when flow is active."""
    for step in (Recovery._resume_streams, Recovery.on_recovery_completed):
        said = calls(step)
        assert said.index("consumer.perform_seek") < said.index("consumer.resume_flow")
        assert "_fetcher.maybe_start" in source_of(step)
    assert "seek_to_committed" in source_of(base.Consumer.perform_seek)


def test_seeking_sets_where_reading_goes_on() -> None:
    source = source_of(base.Consumer.seek)
    assert "await self._seek(partition, offset)" in source
    assert "self._read_offset[ensure_TP(partition)]" in source


def test_a_commit_goes_through_our_four_hooks_in_order() -> None:
    assert "self.force_commit" in calls(base.Consumer.commit)
    force = calls(base.Consumer.force_commit)
    assert force.index("self._filter_tps_with_pending_acks") < force.index("self._commit_tps")
    tps = calls(base.Consumer._commit_tps)
    assert tps.index("self._filter_committable_offsets") < tps.index("self._commit_offsets")
    wanted = calls(base.Consumer._filter_committable_offsets)
    assert wanted.index("self._new_offset") < wanted.index("self._should_commit")
    assert "self._commit" in calls(base.Consumer._commit_offsets)
    assert "if offset is not None" in source_of(base.Consumer._filter_committable_offsets)


def test_only_one_commit_runs_at_a_time() -> None:
    assert calls(base.Consumer.commit)[:1] == ["self.maybe_wait_for_commit_to_finish"]
    assert "self._commit_fut = asyncio.Future" in source_of(base.Consumer.commit)


def test_commits_happen_on_a_timer_and_when_the_consumer_stops() -> None:
    timer = base.Consumer._commit_handler.fun
    assert "self.commit" in calls(timer)
    assert "self.commit_interval" in source_of(timer)
    assert "self.commit_and_end_transactions" in calls(base.Consumer.on_stop)


def test_a_fenced_group_commit_is_no_crash() -> None:
    source = source_of(driver.AIOKafkaConsumerThread._commit)
    assert 'if "already rebalanced" in str(exc):\n            return False' in source


def test_both_signals_end_in_the_scheduled_shutdown_that_has_a_deadline() -> None:
    for handler in (ModeWorker._on_sigterm, ModeWorker._on_sigint):
        assert "self._schedule_shutdown" in calls(handler)
    assert shell.Shell._schedule_shutdown is not ModeWorker._schedule_shutdown
    assert shell.STOP_WITHIN_S < 20, "the supervisor kills after 20 s"
