"""How the processes log: one line per event, its name first, then its fields."""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

# Chatty at info, and about things our own lines say better.
QUIET = ("aiokafka", "asyncio", "faust", "httpcore", "httpx", "mode")
AGAIN_AFTER_S = 10.0
ALIKE = 40  # lines that begin with the same characters are the same


class FieldFormatter(logging.Formatter):
    """``time level event field=value``, in UTC; or one JSON object a line."""

    def __init__(self, process: str, *, as_json: bool) -> None:
        super().__init__()
        self._process = process
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """One line; no stack trace ever."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = getattr(record, "fields", {})
        if self._as_json:
            head = {"at": at, "level": record.levelname, "process": self._process}
            return json.dumps({**head, "event": record.getMessage(), **fields}, default=str)
        shown = " ".join(f"{name}={value}" for name, value in fields.items())
        level = record.levelname.lower()
        return f"{at[11:23]} {level:<8} {self._process:<14} {record.getMessage()}  {shown}".rstrip()


class RepeatFilter(logging.Filter):
    """Of a line that a client library repeats, one each 10 s; it says how many were left out.

    Without a broker the libraries write hundreds of lines a second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; our own lines always are."""
        if record.name.startswith("ropewalk_"):
            return True
        key, now = (record.name, record.getMessage()[:ALIKE]), self._clock()
        written_at, left_out = self._seen.get(key, (-AGAIN_AFTER_S, 0))
        if now - written_at < AGAIN_AFTER_S:
            self._seen[key] = (written_at, left_out + 1)
            return False
        self._seen[key] = (now, 0)
        if left_out:
            record.fields = {"left_out": left_out}
        return True


def set_up_logging(process: str, *, as_json: bool) -> None:
    """Log to standard error; third parties only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter())
    handler.setFormatter(FieldFormatter(process, as_json=as_json))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
