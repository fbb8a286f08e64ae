"""`ropewalk up` and `ropewalk down`."""

import json

import click

from ropewalk_deploy import config
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner, create_topics
from ropewalk_deploy.stack.local import down, up
from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.topics import TOPICS
from ropewalk_sinks.postgres_generations import migrate_all
from ropewalk_sinks.postgres_reads import stored_offsets


def progress(text: str) -> None:
    """Say what takes time, aside from what the command answers."""
    click.echo(text, err=True)


def bring_up() -> Stack:
    """Start the local stack, its topics and its tables."""
    config.use_local_kafka()
    stack = up(config.home(), progress, java_home=config.java_home())
    for name in create_topics(stack.bootstrap_servers, TOPICS):
        progress(f"created topic {name}")
    for name in migrate_all(stack.postgres_dsn):
        progress(f"applied migration {name}")
    _check_same_log(stack)
    return stack


def _check_same_log(stack: Stack) -> None:
    """As root, Postgres' data may outlive the home, whose log is gone when a person deletes it.

    Raises:
        CommandError: If the database holds more than the log ever had.
    """
    names = {spec.name for spec in TOPICS}
    with LogScanner(stack.bootstrap_servers) as scanner:
        for at in stored_offsets(stack.postgres_dsn):
            if at.topic not in names:
                continue
            end = scanner.bounds(at.topic, at.partition).end
            if at.next_offset > end:
                msg = (
                    f"Postgres holds {at.topic}[{at.partition}] up to offset {at.next_offset}, but "
                    f"the log in {stack.home} ends at {end}: it was made anew. To start anew too, "
                    f"run `ropewalk down`, delete {stack.postgres_data}, then run it again"
                )
                raise CommandError(msg)


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
