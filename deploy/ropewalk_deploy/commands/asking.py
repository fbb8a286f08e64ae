"""`ropewalk status` and `ropewalk verify`: what became of everything."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ropewalk_deploy import config
from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.status import gather
from ropewalk_deploy.audit.verify import verify
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.commands.progress import progress_bar

WIDTH_OF_FILES = 160
PARTITION_COLUMNS = {
    "partition": "partition",
    "lag": "lag",
    "received": "received",
    "records_per_s": "per s",
    "open_trajectories": "open",
    "open_events": "their events",
    "replay_from": "replay from",
    "log_end": "log end",
    "worker": "worker",
}


@click.command("status")
@as_json_option
def status_command(*, as_json: bool) -> None:
    """Say how far everything is, and what is refused and why."""
    found = gather(config.endpoints())
    if as_json:
        click.echo(json.dumps(found, default=str))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
    console.print(_table(PARTITION_COLUMNS, found["partitions"]))
    totals = ", ".join(f"{n:,} {name}" for name, n in found["totals"].items())
    console.print(f"records   {totals}")
    for sink in found["sinks"]:
        console.print(f"sink      {sink['sink']}: {sink['problem'] or _lag(sink['lag'])}")
    for reason, refused in found["quarantined"].items():
        console.print(f"refused   {refused['count']:,} {reason}: {refused['meaning']}")
    for line in _erasures(found["erasures"] or {}):
        console.print(f"erased    {line}")
    if found["last_window"]:
        window = ", ".join(f"{k} {v}" for k, v in found["last_window"].items())
        console.print(f"window    {window}")
    for line in (found["generations"] or {}).get("half_done", ()):
        console.print(f"half done generation {line}")


def _erasures(found: dict[str, Any]) -> Iterator[str]:
    if found.get("subjects"):
        yield f"{found['subjects']:,} subjects"
    for line in found.get("unfinished", ()):
        yield f"half done: {line}"
    if found.get("entries_left"):
        yield (
            f"{found['entries_left']:,} rewards came before their trajectory was known to be of an "
            "erased agent: run `ropewalk erase --agent` for it again"
        )


def _lag(lag: int) -> str:
    return "has stored everything" if lag == 0 else f"{lag:,} records behind"


def _table(columns: dict[str, str], rows: list[dict[str, Any]]) -> Table:
    table = Table(*columns.values(), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(row[name]) for name in columns))
    return table


@click.command("verify")
@click.option("--ledger", type=click.Path(exists=True, path_type=Path), help="A simulator's truth.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="To catch up, in s.")
@click.option("--replay", "with_replay", is_flag=True,
              help="Also run the logs through the engine once more.")  # fmt: skip
@as_json_option
def verify_command(
    *, ledger: Path | None, timeout_s: float, with_replay: bool, as_json: bool
) -> None:
    """Prove with numbers that nothing is lost and nothing counts twice."""
    with progress_bar("reading the logs", shown=not as_json) as share:
        checks = verify(
            config.endpoints(),
            ledger=ledger,
            timeout_s=timeout_s,
            share=share,
            with_replay=with_replay,
        )
    failed = [check for check in checks if not check.ok]
    if as_json:
        shown = [asdict(check) for check in checks]
        click.echo(json.dumps({"ok": not failed, "checks": shown}))
    else:
        show_checks(checks)
    sys.exit(1 if failed else 0)


def show_checks(checks: list[Check]) -> None:
    """Print each check, what differs under it, and the verdict."""
    for check in checks:
        mark = "ok  " if check.ok else "BAD "
        numbers = (
            f"{check.found:,}" if check.ok else f"{check.found:,}, expected {check.expected:,}"
        )
        detail = f"  ({check.detail})" if check.detail else ""
        click.echo(f"{mark} {check.name}: {numbers}{detail}")
        for line in check.wrong:
            click.echo(f"       {line}")
        if check.n_wrong > len(check.wrong):
            click.echo(f"       and {check.n_wrong - len(check.wrong):,} more")
    failed = sum(not check.ok for check in checks)
    verdict = (
        f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks hold"
    )
    click.echo(verdict)


COMMANDS = (status_command, verify_command)
