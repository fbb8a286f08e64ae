"""`ropewalk run`: keeps worker, sinks and settlement alive on one machine."""

import click

from ropewalk_deploy import config
from ropewalk_deploy.supervisor import Program, Supervisor


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


COMMANDS = (run_command,)
