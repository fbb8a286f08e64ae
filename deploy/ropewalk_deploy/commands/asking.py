"""`ropewalk status`, `ropewalk verify`, `ropewalk quarantine`: what became of everything."""

import json
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.table import Table

from ropewalk_deploy import config
from ropewalk_deploy.audit.accounts import Place
from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.quarantine import Filter, already_stored, refused_records
from ropewalk_deploy.audit.status import gather
from ropewalk_deploy.audit.verify import verify
from ropewalk_deploy.commands.progress import progress_bar
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner, send_again
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.reasons import MEANING, Reason
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_sinks.postgres_marks import mark_replayed

as_json_option = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")


@click.command("status")
@as_json_option
def status_command(*, as_json: bool) -> None:
    """Say how far everything is, and what is refused and why."""
    found = gather(config.endpoints())
    if as_json:
        click.echo(json.dumps(found, default=str))
        return
    console = Console()
    console.print(_table("partition lag open_trajectories open_events received records_per_s "
                         "replay_from accounted log_end worker", found["partitions"]))  # fmt: skip
    totals = ", ".join(f"{n:,} {name}" for name, n in found["totals"].items())
    console.print(f"records   {totals}")
    for sink in found["sinks"]:
        console.print(f"sink      {sink['sink']}: {sink['problem'] or _lag(sink['lag'])}")
    for reason, refused in found["quarantined"].items():
        console.print(f"refused   {refused['count']:,} {reason}: {refused['meaning']}")
    if found["last_window"]:
        window = ", ".join(f"{k} {v}" for k, v in found["last_window"].items())
        console.print(f"window    {window}")


def _lag(lag: int) -> str:
    return "has stored everything" if lag == 0 else f"{lag:,} records behind"


def _table(columns: str, rows: list[dict[str, Any]]) -> Table:
    names = columns.split()
    table = Table(*(name.replace("_", " ") for name in names), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    return table


@click.command("verify")
@click.option("--ledger", type=click.Path(exists=True, path_type=Path), help="A simulator's truth.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="To catch up, in s.")
@as_json_option
def verify_command(*, ledger: Path | None, timeout_s: float, as_json: bool) -> None:
    """Prove with numbers that nothing is lost and nothing counts twice."""
    with progress_bar("reading the logs", shown=not as_json) as share:
        checks = verify(config.endpoints(), ledger=ledger, timeout_s=timeout_s, share=share)
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


@click.group("quarantine")
def quarantine_group() -> None:
    """Refused records: list them, look at one, send them again."""


def _chosen(**given: Any) -> Filter:
    return Filter(**given)


def filter_options(command: Any) -> Any:
    """Options that choose refused records."""
    for option in (
        click.option("--reason", type=click.Choice(get_args(Reason))),
        click.option("--topic"),
        click.option("--partition", type=int),
        click.option("--offset", type=int),
        click.option("--trajectory", "trajectory_id"),
    ):
        command = option(command)
    return command


@quarantine_group.command("ls")
@filter_options
@click.option("--limit", default=20, show_default=True, help="How many to list; 0: all.")
@as_json_option
def ls_command(*, limit: int, as_json: bool, **given: Any) -> None:
    """List refused records by reason, newest last."""
    with LogScanner(config.endpoints().bootstrap_servers) as scanner:
        records = list(refused_records(scanner, _chosen(**given)))
        stored = already_stored(scanner, records)
    shown = records[-limit:] if limit else records
    if as_json:
        rows = [_summary(record, stored) for record in shown]
        click.echo(json.dumps({"count": len(records), "records": rows}))
        return
    for reason, n in Counter(record.reason for record in records).most_common():
        click.echo(f"{n:>8,}  {reason:<16} {MEANING[reason]}")
    for record in shown:
        row = _summary(record, stored)
        note = "  [stored already: no loss]" if row["already_stored"] else ""
        click.echo(f"{row['topic']}/{row['partition']}/{row['offset']}  {row['reason']}: "
                   f"{row['detail']}{note}")  # fmt: skip
    if not records:
        click.echo("nothing is in quarantine")


def _summary(record: Quarantined, stored: set[Place]) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "reason": record.reason,
        "detail": record.detail,
        "stage": record.stage,
        "trajectory_id": record.trajectory_id,
        "bytes": len(record.value or b""),
        "broker_at": datetime.fromtimestamp(record.broker_ms / 1000, UTC).isoformat(),
        "already_stored": Place(record.topic, record.partition, record.offset) in stored,
    }


@quarantine_group.command("show")
@click.argument("place")
@as_json_option
def show_command(*, place: str, as_json: bool) -> None:
    """Show one refused record whole; PLACE is topic/partition/offset as `ls` prints it."""
    chosen = _place(place)
    with LogScanner(config.endpoints().bootstrap_servers) as scanner:
        record = next(refused_records(scanner, chosen), None)
    if record is None:
        msg = f"nothing refused at {place}; `ropewalk quarantine ls` lists what is there"
        raise CommandError(msg)
    row = _summary(record, set()) | {
        "key": repr(record.key),
        "headers": [[name, repr(value)] for name, value in record.headers],
        "quarantined_by": record.quarantined_by,
        "value": (record.value or b"").decode("utf-8", "backslashreplace"),
    }
    if as_json:
        click.echo(json.dumps(row))
    else:
        click.echo("\n".join(f"{name:<16} {value}" for name, value in row.items()))


def _place(text: str) -> Filter:
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    if not (partition.isdecimal() and offset.isdecimal()):
        msg = f"{text!r} is not a place; write it as topic/partition/offset"
        raise CommandError(msg)
    return Filter(topic=topic, partition=int(partition), offset=int(offset))


@quarantine_group.command("replay")
@filter_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
def replay_command(*, yes: bool, as_json: bool, **given: Any) -> None:
    """Send refused events again, byte for byte, as new records; what is stored stays."""
    places = config.endpoints()
    chosen = _chosen(**{**given, "topic": given["topic"] or AGENT_EVENTS.name})
    with LogScanner(places.bootstrap_servers) as scanner:
        records = list(refused_records(scanner, chosen))
    if chosen.topic != AGENT_EVENTS.name:
        msg = f"only records of {AGENT_EVENTS.name} can be sent again, not of {chosen.topic}"
        raise CommandError(msg)
    if records and not yes:
        click.confirm(f"send {len(records):,} records again?", abort=True, err=True)
    pairs = ((record.key, record.value) for record in records)
    sent = send_again(places.bootstrap_servers, AGENT_EVENTS.name, pairs)
    marked = mark_replayed(places.postgres_dsn, [(r.topic, r.partition, r.offset) for r in records])
    if as_json:
        click.echo(json.dumps({"sent": sent, "marked": marked}))
    else:
        click.echo(f"{sent:,} records sent again, {marked:,} marked in Postgres")


COMMANDS = (status_command, verify_command, quarantine_group)
