"""How the processes log: one line per event, its name first, then its fields."""

import json
import logging
import sys
from datetime import UTC, datetime

# Chatty at info, and about things our own lines say better.
QUIET = ("aiokafka", "asyncio", "faust", "mode")


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


def set_up_logging(process: str, *, as_json: bool) -> None:
    """Log to standard error; third parties only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter(process, as_json=as_json))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
