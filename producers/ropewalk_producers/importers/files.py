"""Log files on disk: JSON, gzipped or not."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from ropewalk_producers.importers.logged import LogError

SUFFIXES = (".json.gz", ".json")


def default_run(path: Path) -> str:
    """The run a file belongs to when nobody says: its name without .json or .json.gz."""
    return next((path.name.removesuffix(s) for s in SUFFIXES if path.name.endswith(s)), path.stem)


def read_json(path: Path) -> Any:
    """The content of a .json or .json.gz file.

    Raises:
        LogError: If it cannot be read or is not JSON.
    """
    try:
        raw = path.read_bytes()
        return json.loads(gzip.decompress(raw) if path.name.endswith(".gz") else raw)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path} cannot be read: {error}"
        raise LogError(msg) from error
    except ValueError as error:
        msg = f"{path} is not JSON: {error}"
        raise LogError(msg) from error
