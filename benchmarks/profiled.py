"""Runs a module under cProfile: `python -m benchmarks.profiled OUT MODULE ARGUMENTS...`.

The first SIGPROF starts profiling, the second ends it and writes OUT. Only the main thread is
seen: librdkafka's and executors' threads are not.
"""

import cProfile
import pstats
import runpy
import signal
import sys
from pathlib import Path

TOP = 25


def main(out: Path, module: str) -> None:
    profiler = cProfile.Profile()
    started = False

    def start_or_write(*_: object) -> None:
        nonlocal started
        if not started:
            started = True
            profiler.enable()
            return
        profiler.disable()
        being_written = out.with_suffix(".part")
        with being_written.open("w") as file:
            stats = pstats.Stats(profiler, stream=file).strip_dirs()
            stats.sort_stats("tottime").print_stats(TOP)
            stats.sort_stats("cumulative").print_stats(TOP)
        being_written.rename(out)

    signal.signal(signal.SIGPROF, start_or_write)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
