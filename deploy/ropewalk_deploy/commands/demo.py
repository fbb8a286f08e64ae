"""`ropewalk demo`: the whole pipeline under fire, and what `verify` makes of it."""

import json
import sys
import textwrap
from datetime import UTC, datetime
from typing import Any

import click

from ropewalk_deploy import config, sample
from ropewalk_deploy.commands.asking import show_checks
from ropewalk_deploy.commands.run import programs
from ropewalk_deploy.commands.stack import bring_up
from ropewalk_deploy.demonstration import demonstrate
from ropewalk_deploy.simulation.options import SimulationOptions

TABLES = (
    ("By scenario", sample.SCENARIOS),
    ("Why parts closed", sample.CLOSED),
    ("The reward ledger by source", sample.SOURCES),
    ("Groups to train on", sample.GROUPS),
)


@click.command("demo")
@click.option("--events", default=60_000, show_default=True)
@click.option("--processes", default=4, show_default=True)
@click.option("--seed", default=7, show_default=True)
def demo_command(*, events: int, processes: int, seed: int) -> None:
    """Start everything, let agents trade, kill things half-way, prove the result."""
    stack = bring_up()
    places = config.endpoints()
    config.use(places)
    run = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    log_file = config.home() / "logs" / f"{run}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    options = SimulationOptions(
        ledger=config.home() / "ledgers" / run,
        run=run,
        seed=seed,
        events=events,
        processes=processes,
        duplicates=0.02,
        deaths=min(2, processes),
        resolved=0.7,
        corrected=0.4,
        reviewed=0.3,
        rounds=3,
        hours_behind=8.0,
    )
    with log_file.open("ab") as log:
        done = demonstrate(places, programs(1), options, lambda text: click.echo(f"* {text}"), log)
    click.echo("\nWhat verify proved:")
    show_checks(done.checks)
    _show_rows(stack.parquet_path, run)
    click.echo(f"\n{done.seconds:.0f} s in all; killed on purpose: {', '.join(done.kills)}")
    click.echo(f"Logs: {log_file}\nParquet: {stack.parquet_path}\nPostgres: {stack.postgres_dsn}")
    click.echo("Kafka and Postgres keep running; `make down` stops them.")
    sys.exit(0 if all(check.ok for check in done.checks) else 1)


def _show_rows(path: Any, run: str) -> None:
    for title, query in TABLES:
        click.echo(f"\n{title}:")
        for row in sample.ask(query, path, run):
            click.echo("  " + "  ".join(f"{name}={value}" for name, value in row.items()))
    for row in sample.ask(sample.CONVERSATION, path, run):
        click.echo(f"\nA trajectory, {row['trajectory_id']}, reward {row['reward']:.3f}:")
        for message in row["messages"][:6]:
            said = message["content"] or json.dumps(message["tool_calls"], default=str)
            click.echo("  " + textwrap.shorten(f"{message['role']}: {said}", 150))
        for step in row["steps"]:
            click.echo(
                f"  step {step['step']}: {step['action_type']} {step['action']} "
                f"-> {step['action_status']}, reward {step['reward']:.3f}"
            )


COMMANDS = (demo_command,)
