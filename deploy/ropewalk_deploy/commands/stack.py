"""`ropewalk up` and `ropewalk down`."""

import json

import click

from ropewalk_deploy import config
from ropewalk_deploy.kafka import create_topics
from ropewalk_deploy.stack.local import down, up
from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.topics import TOPICS
from ropewalk_sinks.postgres_migrations import migrate


def progress(text: str) -> None:
    """Say what takes time, aside from what the command answers."""
    click.echo(text, err=True)


def bring_up() -> Stack:
    """Start the local stack, its topics and its tables."""
    stack = up(config.home(), progress, java_home=config.java_home())
    for name in create_topics(stack.bootstrap_servers, TOPICS):
        progress(f"created topic {name}")
    for name in migrate(stack.postgres_dsn):
        progress(f"applied migration {name}")
    return stack


@click.command("up")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def up_command(*, as_json: bool) -> None:
    """Start a local Kafka and Postgres, with topics and tables, on what is there."""
    stack = bring_up()
    answer = {
        "bootstrap_servers": stack.bootstrap_servers,
        "postgres_dsn": stack.postgres_dsn,
        "parquet_path": str(stack.parquet_path),
        "home": str(stack.home),
        "postgres_data": str(stack.postgres_data),
        "notes": stack.notes,
    }
    if as_json:
        click.echo(json.dumps(answer))
        return
    for note in stack.notes:
        click.echo(f"note: {note}")
    click.echo(f"Kafka     {stack.bootstrap_servers}")
    click.echo(f"Postgres  {stack.postgres_dsn}")
    click.echo(f"Parquet   {stack.parquet_path}")
    click.echo("Next: `ropewalk run` in one terminal, `ropewalk simulate` in another.")


@click.command("down")
def down_command() -> None:
    """Stop what `up` started; the data stays."""
    for name in down(config.home(), progress):
        click.echo(f"stopped {name}")


COMMANDS = (up_command, down_command)
