"""`ropewalk spool`: events that recorders left on disk, listed and sent."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from ropewalk_deploy import config
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.commands.progress import progress_bar
from ropewalk_deploy.errors import CommandError, SettingError
from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.spool.draining import STALL_S, DrainReport, drain
from ropewalk_producers.spool.listing import SegmentSummary, spooled

path_option = click.option(
    "--path", type=click.Path(path_type=Path), help="The folder; by default ROPEWALK_SPOOL_PATH."
)


@click.group("spool")
def spool_group() -> None:
    """Events that recorders left on disk: list them, send them."""


@spool_group.command("ls")
@path_option
@as_json_option
def ls_command(*, path: Path | None, as_json: bool) -> None:
    """List segments: whose they are, what is in them, what is damaged."""
    segments = spooled(Path(_settings(path).spool_path))
    if as_json:
        click.echo(json.dumps({"segments": [asdict(segment) for segment in segments]}))
        return
    for segment in segments:
        click.echo(_line(segment))
    n_events = sum(segment.events for segment in segments)
    click.echo(f"{n_events:,} events in {len(segments):,} segments" if segments else "nothing")


@spool_group.command("drain")
@path_option
@click.option("--stall", "stall_s", default=STALL_S, show_default=True, help="Give up after, in s.")
@as_json_option
def drain_command(*, path: Path | None, stall_s: float, as_json: bool) -> None:
    """Send what dead processes left, and delete what Kafka has acknowledged."""
    settings = _settings(path)
    if not settings.bootstrap_servers:
        settings = replace(settings, bootstrap_servers=config.endpoints().bootstrap_servers)
    found = spooled(Path(settings.spool_path))
    total = sum(segment.events for segment in found if not segment.living)
    with progress_bar("draining") as progress:
        report = drain(settings, stall_s=stall_s, progress=lambda n: progress(n / max(total, 1)))
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        for problem in report.problems:
            click.echo(problem, err=True)
        click.echo(f"{report.sent:,} events sent")
    if not report.complete:
        raise CommandError(_what_is_left(report, settings))


def _settings(path: Path | None) -> RecorderSettings:
    given = RecorderSettings.from_environment(
        project="spool", service="spool", bootstrap_servers="", spool_path=str(path or "")
    )
    folder = str(path or given.spool_path)
    if not folder:
        msg = "no spool is named: give --path, or set ROPEWALK_SPOOL_PATH"
        raise SettingError(msg)
    return replace(given, durability="spool", spool_path=folder)


def _line(segment: SegmentSummary) -> str:
    owner = "living" if segment.living else "dead"
    oldest = "" if segment.oldest_ms is None else f"  oldest {_instant(segment.oldest_ms)}"
    torn = f"  torn: {segment.torn_bytes:,} bytes" if segment.torn_bytes else ""
    damaged = f"  damaged: {segment.damaged_bytes:,} bytes" if segment.damaged_bytes else ""
    kept = "  kept" if segment.kept else ""
    return (
        f"{segment.path}  pid {segment.pid} {owner}  {segment.events:,} events  "
        f"{segment.bytes:,} bytes{oldest}{torn}{damaged}{kept}"
    )


def _instant(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _what_is_left(report: DrainReport, settings: RecorderSettings) -> str:
    told = []
    if report.left:
        told.append(
            f"{report.left:,} events of dead processes are left: Kafka at "
            f"{settings.bootstrap_servers} did not acknowledge them; drain again"
        )
    if report.failed:
        told.append(f"Kafka refuses {report.failed:,} events for good")
    if report.kept:
        told.append(
            f"{report.kept:,} files hold bytes that cannot be read; look at them, then delete "
            f"*.damaged in {settings.spool_path}"
        )
    return "; ".join(told)


COMMANDS = (spool_group,)
