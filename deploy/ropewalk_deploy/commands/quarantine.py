"""`ropewalk quarantine`: refused records, listed, looked at and sent again."""

import json
import logging
from collections.abc import Sequence
from contextlib import closing
from typing import Any, get_args

import click

from ropewalk_deploy import config
from ropewalk_deploy.audit.accounts import Place
from ropewalk_deploy.audit.quarantine import (
    Filter,
    already_stored,
    place_of,
    refused_records,
    text_of,
)
from ropewalk_deploy.audit.replaying import Judged, advice_for, counted, judge, to_send
from ropewalk_deploy.audit.resent import Copies
from ropewalk_deploy.commands import quarantine_shown as shown
from ropewalk_deploy.commands.options import Moment, as_json_option
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner
from ropewalk_deploy.resending import Marked, mark, resend
from ropewalk_deploy.turns import Turn
from ropewalk_schemas.reasons import Reason

STAGES = ("assembler", "sink postgres", "sink parquet", "judge")


@click.group("quarantine")
def quarantine_group() -> None:
    """Refused records: list them, look at one, send them again."""


def filter_options(command: Any) -> Any:
    """Options that choose refused records; they all have to agree."""
    options = (
        click.argument("places", nargs=-1, metavar="[PLACE]..."),
        click.option("--reason", type=click.Choice(get_args(Reason))),
        click.option("--stage", type=click.Choice(STAGES), help="What refused it."),
        click.option("--since", type=Moment(), help="Refused then or later."),
        click.option("--until", type=Moment(), help="Refused before then."),
        click.option("--trajectory", "trajectory_id", metavar="ID"),
        click.option("--event", "event_id", metavar="ID", help="The event_id inside the value."),
        click.option("--topic", help="Where the record was."),
        click.option("--partition", type=int),
        click.option("--offset", type=int),
    )
    for option in reversed(options):  # the last one applied is the first that --help shows
        command = option(command)
    return command


@quarantine_group.command("ls")
@filter_options
@click.option("--limit", default=20, show_default=True, help="How many to list; 0: all.")
@as_json_option
def ls_command(*, limit: int, as_json: bool, **given: Any) -> None:
    """List refused records by reason, newest last; PLACE is topic/partition/offset."""
    with LogScanner(config.endpoints().bootstrap_servers) as scanner:
        judged, _ = _judged(scanner, _chosen(**given))
    last = judged[-limit:] if limit else judged
    if as_json:
        click.echo(json.dumps({"count": len(judged), "records": [*map(shown.summary, last)]}))
        return
    for line in (*shown.by_reason(judged), *map(shown.line, last)):
        click.echo(line)
    if not judged:
        click.echo("nothing is in quarantine" + (" that matches" if any(given.values()) else ""))


@quarantine_group.command("show")
@click.argument("place")
@as_json_option
def show_command(*, place: str, as_json: bool) -> None:
    """Show one refused record whole; PLACE is topic/partition/offset as `ls` prints it."""
    with LogScanner(config.endpoints().bootstrap_servers) as scanner:
        judged, _ = _judged(scanner, Filter(places=frozenset({_place(place)})))
    row = shown.whole(judged[0])
    if as_json:
        click.echo(json.dumps(row))
    else:
        click.echo("\n".join(f"{name:<16} {value}" for name, value in row.items()))


@quarantine_group.command("replay")
@filter_options
@click.option("--dry-run", is_flag=True, help="Say what would be sent; send nothing.")
@click.option("--again", is_flag=True, help="Also what was sent again before, or is stored.")
@click.option("--limit", default=20, show_default=True, help="How many --dry-run lists; 0: all.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
def replay_command(
    *, dry_run: bool, again: bool, limit: int, yes: bool, as_json: bool, **given: Any
) -> None:
    """Send refused records again, byte for byte, as new records; what is stored stays.

    Each is sent once: what was sent again before is left out, whoever sent it. Exit status 1 when
    no record matches, none that sending again can mend, or when nobody knows about some.
    """
    places = config.endpoints()
    with LogScanner(places.bootstrap_servers) as scanner:
        judged, copies = _judged(scanner, _chosen(**given))
        chosen = to_send(judged, again=again)
        _require_sendable(judged)
        if not as_json:
            click.echo("\n".join(shown.plan(judged, chosen, again=again)))
        if dry_run:
            listed = chosen[:limit] if limit else chosen
            click.echo(shown.dry_run(judged, chosen, listed, as_json=as_json))
            return
        if chosen and not yes:
            click.confirm(f"send {len(chosen):,} again?", abort=True, err=True)
        n_sent = _send(places.bootstrap_servers, scanner, chosen, copies) if chosen else 0
        copies.look()
        marked = mark(places.postgres_dsn, judged, copies)
    _say(judged, chosen, n_sent, marked, as_json=as_json)
    if not again:
        _require_known(judged)


def _chosen(places: Sequence[str], **given: Any) -> Filter:
    return Filter(places=frozenset(map(_place, places)), **given)


def _place(text: str) -> Place:
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        msg = f"{text!r} is not a place; write it as topic/partition/offset"
        raise CommandError(msg)
    return Place(topic, int(partition), int(offset))


def _judged(scanner: LogScanner, chosen: Filter) -> tuple[list[Judged], Copies]:
    """What is chosen, what became of each since, and the copies found."""
    found = refused_records(scanner, chosen)
    records = sorted(found, key=lambda record: (record.quarantined_ms, place_of(record)))
    if missing := chosen.places - {place_of(record) for record in records}:
        names = ", ".join(text_of(place) for place in sorted(missing))
        msg = f"nothing refused at {names}; `ropewalk quarantine ls` lists what is there"
        raise CommandError(msg)
    copies = Copies(scanner, records)
    copies.look()
    stored = already_stored(scanner, records)
    return [judge(record, copies, stored) for record in records], copies


def _require_sendable(judged: Sequence[Judged]) -> None:
    if not judged:
        msg = "no refused record matches; `ropewalk quarantine ls` lists what is there"
        raise CommandError(msg)
    if counted(judged)["elsewhere"] == len(judged):
        first = judged[0].record
        msg = (
            f"records of {first.topic} are not mended by sending them again, such as "
            f"{text_of(place_of(first))}: {advice_for(first)}"
        )
        raise CommandError(msg)


def _require_known(judged: Sequence[Judged]) -> None:
    unknown = [each.record for each in judged if each.state == "unknown"]
    if unknown:
        msg = (
            f"not sent: {len(unknown):,}, such as {text_of(place_of(unknown[0]))}, because "
            f"{unknown[0].topic} begins after their refusal, and copies may have been deleted. "
            "Look for replayed_at in Postgres; where it is null, name those and use --again"
        )
        raise CommandError(msg)


def _send(servers: str, scanner: LogScanner, chosen: Sequence[Judged], copies: Copies) -> int:
    def waiting() -> None:
        click.echo("another `ropewalk quarantine replay` is at work; waiting for it", err=True)

    logging.getLogger("ropewalk_sinks").setLevel(logging.WARNING)  # partitions are not the topic
    with closing(Turn(servers, scanner)) as turn:
        return resend(servers, chosen, copies, turn, waiting)


def _say(
    judged: Sequence[Judged],
    chosen: Sequence[Judged],
    n_sent: int,
    marked: Marked,
    *,
    as_json: bool,
) -> None:
    if as_json:
        said = {"matched": len(judged), "sent": n_sent, "marked": marked.rows}
        states = dict(counted(judged))
        click.echo(json.dumps(said | {"states": states, "problem": marked.problem}))
        return
    if n_sent < len(chosen):
        n_others = len(chosen) - n_sent
        click.echo(f"left out, as another command sent them meanwhile: {n_others:,}")
    rows = "none" if marked.rows is None else f"{marked.rows:,}"
    click.echo(f"sent again: {n_sent:,}, marked in Postgres: {rows}")
    if marked.problem is not None:
        click.echo(
            f"the log knows what was sent; run this again to mark it in Postgres too: "
            f"{marked.problem}",
            err=True,
        )


COMMANDS = (quarantine_group,)
