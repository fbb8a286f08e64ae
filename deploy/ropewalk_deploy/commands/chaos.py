"""`ropewalk chaos`: break things on purpose, on servers of its own, and prove the result."""

import json
import logging
import signal
import sys
import time
from collections import deque
from functools import partial
from pathlib import Path

import click

from ropewalk_deploy import config
from ropewalk_deploy.chaos import table
from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import Fault, fight
from ropewalk_deploy.chaos.faults import FAULTS
from ropewalk_deploy.chaos.fought import Fought
from ropewalk_deploy.chaos.series import Series, planned
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.errors import CommandError


@click.command("chaos")
@click.option("--fault", "names", multiple=True, default=["all"], show_default=True,
              help="Its name, or all; may be given several times.")  # fmt: skip
@click.option("--runs", type=click.IntRange(min=0), default=5, show_default=True,
              help="Of each fault.")  # fmt: skip
@click.option("--kill-runs", type=click.IntRange(min=0),
              help="Of each fault that is a kill; by default as many.")  # fmt: skip
@click.option("--seed", type=int, help="Of the first run; the next ones count on. By default that "
              "of the results, else chosen by the clock.")  # fmt: skip
@click.option("--events", type=click.IntRange(min=1), default=1_200, show_default=True,
              help="Of each run.")  # fmt: skip
@click.option("--rate", default=150.0, show_default=True, help="Events/s.")
@click.option("--scale", type=click.FloatRange(min=0, min_open=True), default=1.0,
              show_default=True, help="How many times as large the large faults are.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True,
              help="Runs at a time, each on servers of its own.")  # fmt: skip
@click.option("--results", type=click.Path(path_type=Path, dir_okay=False),
              help="Keep runs here; what is there already is not run again.")  # fmt: skip
@click.option("--list", "only_list", is_flag=True, help="Name the faults.")
@as_json_option
def chaos_command(  # noqa: PLR0913 - one argument per option
    *,
    names: tuple[str, ...],
    runs: int,
    kill_runs: int | None,
    seed: int | None,
    events: int,
    rate: float,
    scale: float,
    jobs: int,
    results: Path | None,
    only_list: bool,
    as_json: bool,
) -> None:
    """Break programs and servers at random moments under load; every check must hold after it.

    Everything runs on loopback, on servers and data of its own that are removed again, unless a
    check fails. Ctrl-C ends a series, which the same command with --results goes on with.
    """
    if only_list:
        click.echo("\n".join(FAULTS))
        return
    config.use_local_kafka()
    logging.getLogger("ropewalk_deploy.supervisor").setLevel(logging.ERROR)  # deaths are the plan
    chosen = _chosen(names)
    done = table.load(results) if results else []
    first = _first_seed(seed, done)
    todo = planned(
        chosen,
        first,
        runs=runs,
        kill_runs=runs if kill_runs is None else kill_runs,
        known={(run.fault, run.seed) for run in done},
    )
    click.echo(f"seed {first}: {len(todo)} runs to make, {len(done)} made before", err=True)
    told = _Told(results, done, len(todo))
    series = Series(deque(todo), partial(fight, events=events, rate=rate, scale=scale), told)
    signal.signal(signal.SIGTERM, lambda *_: series.end())
    series.run(jobs)
    if series.was_ended:
        click.echo(f"ended: {len(series.todo)} runs are left", err=True)
    shown = [run for run in done if run.fault in {fault.name for fault in chosen}]
    if as_json:
        click.echo(json.dumps(table.as_json(shown, list(FAULTS))))
    else:
        click.echo(table.as_markdown(shown, list(FAULTS)))
    sys.exit(1 if any(run.problems for run in shown) or series.was_ended else 0)


def _chosen(names: tuple[str, ...]) -> list[Fault]:
    if "all" in names:
        for fault in FAULTS.values():
            if why := fault.cannot():
                click.echo(f"{fault.name} is left out: {why}", err=True)
        return [fault for fault in FAULTS.values() if fault.cannot() is None]
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        msg = f"no fault is named {unknown[0]!r}; `ropewalk chaos --list` names them"
        raise CommandError(msg)
    for fault in (FAULTS[name] for name in names):
        if why := fault.cannot():
            msg = f"{fault.name} cannot be tried here: {why}"
            raise CommandError(msg)
    return [FAULTS[name] for name in names]


def _first_seed(seed: int | None, done: list[Fought]) -> int:
    if seed is not None:
        return seed
    return min((run.seed for run in done), default=int(time.time()) % 1_000_000)


class _Told:
    """Keeps each run and tells of it."""

    def __init__(self, results: Path | None, done: list[Fought], n_todo: int) -> None:
        self._results, self._done, self._n_todo = results, done, n_todo
        self._n = 0

    def __call__(self, run: Fought, arena: Arena) -> None:
        self._n += 1
        self._done.append(run)
        if self._results:
            table.append(self._results, run)
        verdict = "; ".join(run.problems) or "every check holds"
        click.echo(
            f"{self._n}/{self._n_todo} {run.fault} seed {run.seed}: {run.events:,} events, "
            f"recovered in {run.recover_s} s, {run.seconds:.0f} s in all: {verdict}",
            err=True,
        )
        if run.problems:
            click.echo(f"  its logs and data stay in {arena.home}", err=True)


@click.command("chaos-table")
@click.argument("results", nargs=-1, required=True,
                type=click.Path(path_type=Path, exists=True, dir_okay=False))  # fmt: skip
@click.option("--into", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Write it into this page, between the two lines that mark it.")  # fmt: skip
@as_json_option
def chaos_table_command(*, results: tuple[Path, ...], into: Path | None, as_json: bool) -> None:
    """Sum up what `ropewalk chaos` has kept in its results files."""
    runs = [run for file in results for run in table.load(file)]
    if into is not None:
        into.write_text(table.into_page(into.read_text(), table.as_markdown(runs, list(FAULTS))))
        click.echo(f"{len(runs)} runs are in the table of {into}", err=True)
    elif as_json:
        click.echo(json.dumps(table.as_json(runs, list(FAULTS))))
    else:
        click.echo(table.as_markdown(runs, list(FAULTS)))


COMMANDS = (chaos_command, chaos_table_command)
