"""A recorder with a spool, over a broker in memory."""

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.recorder_contract import play, until
from tests.support.spool import BrokerInMemory, seqs_by_writer, spooling

from ropewalk_producers import Delivery, Recorder, RecorderSettings, SettingsError
from ropewalk_producers.spool import files as files_module
from ropewalk_producers.spool.draining import drain
from ropewalk_producers.spool.folder import Owner
from ropewalk_producers.spool.format import HEADER_BYTES
from ropewalk_producers.spool.listing import spooled
from ropewalk_schemas.codec import decode_event_with_models
from ropewalk_schemas.events import LLMCall

N = 9  # events of a `play`


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def call(trajectory: Any, n: int, size: int = 10) -> None:
    trajectory.llm_call(model="m", messages=[{"role": "user", "content": str(n) * size}])


def assert_in_order(broker: BrokerInMemory, n_writers: int) -> None:
    seqs = seqs_by_writer(broker.log)
    assert len(seqs) == n_writers
    assert all(given == list(range(len(given))) for given in seqs.values())


def test_what_is_delivered_leaves_nothing_behind(tmp_path: Path) -> None:
    broker = BrokerInMemory()
    recorder = spooling(broker, tmp_path)
    play(recorder, "t1")
    report = recorder.close(10)
    assert report.complete
    assert (report.delivered, report.spooled, len(broker.log)) == (N, 0, N)
    assert files(tmp_path) == []


def test_events_wait_on_disk_for_a_later_recorder(tmp_path: Path) -> None:
    away = BrokerInMemory(reachable=False)
    recorder = spooling(away, tmp_path)
    play(recorder, "t1")
    report = recorder.close(0)
    assert report.complete
    assert (report.delivered, report.undelivered, report.spooled) == (0, 0, N)
    assert "spooled=9" in repr(report)
    back = BrokerInMemory()
    later = spooling(back, tmp_path)
    play(later, "t2")
    until(lambda: later.counters.recovered == N)
    assert later.close(10).delivered == N
    keys = [key for key, _ in back.log]
    assert keys == [b"t1"] * N + [b"t2"] * N, "what the dead left goes first"
    assert_in_order(back, 2)
    assert files(tmp_path) == []


def test_an_outage_costs_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    broker = BrokerInMemory(reachable=False)
    heard: list[Delivery] = []
    recorder = spooling(broker, tmp_path, on_delivery=heard.append)
    for n in range(20):
        play(recorder, f"t{n}")
    until(lambda: recorder.counters.spooled == 20 * N)
    assert heard == []
    broker.comes_back()
    report = recorder.close(10)
    assert (report.delivered, report.spooled) == (20 * N, 0)
    assert len(broker.log) == len(heard) == 20 * N
    assert {delivery.event_id for delivery in heard} == {
        decode_event_with_models(value).event_id for _, value in broker.log
    }
    assert_in_order(broker, 20)


def test_a_connection_that_fails_is_made_anew_and_all_is_sent_again(tmp_path: Path) -> None:
    broker = BrokerInMemory(reachable=False)
    recorder = spooling(broker, tmp_path)
    play(recorder, "t1")
    until(lambda: bool(broker.publishers[0]._waiting))
    broker.fails("the producer was fenced")
    until(lambda: len(broker.publishers) > 1)
    broker.comes_back()
    report = recorder.close(10)
    assert (report.delivered, report.failed) == (N, 0)
    assert "fenced" in str(recorder.last_error)
    assert_in_order(broker, 1)


def test_an_event_the_broker_never_takes_fails_alone(tmp_path: Path) -> None:
    broker = BrokerInMemory(reachable=False)
    heard: list[Delivery] = []
    recorder = spooling(broker, tmp_path, on_delivery=heard.append)
    play(recorder, "t1")
    until(lambda: recorder.counters.spooled == N)
    waiting = broker.publishers[0]._waiting
    until(lambda: len(waiting) == N)
    broker.refused.add(waiting[4][0].value)
    broker.fails("the connection is gone")
    broker.comes_back()
    until(lambda: recorder.counters.delivered == N - 1)
    report = recorder.close(10)
    assert (report.delivered, report.failed, report.spooled) == (N - 1, 1, 0)
    assert [d.error for d in heard if d.error] == ["Broker: Message size too large"]
    assert files(tmp_path) == []


def test_of_a_batch_the_broker_refuses_each_event_has_its_own_chance(tmp_path: Path) -> None:
    broker = BrokerInMemory(reachable=False)
    recorder = spooling(broker, tmp_path)
    play(recorder, "t1")
    until(lambda: len(broker.publishers[0]._waiting) == N)
    broker.fails("Broker: Message size too large", lasting=True)
    broker.comes_back()
    report = recorder.close(10)
    assert (report.delivered, report.failed, report.spooled) == (N, 0, 0)
    assert_in_order(broker, 1)


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_acknowledged_on_disk_is_heard_while_the_broker_is_away(tmp_path: Path, fsync: str) -> None:
    broker = BrokerInMemory(reachable=False)
    heard: list[Delivery] = []
    recorder = spooling(
        broker, tmp_path, on_delivery=heard.append, spool_ack="disk", spool_fsync=fsync
    )
    play(recorder, "t1")
    until(lambda: len(heard) == N)
    assert all(d.error is None and d.offset is None for d in heard)
    assert sum(segment.events for segment in spooled(tmp_path)) == N
    broker.comes_back()
    until(lambda: recorder.counters.delivered == N)
    assert recorder.close(10).complete
    assert len(heard) == N, "each event is acknowledged once"


def test_a_full_spool_refuses_new_trajectories_and_never_breaks_open_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = BrokerInMemory(reachable=False)
    recorder = spooling(broker, tmp_path, spool_max_bytes=1024 * 1024)
    begun = recorder.trajectory(agent_id="a", trajectory_id="begun")
    n = 0
    with caplog.at_level(logging.WARNING):
        while recorder.counters.refused == 0:
            call(begun, n, 1000)
            n += 1
            until(lambda: recorder.counters.in_flight - recorder.counters.spooled < 50)
            with recorder.trajectory(agent_id="a", trajectory_id=f"probe-{n}") as probe:
                call(probe, n)
        counters = recorder.counters
        assert (counters.refused, counters.dropped_full) == (1, 3)
        assert "takes no new trajectories: it holds" in str(recorder.last_error)
        probe.reward("r", 1.0)
        recorder.trajectory(agent_id="b").llm_call(model=object(), messages=object())  # type: ignore[arg-type]
        assert recorder.counters.refused == 2
    refusals = [record for record in caplog.records if "no new traj" in record.getMessage()]
    assert len(refusals) == 4, "logged once per kind of event"
    for _ in range(50):  # into the reserve, then into memory
        call(begun, n, 10_000)
        n += 1
    assert recorder.counters.dropped_full == 6
    size = sum(path.stat().st_size for path in files(tmp_path))
    assert size <= 1024 * 1024
    broker.comes_back()
    until(lambda: recorder.counters.in_flight == 0 and not recorder._outlet._refusal)
    recorder.trajectory(agent_id="c").end()
    begun.end()
    assert recorder.counters.refused == 2
    report = recorder.close(10)
    assert (report.failed, report.undelivered, report.spooled) == (0, 0, 0)
    assert not report.complete
    assert_in_order(broker, n - 50 + 1)  # the probes but one, `begun` and the last
    assert len(seqs_by_writer(broker.log)["begun", begun.writer]) == n + 2


class BrokenDisk:
    """Lets files be written to, or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: int | None = None
        self.sync_error: int | None = None
        write, sync = files_module.write_all, os.fsync

        def written(fd: int, data: bytes, at: int) -> None:
            if self.error is not None:
                write(fd, data[: len(data) // 2], at)  # a full disk takes what fits
                raise OSError(self.error, os.strerror(self.error))
            write(fd, data, at)

        def synced(fd: int) -> None:
            if self.sync_error is not None:
                raise OSError(self.sync_error, os.strerror(self.sync_error))
            sync(fd)

        monkeypatch.setattr("ropewalk_producers.spool.segment.write_all", written)
        monkeypatch.setattr(os, "fsync", synced)


def count_looks(recorder: Recorder) -> Callable[[], int]:
    """How often the spool has looked at its disk since now."""
    store = recorder._outlet._publisher._keeper._store  # type: ignore[union-attr]
    look, n = store.look, [0]

    def counted() -> None:
        n[0] += 1
        look()

    store.look = counted
    return lambda: n[0]


@pytest.mark.parametrize("where", ["error", "sync_error"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_costs_no_event_of_an_open_trajectory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int
) -> None:
    disk, broker = BrokenDisk(monkeypatch), BrokerInMemory(reachable=False)
    recorder = spooling(broker, tmp_path)
    begun = recorder.trajectory(agent_id="a", trajectory_id="begun")
    call(begun, 1)
    until(lambda: recorder.counters.spooled == 2)
    setattr(disk, where, number)
    for n in range(10):
        call(begun, n)
    until(lambda: os.strerror(number) in str(recorder.last_error))
    with recorder.trajectory(agent_id="a", trajectory_id="new") as refused:
        call(refused, 1)
    assert recorder.counters.refused == 1
    assert recorder.counters.spooled == 2
    broker.comes_back()
    until(lambda: recorder.counters.in_flight == 0)  # from the disk, then from memory
    looks = count_looks(recorder)
    until(lambda: looks() > 2)
    assert recorder._outlet._refusal, "nothing waits for the disk, which fails all the same"
    for n in range(10):
        call(begun, n)
    setattr(disk, where, None)
    with recorder.trajectory(agent_id="a") as first:
        until(lambda: not recorder._outlet._refusal)
    begun.end()
    with recorder.trajectory(agent_id="a", trajectory_id="again"):
        pass
    report = recorder.close(10)
    assert (report.dropped, report.undelivered, report.failed) == (5, 0, 0)
    assert first.event_count == 2
    assert_in_order(broker, 2)
    assert files(tmp_path) == []


def test_a_disk_that_hangs_stops_no_agent_and_new_trajectories_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, goes_on, sync = threading.Event(), threading.Event(), os.fsync

    def synced(fd: int) -> None:
        hangs.set()
        goes_on.wait(30)
        sync(fd)

    broker = BrokerInMemory()
    recorder = spooling(broker, tmp_path, queue_messages=20)
    begun = recorder.trajectory(agent_id="a")
    until(lambda: recorder.counters.delivered == 1)
    monkeypatch.setattr(os, "fsync", synced)
    call(begun, 0)
    assert hangs.wait(10)
    for n in range(12):
        call(begun, n)
    recorder.trajectory(agent_id="a").end()
    assert (recorder.counters.refused, recorder.counters.dropped_full) == (1, 2)
    goes_on.set()
    until(lambda: recorder.counters.in_flight == 0 and not recorder._outlet._refusal)
    begun.end()
    assert recorder.close(10).delivered == 15
    assert_in_order(broker, 1)


def test_closing_tells_what_a_broken_disk_and_a_broker_that_is_away_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, broker = BrokenDisk(monkeypatch), BrokerInMemory(reachable=False)
    heard: list[Delivery] = []
    recorder = spooling(broker, tmp_path, on_delivery=heard.append)
    begun = recorder.trajectory(agent_id="a")
    until(lambda: recorder.counters.spooled == 1)
    disk.error = errno.EIO
    call(begun, 1)
    report = recorder.close(0)
    assert not report.complete
    assert (report.spooled, report.undelivered) == (1, 1)
    until(lambda: len(heard) == 1)
    assert heard[0].error == os.strerror(errno.EIO)


def test_a_full_memory_drops_and_the_next_prompt_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, broker = BrokenDisk(monkeypatch), BrokerInMemory(reachable=False)
    recorder = spooling(broker, tmp_path, queue_messages=5)
    t = recorder.trajectory(agent_id="a", trajectory_id="t1")
    until(lambda: recorder.counters.spooled == 1)
    disk.error = errno.ENOSPC
    chat = [{"role": "user", "content": "hello"}]
    for _ in range(7):
        t.llm_call(model="m", messages=chat)
        chat = [*chat, {"role": "user", "content": "more"}]
    assert (recorder.counters.dropped_full, recorder.counters.accepted) == (2, 6)
    assert "queue is full" in str(recorder.last_error)
    disk.error = None
    until(lambda: recorder.counters.spooled == 6)
    t.llm_call(model="m", messages=chat)
    broker.comes_back()
    recorder.close(10)
    calls = [e for _, v in broker.log if isinstance(e := decode_event_with_models(v), LLMCall)]
    assert [event.seq for event in calls] == [1, 2, 3, 4, 5, 8]
    assert calls[-1].base_call is None


def test_a_folder_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"^spool_path is .*/file/spool: Not a directory"):
        spooling(BrokerInMemory(), tmp_path / "file" / "spool")
    with pytest.raises(SettingsError, match=r"^spool_path is empty"):
        RecorderSettings(project="p", service="s", durability="spool")


def test_processes_share_a_folder_and_leave_each_others_segments_alone(tmp_path: Path) -> None:
    away, broker = BrokerInMemory(reachable=False), BrokerInMemory()
    living = spooling(away, tmp_path)
    play(living, "t1")
    until(lambda: living.counters.spooled == N)
    other = spooling(broker, tmp_path)
    play(other, "t2")
    settings = other.settings
    report = drain(settings, connect=lambda _: broker.publisher())
    assert (report.sent, report.left, report.complete) == (0, 0, True)
    assert other.close(10).delivered == N
    assert {key for key, _ in broker.log} == {b"t2"}
    living.close(0)
    report = drain(settings, connect=lambda _: broker.publisher())
    assert (report.sent, report.complete) == (N, True)
    assert files(tmp_path) == []


def left_behind(folder: Path) -> Path:
    recorder = spooling(BrokerInMemory(reachable=False), folder)
    play(recorder, "t1")
    recorder.close(0)
    (path,) = folder.rglob("*.spool")
    return path


def drained(folder: Path, broker: BrokerInMemory, **options: Any) -> Any:
    settings = spooling_settings(folder)
    return drain(settings, connect=lambda _: broker.publisher(), **options)


def spooling_settings(folder: Path) -> RecorderSettings:
    return RecorderSettings(project="p", service="s", durability="spool", spool_path=str(folder))


def test_a_torn_tail_is_cut_and_reported(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    (listed,) = spooled(tmp_path)
    assert (listed.events, listed.living) == (N - 1, False)
    assert listed.torn_bytes > 0
    assert listed.pid == os.getpid()
    broker = BrokerInMemory()
    report = drained(tmp_path, broker)
    assert (report.sent, report.complete) == (N - 1, True)
    assert "an event that was not written whole" in report.problems[0]
    assert files(tmp_path) == []


def test_what_cannot_be_read_is_kept_and_asked_about(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = drained(tmp_path, BrokerInMemory())
    assert (report.sent, report.kept, report.complete) == (N - 1, 1, False)
    (listed,) = spooled(tmp_path)
    assert (listed.kept, listed.events) == (True, 0)
    assert Path(listed.path).read_bytes()[HEADER_BYTES:] == bytes(data)[HEADER_BYTES:]


def test_a_recorder_reports_what_the_dead_left_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = left_behind(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    recorder = spooling(BrokerInMemory(), tmp_path)
    until(lambda: recorder.counters.recovered == N - 1)
    until(lambda: "the spool cut" in str(recorder.last_error))
    assert recorder.close(5).complete


def test_a_drain_without_a_broker_leaves_everything(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    before = path.read_bytes()
    report = drained(tmp_path, BrokerInMemory(reachable=False), stall_s=0.3)
    assert (report.sent, report.left, report.complete) == (0, N, False)
    assert path.read_bytes() == before


def test_progress_is_kept_in_the_segment(tmp_path: Path) -> None:
    broker = BrokerInMemory()
    recorder = spooling(broker, tmp_path)
    t = recorder.trajectory(agent_id="a")
    until(lambda: recorder.counters.delivered == 1)
    until(lambda: [segment.events for segment in spooled(tmp_path)] == [0])
    broker.reachable = broker.publishers[0].reachable = False
    call(t, 1)
    until(lambda: [segment.events for segment in spooled(tmp_path)] == [1])
    recorder.close(0)
    report = drained(tmp_path, BrokerInMemory())
    assert report.sent == 1


def test_folders_of_processes_that_died_at_once_are_swept(tmp_path: Path) -> None:
    topic = tmp_path / "agent-events"
    (topic / "0000000000001-1-aa").mkdir(parents=True)
    (topic / "0000000000002-2-bb").mkdir()
    (topic / "0000000000002-2-bb" / "lock").touch()
    living = Owner.create(topic)
    drained(tmp_path, BrokerInMemory())
    assert [path for path in topic.iterdir() if path.is_dir()] == [living.path]
    living.release()
    assert list(topic.iterdir()) == []


def test_a_closed_recorder_refuses(tmp_path: Path) -> None:
    recorder: Recorder = spooling(BrokerInMemory(), tmp_path)
    recorder.close(5)
    play(recorder, "t1", n_steps=1)
    assert recorder.counters.rejected == 5
