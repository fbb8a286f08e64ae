"""`ropewalk sink parquet`: the same as files of the datasets."""

import click

from ropewalk_deploy import config
from ropewalk_deploy.logs import set_up_logging
from ropewalk_sinks.config import ParquetSettings
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.runner import serve


@click.command("parquet")
@click.pass_obj
def parquet_command(obj: dict[str, bool]) -> None:
    """Append to the Parquet datasets."""
    set_up_logging("sink parquet", as_json=obj["log_json"])
    config.use(config.endpoints())
    settings = ParquetSettings.load()
    serve(ParquetSink(settings), settings)


COMMANDS = (parquet_command,)
