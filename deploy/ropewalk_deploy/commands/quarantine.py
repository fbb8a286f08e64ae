"""`ropewalk quarantine`: refused records, listed, looked at and sent again."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any, get_args

import click

from ropewalk_deploy import config
from ropewalk_deploy.audit.accounts import Place
from ropewalk_deploy.audit.quarantine import Filter, already_stored, refused_records
from ropewalk_deploy.commands.asking import as_json_option
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner, send_again
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.reasons import MEANING, Reason
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_sinks.postgres_marks import mark_replayed


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
    sent = len(send_again(places.bootstrap_servers, AGENT_EVENTS.name, pairs))
    marked = mark_replayed(places.postgres_dsn, [(r.topic, r.partition, r.offset) for r in records])
    if as_json:
        click.echo(json.dumps({"sent": sent, "marked": marked}))
    else:
        click.echo(f"{sent:,} records sent again, {marked:,} marked in Postgres")


COMMANDS = (quarantine_group,)
