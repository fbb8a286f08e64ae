"""`ropewalk worker`: assembles events into trajectories."""

import click

from ropewalk_deploy import config
from ropewalk_deploy.logs import set_up_logging
from ropewalk_stream_processors.config import WorkerSettings
from ropewalk_stream_processors.worker import run_worker


@click.command("worker")
@click.option("--name", help="Its name in logs and accounts; by default the host's.")
@click.pass_obj
def worker_command(obj: dict[str, bool], name: str | None) -> None:
    """Assemble events into trajectories, as one worker of the group."""
    set_up_logging(name or "worker", as_json=obj["log_json"])
    config.use(config.endpoints())
    settings = WorkerSettings.from_environment()
    run_worker(settings.model_copy(update={"worker_name": name}) if name else settings)


COMMANDS = (worker_command,)
