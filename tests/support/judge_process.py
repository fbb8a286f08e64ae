"""A judge as its own process, to be killed by tests: ``python ... SETTINGS_JSON``."""

import json
import logging
import signal
import sys
import threading

from ropewalk_sinks.errors import SinkError
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.judging.rubric import DEFAULT_RUBRIC
from ropewalk_sinks.judging.runner import run

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
try:
    run(
        JudgeSettings.load(**json.loads(sys.argv[1])), DEFAULT_RUBRIC, stop, once=False, again=False
    )
except SinkError as error:
    sys.exit(f"{type(error).__name__}: {error}")
