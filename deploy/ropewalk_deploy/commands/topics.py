"""`ropewalk topics apply` and `ropewalk migrate`: what `up` applies, against any servers."""

import json

import click

from ropewalk_deploy import config
from ropewalk_deploy.kafka import create_topics
from ropewalk_schemas.topics import TOPICS
from ropewalk_sinks.postgres_generations import migrate_all


@click.group("topics")
def topics_group() -> None:
    """Look at the topics, or create them."""


@topics_group.command("apply")
def apply_command() -> None:
    """Create the topics that are missing."""
    created = create_topics(config.endpoints().bootstrap_servers, TOPICS)
    click.echo("\n".join(f"created topic {name}" for name in created) or "all topics are there")


@topics_group.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def ls_command(*, as_json: bool) -> None:
    """Say what each topic is for and how it is set."""
    for spec in TOPICS:
        if as_json:
            rows = {"name": spec.name, "holds": spec.holds, "config": spec.config()}
            click.echo(json.dumps(rows))
        else:
            click.echo(f"{spec.name:<14} {spec.holds}")


@click.command("migrate")
def migrate_command() -> None:
    """Apply the migrations that are missing in Postgres."""
    applied = migrate_all(config.endpoints().postgres_dsn)
    click.echo("\n".join(f"applied {name}" for name in applied) or "the tables are up to date")


COMMANDS = (topics_group, migrate_command)
