"""The runs so far, kept in a file so that a long series can be gone on with, and their table."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from ropewalk_deploy.chaos.fought import Fought
from ropewalk_deploy.errors import CommandError

COLUMNS = ("fault", "runs", "events", "lost", "duplicated", "recover_s", "wrong", "told")
BEGIN, END = "<!-- chaos table: begin -->", "<!-- chaos table: end -->"
_appending = Lock()


def append(file: Path, fought: Fought) -> None:
    """Keep a run: one line, written at once; safe from several threads and processes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(fought)).encode() + b"\n"
    with _appending:
        target = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(target).st_size
            torn = size and os.pread(target, 1, size - 1) != b"\n"
            os.write(target, b"\n" + line if torn else line)
        finally:
            os.close(target)


def load(file: Path) -> list[Fought]:
    """The runs kept so far; none when there is no file. A line torn by a crash is passed over.

    Raises:
        CommandError: If the file holds something else.
    """
    if not file.exists():
        return []
    lines = [line for line in file.read_text().splitlines() if line]
    runs = [run for line in lines if (run := _run(line)) is not None]
    if lines and not runs:
        msg = f"{file} holds no runs of `ropewalk chaos`; name another file"
        raise CommandError(msg)
    return runs


def _run(line: str) -> Fought | None:
    try:
        return Fought(**json.loads(line))
    except (ValueError, TypeError):
        return None


def summary(runs: Iterable[Fought], order: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One row per fault: sums, and the longest recovery.

    Args:
        runs: Of any faults.
        order: Names of faults as rows are to be ordered; others follow as they come.
    """
    by_fault: dict[str, list[Fought]] = {name: [] for name in order}
    for run in runs:
        by_fault.setdefault(run.fault, []).append(run)
    return [_row(fault, found) for fault, found in by_fault.items() if found]


def _row(fault: str, runs: list[Fought]) -> dict[str, Any]:
    told: Counter[str] = Counter()
    for run in runs:
        told.update(run.told)
    return {
        "fault": fault,
        "runs": len(runs),
        "events": sum(run.events for run in runs),
        "lost": sum(run.lost for run in runs),
        "duplicated": sum(run.duplicated for run in runs),
        "recover_s": max(run.recover_s for run in runs),
        "wrong": sum(run.wrong for run in runs),
        "told": dict(told),
    }


def as_json(runs: Sequence[Fought], order: Sequence[str] = ()) -> dict[str, Any]:
    """The table, what failed, and which code was tested."""
    return {
        "faults": summary(runs, order),
        "problems": [
            {"fault": run.fault, "seed": run.seed, "version": run.version, "problems": run.problems}
            for run in runs
            if run.problems
        ],
        "versions": _versions(runs),
    }


def as_markdown(runs: Sequence[Fought], order: Sequence[str] = ()) -> str:
    """The table, its sums, and every run with a problem."""
    rows = summary(runs, order)
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(_cell(row[column]) for column in COLUMNS) + " |" for row in rows]
    return "\n".join([*lines, "", _sums(rows, _versions(runs)), *_problems(runs)])


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:,}" for name, number in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _sums(rows: list[dict[str, Any]], versions: list[str]) -> str:
    sums = {name: sum(row[name] for row in rows) for name in (*COLUMNS[1:5], "wrong")}
    told = ", ".join(f"{number:,} {name}" for name, number in sums.items())
    return f"Sums of all {len(rows)} rows: {told}.\nCode: {', '.join(versions) or 'not known'}."


def _versions(runs: Iterable[Fought]) -> list[str]:
    return list(dict.fromkeys(run.version for run in runs if run.version))


def _problems(runs: Iterable[Fought]) -> list[str]:
    found = [
        f"- {run.fault}, seed {run.seed}, code {run.version or 'not known'}: {problem}"
        for run in runs
        for problem in run.problems
    ]
    return ["", "Runs with problems:", "", *found] if found else []


def into_page(page: str, table: str) -> str:
    """A page with the table between its two markers.

    Raises:
        CommandError: If the page has no such place.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"the page has no lines {BEGIN} and {END}, between which the table goes"
        raise CommandError(msg)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
