"""A Parquet sink as its own process, to be killed by tests: ``python ... SETTINGS_JSON``."""

import logging
import sys

from ropewalk_sinks.config import ParquetSettings
from ropewalk_sinks.errors import SinkError
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.runner import serve

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
settings = ParquetSettings.model_validate_json(sys.argv[1])
try:
    serve(ParquetSink(settings), settings)
except SinkError as error:
    sys.exit(f"{type(error).__name__}: {error}")
