"""Whole partition batches out of Faust: the only place that touches its private methods.

Stock Faust creates tasks per record and commits past unprocessed offsets. This subclass keeps its
group membership, flow control and rebalancing, and replaces how records are handed over and what
is committed. tests/unit/stream_processors/test_faust_hooks.py holds what it relies on.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from faust.transport.consumer import Fetcher
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from ropewalk_schemas.failpoints import reach
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_stream_processors.errors import WorkerError
from ropewalk_stream_processors.partitions import Partitions, check_reach, check_same_log
from ropewalk_stream_processors.trajectory.records import InputRecord

log = logging.getLogger(__name__)
FAUST_LOG = logging.getLogger("faust.ropewalk")  # what mode says of our classes is Faust's talk
SLICE = 2000  # records applied before the event loop gets a turn, about 50 ms
POLL_S = 0.25


class BatchConsumer(driver.Consumer):
    """Feeds whole batches to `app.partitions`, and commits their replay points."""

    logger = FAUST_LOG

    mundane_level = "debug"

    @property
    def _partitions(self) -> Partitions:
        partitions: Partitions = self.app.partitions  # type: ignore[attr-defined] # a WorkerApp
        return partitions

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            await self._drain(fetcher)
        except asyncio.CancelledError:
            raise
        except WorkerError as error:
            die(error, error.exit_status)
        except Exception as error:  # whatever it is, going on could lose events
            die(error, 70)

    async def _drain(self, fetcher: Any) -> None:
        synced: int | None = None
        while not (self._stopped.is_set() or fetcher._stopped.is_set()):
            generation = self.app.consumer_generation_id
            if self.flow_active and synced != generation and self.assignment():
                await self._sync()
                synced = generation
                continue
            records, _ = await self._wait_next_records(POLL_S)
            await asyncio.sleep(0)
            for tp, batch in (records or {}).items():
                if not self._current(synced):
                    break  # fetched before a rebalance: it comes again after the seek
                await self._take(TP(*tp), batch, synced)
            if self._current(synced):
                self._partitions.pass_time()

    def _current(self, synced: int | None) -> bool:
        return self.flow_active and self.app.consumer_generation_id == synced

    async def _sync(self) -> None:
        """After any rebalance: own what is assigned, and read on where the engines stand.

        Faust itself has just moved every partition to the group's offset.
        """
        mine = {tp.partition for tp in self.assignment() if tp.topic == AGENT_EVENTS.name}
        loop = asyncio.get_running_loop()
        positions = await loop.run_in_executor(None, self._partitions.assign, mine)
        for partition, offset in positions.items():
            tp = TP(AGENT_EVENTS.name, partition)
            await self.seek(tp, offset)
            self._read_offset[tp] = offset

    async def _take(self, tp: TP, batch: list[Any], synced: int | None) -> None:
        owned = self._partitions.owned.get(tp.partition)
        if owned is None or not batch:
            return
        expected = owned.engine.next_offset
        if batch[0].offset > expected:
            first = (await self.earliest_offsets(tp))[tp]
            check_reach(tp.partition, first, expected)
        elif batch[0].offset < expected:  # the client began anew: its place is not in the log
            check_same_log(tp.partition, (await self.highwaters(tp))[tp], expected)
        for start in range(0, len(batch), SLICE):
            if not self._current(synced):
                return
            self._partitions.take(
                tp.partition,
                [
                    InputRecord(r.offset, r.timestamp, r.key, r.value, r.headers)
                    for r in batch[start : start + SLICE]
                    if r.offset >= expected
                ],
            )
            if owned.engine.next_offset < owned.engine.target:
                reach("worker.replay.amid")
            await asyncio.sleep(0)

    # -- what is committed: the replay points, as a hint for monitoring

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter(
            [TP(AGENT_EVENTS.name, partition) for partition in list(self._partitions.owned)]
        )

    def _new_offset(self, tp: TP) -> int | None:
        return self._partitions.capture(tp.partition)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return True

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        taken = self._partitions.captured()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._partitions.account, taken)
        except WorkerError as error:
            die(error, error.exit_status)
        committed: bool = await super()._commit(offsets)
        reach("worker.commit.after")
        return committed


class BatchFetcher(Fetcher):
    """Runs the drain loop; stopped in the middle of a rebalance it ends, where Faust's crashes."""

    logger = FAUST_LOG

    @Service.task
    async def _fetcher(self) -> None:
        try:
            await self.app.consumer._drain_messages(self)  # type: ignore[attr-defined] # ours
        except asyncio.CancelledError:
            if not self._stopped.is_set():
                raise
        finally:
            self.set_shutdown()


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the batch consumer."""

    Consumer = BatchConsumer
    Fetcher = BatchFetcher


def die(error: BaseException, status: int) -> None:
    """End the process now: state is the log, so there is nothing to save, and nothing may go on."""
    log.critical("worker stops", extra={"fields": {"error": f"{type(error).__name__}: {error}"}})
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)
