"""A soak as a picture: memory, handles, lag and rates over time, faults as lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ropewalk_deploy.chaos.flat import Point
from ropewalk_deploy.chaos.soak import Soaked

DPI = 50


def draw(soaked: Soaked, file: Path) -> bool:
    """Write the picture; gives False, and nothing, where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - no dependency of ours
    except ImportError:
        return False
    figure = Figure(figsize=(10, 10), layout="constrained")
    memory, handles, lag, rates = figure.subplots(4, 1, sharex=True)
    samples = soaked.samples
    for program in samples.programs():
        for axes, what in ((memory, "memory_mib"), (handles, "fds")):
            lives = samples.lives(program, what)
            for n, life in enumerate(lives):
                _line(
                    axes, life, program if n == 0 else None, f"C{samples.programs().index(program)}"
                )
    for n, what in enumerate(("lag_worker", "lag_postgres", "lag_parquet", "open")):
        _line(lag, samples.standing(what), what.replace("_", " "), f"C{n}")
    for n, (what, name) in enumerate((("n_events", "in"), ("n_assembled", "assembled"))):
        _line(rates, _per_second(samples.standing(what)), name, f"C{n}")
    labels = ("memory, MiB", "file handles", "records behind, open", "events/s")
    for axes, label in zip((memory, handles, lag, rates), labels, strict=True):
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", fontsize="x-small", ncols=3)
        for struck in soaked.struck:
            axes.axvline(struck.at_s / 60, color="0.8", linewidth=0.7, zorder=0)
    lag.set_yscale("symlog", linthresh=10)
    rates.set_xlabel("minutes; grey lines are faults")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DPI)
    return True


def _line(axes: Any, points: Sequence[Point], label: str | None, color: str) -> None:
    axes.plot([at / 60 for at, _ in points], [value for _, value in points], label=label,
              color=color, linewidth=1.0)  # fmt: skip


def _per_second(points: Sequence[Point], over: int = 6) -> list[Point]:
    """The rate of something that is summed up, over half a minute."""
    return [
        (at, (value - before) / (at - then))
        for (then, before), (at, value) in zip(points, points[over:], strict=False)
        if at > then
    ]
