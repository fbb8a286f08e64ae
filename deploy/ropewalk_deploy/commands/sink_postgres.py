"""`ropewalk sink postgres`: rows of final trajectories, rewards, refused records and accounts."""

import click

from ropewalk_deploy import config
from ropewalk_deploy.logs import set_up_logging
from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.runner import serve


@click.command("postgres")
@click.pass_obj
def postgres_command(obj: dict[str, bool]) -> None:
    """Store into Postgres."""
    set_up_logging("sink postgres", as_json=obj["log_json"])
    config.use(config.endpoints())
    settings = PostgresSettings.load()
    serve(PostgresSink(settings), settings)


COMMANDS = (postgres_command,)
