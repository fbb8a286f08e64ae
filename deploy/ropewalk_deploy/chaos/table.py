"""The runs so far, kept in a file so that a long series can be gone on with, and their table."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ropewalk_deploy.chaos.battle import Fought

COLUMNS = ("fault", "runs", "events", "lost", "duplicated", "recover_s", "wrong")


def append(file: Path, fought: Fought) -> None:
    """Keep a run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps(asdict(fought)) + "\n")


def load(file: Path) -> list[Fought]:
    """The runs kept so far; none when there is no file."""
    if not file.exists():
        return []
    return [Fought(**json.loads(line)) for line in file.read_text().splitlines()]


def summary(runs: Iterable[Fought]) -> list[dict[str, Any]]:
    """One row per fault: sums, and the longest recovery."""
    by_fault: dict[str, list[Fought]] = {}
    for run in runs:
        by_fault.setdefault(run.fault, []).append(run)
    return [
        {
            "fault": fault,
            "runs": len(found),
            "events": sum(run.events for run in found),
            "lost": sum(run.lost for run in found),
            "duplicated": sum(run.duplicated for run in found),
            "recover_s": max(run.recover_s for run in found),
            "wrong": sum(run.wrong for run in found),
        }
        for fault, found in by_fault.items()
    ]


def as_markdown(rows: Iterable[dict[str, Any]]) -> str:
    """The table as text."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        cells = (f"{row[c]:,}" if isinstance(row[c], int) else str(row[c]) for c in COLUMNS)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
