"""`ropewalk erase`: a subject is removed from both stores, and not stored again."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

import click

from ropewalk_deploy import config
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.commands.progress import progress_bar
from ropewalk_schemas.topics import AGENT_EVENTS, QUARANTINE, TRAJECTORIES
from ropewalk_sinks.erase import Erased, erase, look
from ropewalk_sinks.erasure import Subject
from ropewalk_sinks.tombstones import Removal

DAY_MS = 86_400_000
COPIES = (AGENT_EVENTS, TRAJECTORIES, QUARANTINE)


@click.command("erase")
@click.option("--agent", "agent_id", metavar="ID", help="All that an agent did.")
@click.option("--project", help="Only what the agent did in this project.")
@click.option("--trajectory", "trajectory_id", metavar="ID", help="One trajectory.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@click.option("--reason", help="Why, for the tombstone; it stays, so name nobody in it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
def erase_command(
    *,
    agent_id: str | None,
    project: str | None,
    trajectory_id: str | None,
    dry_run: bool,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove a subject from Postgres and Parquet for good; sinks do not store it again.

    Run again, it removes what came since, and finishes what died. Kafka keeps its copies until
    their retention has passed.
    """
    subject = _subject(agent_id, project, trajectory_id)
    places = config.endpoints()
    dsn, path = places.postgres_dsn, places.parquet_path
    if dry_run:
        _say(subject, look(dsn, path, subject), dry_run=True, as_json=as_json)
        return
    if not yes and sys.stdin.isatty():
        click.confirm(f"remove {subject} for good?", abort=True, err=True)
    with progress_bar("rewriting files", shown=not as_json) as told:
        erased = erase(dsn, path, subject, reason=reason, now=datetime.now(UTC), told=told)
    _say(subject, erased, dry_run=False, as_json=as_json)


def _subject(agent_id: str | None, project: str | None, trajectory_id: str | None) -> Subject:
    """Whom the options name.

    Raises:
        UsageError: If they name nobody, or two.
    """
    if bool(agent_id) == bool(trajectory_id):
        msg = "name one subject: --agent ID, or --trajectory ID"
        raise click.UsageError(msg)
    if trajectory_id:
        if project:
            msg = "--project is for --agent; a trajectory is in one project only"
            raise click.UsageError(msg)
        return Subject("trajectory", trajectory_id)
    return Subject("agent", agent_id or "", project or None)


def _say(subject: Subject, erased: Erased, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        answer = {
            "subject": subject._asdict(),
            "erasure_id": subject.erasure_id,
            "dry_run": dry_run,
            "postgres": _counts(erased.postgres),
            "parquet": _counts(erased.parquet),
            "kafka_keeps_days": {topic.name: _days(topic.retention_ms) for topic in COPIES},
        }
        click.echo(json.dumps(answer))
        return
    done = "would be removed" if dry_run else "removed"
    click.echo(f"{subject}")
    for store, removal in (("Postgres", erased.postgres), ("Parquet", erased.parquet)):
        counts = ", ".join(
            f"{n:,} {name.replace('_', ' ')}" for name, n in _counts(removal).items()
        )
        click.echo(f"{done} from {store}: {counts}")
    if not dry_run:
        click.echo("neither sink stores it again; `ropewalk verify` holds both to that")
    kept = ", ".join(f"{topic.name} {_days(topic.retention_ms)} days" for topic in COPIES)
    click.echo(
        f"not touched: Kafka keeps its copies until retention ({kept}, if not set otherwise), "
        "agents keep what is in their spools, and backups are yours: see docs/erasing.md"
    )


def _counts(removal: Removal) -> dict[str, Any]:
    return {
        "trajectories": sum(bool(t.parts or t.n_entries) for t in removal.trajectories.values()),
        "parts": removal.n_parts,
        "events": removal.n_events,
        "ledger_entries": removal.n_entries,
        "refused_records": removal.n_refused,
    }


def _days(retention_ms: int | None) -> int | None:
    return None if retention_ms is None else retention_ms // DAY_MS


COMMANDS = (erase_command,)
