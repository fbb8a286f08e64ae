"""From runs to figures, a table and a chart. Pure but for `write`."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from benchmarks.broker import Input
from benchmarks.contenders import CONTENDERS, PLAIN_LOOP, STOCK_FAUST, WORKER, Contender
from benchmarks.runs import Run

MIB = 1024 * 1024
COLOURS = {WORKER: "#1f6f8b", STOCK_FAUST: "#d98032", PLAIN_LOOP: "#8d8d8d"}


@dataclass(frozen=True, slots=True)
class Expectation:
    """A ratio we claim: events per CPU-second of the worker over another contender's."""

    over: Contender
    at_least: float


EXPECTED = (Expectation(STOCK_FAUST, 7.0), Expectation(PLAIN_LOOP, 0.7))


@dataclass(frozen=True, slots=True)
class Result:
    """Everything one benchmark run found; `core_us` is the core's CPU per event, alone."""

    command: str
    at: str
    machine: Mapping[str, str]
    load: tuple[float, float]
    given: Input
    runs: list[Run]
    core_us: float
    recorder: list[dict[str, Any]]

    def of(self, contender: Contender) -> list[Run]:
        return [run for run in self.runs if run.contender == contender.name]

    def us_per_event(self, contender: Contender) -> float:
        """CPU per event, its median."""
        return median(1e6 / run.per_cpu_s for run in self.of(contender))

    def ratios(self, over: Contender, *, wall: bool = False) -> list[float]:
        """The worker's events per CPU (or wall) second over another's, round by round."""
        pairs = zip(self.of(WORKER), self.of(over), strict=True)
        if wall:
            return [ours.per_wall_s / theirs.per_wall_s for ours, theirs in pairs]
        return [ours.per_cpu_s / theirs.per_cpu_s for ours, theirs in pairs]

    def misses(self) -> list[Expectation]:
        """The expectations the median of the rounds does not meet."""
        return [e for e in EXPECTED if median(self.ratios(e.over)) < e.at_least]


def verdicts(result: Result) -> list[str]:
    """One line an expectation."""
    lines = []
    for expected in EXPECTED:
        ratios = result.ratios(expected.over)
        word = "MISS" if expected in result.misses() else "met"
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(
            f"{word}: {median(ratios):.2f} times the {expected.over.label} per CPU-second "
            f"(expected at least {expected.at_least:g}; by round {each})"
        )
    return lines


def shells(result: Result) -> str:
    """What the contenders differ in: the core's cost is the same in all of them."""
    core = result.core_us
    added = ", ".join(
        f"{contender.label} {result.us_per_event(contender) - core:.0f}" for contender in CONTENDERS
    )
    best = result.us_per_event(STOCK_FAUST) / core
    return (
        f"CPU per event: the core alone takes {core:.0f} us, whatever is around it. Around it each "
        f"adds, in us: {added}. With a shell that costs nothing the worker would be {best:.1f} "
        "times the stock Faust agent."
    )


def as_json(result: Result) -> dict[str, Any]:
    """The result as `latest.json` holds it."""
    return {
        "at": result.at,
        "command": result.command,
        "machine": dict(result.machine),
        "load_before_and_after": result.load,
        "input": result.given._asdict(),
        "runs": [run.as_json() for run in result.runs],
        "ratios": {
            expected.over.name: {
                "per_cpu_s": result.ratios(expected.over),
                "per_wall_s": result.ratios(expected.over, wall=True),
                "expected": expected.at_least,
                "met": expected not in result.misses(),
            }
            for expected in EXPECTED
        },
        "core_us_per_event": result.core_us,
        "recorder": result.recorder,
    }


def as_markdown(result: Result, profiles: Iterable[str] = ()) -> str:
    """The result as a page."""
    given = result.given
    compared = f"{given.n_bytes / given.n_events:.0f} B of JSON each on average"
    lines = [
        "# Benchmark results",
        "",
        f"{result.at}, by `{result.command}`. {given.n_events:,} events ({compared}) of "
        f"{given.n_trajectories:,} trajectories, {len(result.of(WORKER))} rounds; everything on "
        "one machine.",
        "",
        "![Events per second and memory](latest.png)",
        "",
        *[f"- {line}" for line in verdicts(result)],
        f"- {shells(result)}",
        *[f"- A profile of the worker is in [{name}]({name})." for name in profiles],
        "",
        "## Medians",
        "",
        *_table(_medians(result)),
        "",
        "## Every round",
        "",
        *_table(_rounds(result)),
        "",
        "What is counted: events over the time, and over the CPU (all threads, user and system) "
        "that the process used, from its partitions being assigned to its last trajectory being in "
        "Kafka. *Whole process* adds imports, joining the group and the shutdown. The broker's CPU "
        "is in none of them. *Accounts* is how much later the worker had durably accounted for "
        "every event; the others account for nothing. All published the same trajectories by "
        "content hash, which the benchmark checks. The machine is shared: trust the ratios within "
        "a round, not the figures.",
        "",
        "## What recording costs the agent",
        "",
        "A chat that grows by 2 messages a call up to 40, its prompt given whole at every call; 20 "
        "calls, 10 steps and 32 events a trajectory. Microseconds in the calling thread.",
        "",
        *_table(_recorder(result)),
        "",
        "## Where",
        "",
        *_table([("", ""), *result.machine.items(), ("load before, after", _load(result))]),
        "",
    ]
    return "\n".join(lines)


def _medians(result: Result) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            "contender",
            "events per CPU-second",
            "events per second",
            "worker is (per CPU-second)",
            "worker is (per second)",
            "peak memory",
            "output",
            "output in Kafka",
        )
    ]
    for contender in CONTENDERS:
        runs = result.of(contender)
        ours = contender is WORKER
        rows.append(
            (
                contender.label,
                f"{median(r.per_cpu_s for r in runs):,.0f}",
                f"{median(r.per_wall_s for r in runs):,.0f}",
                "" if ours else f"{median(result.ratios(contender)):.2f}x",
                "" if ours else f"{median(result.ratios(contender, wall=True)):.2f}x",
                f"{median(r.peak_mib for r in runs):.0f} MiB",
                f"{median(r.output_bytes for r in runs) / MIB:.1f} MiB",
                f"{median(r.output_on_disk for r in runs) / MIB:.1f} MiB",
            )
        )
    return rows


def _rounds(result: Result) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            "round",
            "contender",
            "events per CPU-second",
            "events per second",
            "CPU",
            "wall",
            "CPU of the whole process",
            "peak memory",
            "accounts",
        )
    ]
    labels = {contender.name: contender.label for contender in CONTENDERS}
    rows += [
        (
            str(run.round),
            labels[run.contender],
            f"{run.per_cpu_s:,.0f}",
            f"{run.per_wall_s:,.0f}",
            f"{run.cpu_s:.2f} s",
            f"{run.wall_s:.2f} s",
            f"{run.whole_cpu_s:.2f} s",
            f"{run.peak_mib:.0f} MiB",
            "" if run.accounted_s is None else f"{run.accounted_s:.1f} s",
        )
        for run in result.runs
    ]
    return rows


def _recorder(result: Result) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("publisher", "call", "p50", "p99", "mean", "events per second", "per CPU-second")
    ]
    for measured in result.recorder:
        speeds = f"{measured['events_per_s']:,.0f}", f"{measured['events_per_cpu_s']:,.0f}"
        for i, (call, told) in enumerate(measured["calls"].items()):
            rows.append(
                (
                    measured["publisher"] if i == 0 else "",
                    call,
                    *(f"{told[name]:,.0f}" for name in ("p50_us", "p99_us", "mean_us")),
                    *(speeds if i == 0 else ("", "")),
                )
            )
    return rows


def _load(result: Result) -> str:
    return ", ".join(f"{load:.1f}" for load in result.load)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, f"|{' --- |' * len(rows[0])}", *body]


def draw(result: Result, path: Path) -> None:
    """The chart: bars are medians, dots are rounds."""
    panels: dict[str, Callable[[Run], float]] = {
        "Events per CPU-second": lambda run: run.per_cpu_s,
        "Events per second": lambda run: run.per_wall_s,
        "Peak memory, MiB": lambda run: run.peak_mib,
    }
    figure = Figure(figsize=(13, 5), layout="constrained")
    axes = figure.subplots(1, len(panels))
    for ax, (title, value) in zip(axes, panels.items(), strict=True):
        for at, contender in enumerate(CONTENDERS):
            values = [value(run) for run in result.of(contender)]
            ax.bar(at, median(values), width=0.65, color=COLOURS[contender])
            ax.plot([at] * len(values), values, "o", color="black", markersize=4, alpha=0.6)
            ax.annotate(
                f"{median(values):,.0f}",
                (at, max(values)),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=12,
                fontweight="bold",
            )
        ax.set_title(title, fontsize=13)
        labels = [contender.label.replace(" ", "\n", 1) for contender in CONTENDERS]
        ax.set_xticks(range(len(CONTENDERS)), labels, fontsize=11)
        ax.tick_params(axis="y", labelsize=10)
        ax.yaxis.set_major_formatter("{x:,.0f}")
        ax.margins(y=0.14)
        ax.spines[["top", "right"]].set_visible(False)
    given = result.given
    figure.suptitle(
        f"{given.n_events:,} events of {given.n_bytes / given.n_events / 1000:.1f} KB, "
        f"{given.n_events // given.n_trajectories} a trajectory, same engine and same output; "
        "bars are medians, dots are rounds",
        fontsize=12,
    )
    figure.savefig(path, dpi=110)


def write(result: Result, out: Path, profiles: Iterable[str] = ()) -> None:
    """`latest.json`, `latest.md` and `latest.png`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "latest.json").write_text(json.dumps(as_json(result), indent=1) + "\n")
    (out / "latest.md").write_text(as_markdown(result, profiles))
    draw(result, out / "latest.png")
