"""`ropewalk worker`, `ropewalk sink`, and `ropewalk run` which keeps all of them alive."""

import click

from ropewalk_deploy import config
from ropewalk_deploy.logs import set_up_logging
from ropewalk_deploy.supervisor import Program, Supervisor
from ropewalk_sinks.config import ParquetSettings, PostgresSettings
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.runner import serve
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


@click.group("sink")
def sink_group() -> None:
    """Store final trajectories, rewards, refused records and accounts."""


@sink_group.command("postgres")
@click.pass_obj
def postgres_command(obj: dict[str, bool]) -> None:
    """Store into Postgres."""
    set_up_logging("sink postgres", as_json=obj["log_json"])
    config.use(config.endpoints())
    settings = PostgresSettings.load()
    serve(PostgresSink(settings), settings)


@sink_group.command("parquet")
@click.pass_obj
def parquet_command(obj: dict[str, bool]) -> None:
    """Append to the Parquet datasets."""
    set_up_logging("sink parquet", as_json=obj["log_json"])
    config.use(config.endpoints())
    settings = ParquetSettings.load()
    serve(ParquetSink(settings), settings)


def programs(n_workers: int) -> list[Program]:
    """What `ropewalk run` keeps alive."""
    workers = [
        Program(f"worker-{n}", ("worker", "--name", f"worker-{n}")) for n in range(1, n_workers + 1)
    ]
    sinks = [Program(f"sink-{kind}", ("sink", kind)) for kind in ("postgres", "parquet")]
    return [*workers, *sinks, Program("settle", ("settle",))]


@click.command("run")
@click.option("--workers", default=1, show_default=True, help="How many workers.")
def run_command(workers: int) -> None:
    """Run worker, sinks and settlement on this machine, restart what dies, stop on Ctrl-C."""
    config.use(config.endpoints())
    Supervisor(programs(workers)).run()


COMMANDS = (worker_command, sink_group, run_command)
