"""Named points at which a fault test ends, stops or fails a process; nothing happens elsewhere.

A test arms a point by a file of its name in the folder that the process was told of; the file holds
the action. Whoever reaches the point removes the file first, so each file acts once, also when
several processes pass the point, and after a restart. Points are passed per batch, not per event.
"""

import errno
import os
import signal
from pathlib import Path

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
POINTS = {
    "worker": (
        "worker.outputs.before_flush",
        "worker.outputs.after_flush",
        "worker.progress.before_flush",
        "worker.progress.after_flush",
        "worker.chunks.after_delete",
        "worker.commit.after",
    ),
    "worker in a replay": ("worker.replay.amid",),
    "sink-postgres": (
        "postgres.copy.before",
        "postgres.copy.after",
        "postgres.commit.before",
        "postgres.commit.after",
    ),
    "sink-parquet": (
        "parquet.create.before",
        "parquet.create.after",
        "parquet.link.before",
        "parquet.link.after",
        "parquet.rename.before",
        "parquet.rename.after",
        "parquet.sync.after",
    ),
    "erase": ("erase.begun", "erase.postgres.after", "erase.parquet.after"),
    "settle": ("settle.write.before", "settle.write.after", "settle.mark.after"),
    "generations": (
        "generation.begun",
        "generation.published",
        "generation.stored",
        "generation.removing",
        "generation.removed",
        "promote.begun",
        "promote.postgres.before",
        "promote.postgres.after",
        "promote.parquet.before",
        "promote.parquet.exchanged",
        "promote.parquet.after",
        "promote.undoing",
        "promote.undone",
    ),
    "judge": ("judge.record.before", "judge.record.after", "judge.emit.after", "judge.mark.after"),
}
"""All points, by the program that passes them."""


class _Armed:
    folder: Path | None = None


def watch(folder: Path | None) -> None:
    """Let points act that have a file in a folder; None for none."""
    _Armed.folder = folder


def arm(folder: Path, point: str, action: str) -> None:
    """Let the next process that reaches a point die or stop there, or fail with an error number."""
    whole = folder / f".{point}"  # a file that is written in place can be read half
    whole.write_text(action)
    whole.replace(folder / point)


def reach(point: str) -> None:
    """Pass a point.

    Raises:
        OSError: If it is armed with the name of an error.
    """
    if _Armed.folder is None:
        return
    file = _Armed.folder / point
    try:
        action = file.read_text()
        file.unlink()
    except FileNotFoundError:
        return
    if action in SIGNALS:
        os.kill(os.getpid(), SIGNALS[action])
    else:
        number = ERRORS[action]
        raise OSError(number, os.strerror(number), point)
