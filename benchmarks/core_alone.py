"""What the core costs without any shell: `python -m benchmarks.core_alone N`; prints JSON.

N trajectories lie in memory; engines take them as the contenders' do. A little kinder than life:
nothing else competes for the processor's caches.
"""

import gc
import json
import sys
import time

from benchmarks.contenders import GARBAGE_THRESHOLDS, N_PARTITIONS
from benchmarks.engines import new_engine
from benchmarks.workload import workload
from ropewalk_schemas.partitioning import partition_of
from ropewalk_stream_processors.trajectory.records import InputRecord

REPEATS = 5


def main(n: int) -> None:
    logs: dict[int, list[InputRecord]] = {p: [] for p in range(N_PARTITIONS)}
    now_ms = time.time_ns() // 1_000_000
    for key, value in workload(n):
        log = logs[partition_of(key, N_PARTITIONS)]
        log.append(InputRecord(len(log), now_ms, key, value))
    n_events = sum(len(log) for log in logs.values())
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        published = sum(_apply(partition, log) for partition, log in logs.items())
        seconds.append(time.process_time() - begin)
        if published != n:
            msg = f"the engines published {published} of {n} trajectories"
            raise SystemExit(msg)
    print(json.dumps({"us_per_event": sorted(seconds)[REPEATS // 2] / n_events * 1e6}))


def _apply(partition: int, log: list[InputRecord]) -> int:
    engine = new_engine(partition)
    published = 0
    for record in log:
        engine.apply(record)
        if engine.outputs:
            published += len(engine.outputs)
            engine.outputs.clear()
    return published


if __name__ == "__main__":
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    main(int(sys.argv[1]))
