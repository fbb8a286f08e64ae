"""`ropewalk chaos`: break things on purpose, on servers of its own, and prove the result."""

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from ropewalk_deploy import config
from ropewalk_deploy.chaos import table
from ropewalk_deploy.chaos.arena import Arena, open_arena
from ropewalk_deploy.chaos.battle import Fault, Fought, fight
from ropewalk_deploy.chaos.faults import FAULTS
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.errors import CommandError

RUNS_PER_ARENA = 8
"""Each run verifies the whole log, which grows: then the servers are made anew."""


@click.command("chaos")
@click.option("--fault", "names", multiple=True, default=["all"], show_default=True,
              help="Its name, or all; may be given several times.")  # fmt: skip
@click.option("--runs", default=5, show_default=True, help="Of each fault.")
@click.option("--seed", type=int, help="Of the first run; the next ones count on.")
@click.option("--events", default=1_200, show_default=True, help="Of each run.")
@click.option("--rate", default=150.0, show_default=True, help="Events/s.")
@click.option("--results", type=click.Path(path_type=Path),
              help="Keep runs here; what is there already is not run again.")  # fmt: skip
@click.option("--list", "only_list", is_flag=True, help="Name the faults.")
@as_json_option
def chaos_command(  # noqa: PLR0913 - one argument per option
    *,
    names: tuple[str, ...],
    runs: int,
    seed: int | None,
    events: int,
    rate: float,
    results: Path | None,
    only_list: bool,
    as_json: bool,
) -> None:
    """Break programs and servers at random moments under load; every check must hold after it.

    Everything runs on loopback, on servers and data of its own that are removed again.
    """
    if only_list:
        click.echo("\n".join(FAULTS))
        return
    config.use_local_kafka()
    first = seed if seed is not None else int(time.time()) % 1_000_000
    chosen = _chosen(names)
    done = table.load(results) if results else []
    known = {(run.fault, run.seed) for run in done}
    todo = [
        (fault, first + n)
        for fault in chosen
        for n in range(runs)
        if (fault.name, first + n) not in known
    ]
    click.echo(f"seed {first}: {len(todo)} runs", err=True)
    for at in range(0, len(todo), RUNS_PER_ARENA):
        with ExitStack() as stack:
            home = Path(tempfile.mkdtemp(prefix="ropewalk-chaos-"))
            home.chmod(0o755)  # the database server's user must get in
            arena = stack.enter_context(open_arena(home, lambda _: None))
            for fault, number in todo[at : at + RUNS_PER_ARENA]:
                run = _run(arena, fault, number, events=events, rate=rate)
                done.append(run)
                if results:
                    table.append(results, run)
    _show(table.summary(run for run in done if run.fault in {f.name for f in chosen}), as_json)
    sys.exit(1 if any(run.wrong or run.problems for run in done) else 0)


def _chosen(names: tuple[str, ...]) -> list[Fault]:
    if "all" in names:
        return list(FAULTS.values())
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        msg = f"no fault is named {unknown[0]!r}; `ropewalk chaos --list` names them"
        raise CommandError(msg)
    return [FAULTS[name] for name in names]


def _run(arena: Arena, fault: Fault, seed: int, *, events: int, rate: float) -> Fought:
    began = time.monotonic()
    run = fight(arena, fault, seed, events=events, rate=rate)
    took = time.monotonic() - began
    verdict = "; ".join(run.problems) or "every check holds"
    click.echo(
        f"{fault.name} seed {seed}: {run.events:,} events, recovered in {run.recover_s} s, "
        f"{took:.0f} s in all: {verdict}",
        err=True,
    )
    return run


def _show(rows: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"faults": rows}))
    else:
        click.echo(table.as_markdown(rows))


COMMANDS = (chaos_command,)
