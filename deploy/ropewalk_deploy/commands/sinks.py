"""`ropewalk sink`: the group of both sinks."""

import click

from ropewalk_deploy.commands.lazy import LazyGroup


@click.group(
    "sink", cls=LazyGroup, modules={"sink_postgres": ("postgres",), "sink_parquet": ("parquet",)}
)
def sink_group() -> None:
    """Store final trajectories, rewards, refused records and accounts."""


COMMANDS = (sink_group,)
