"""`ropewalk rewards`: what trajectories earned, as of any moment."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ropewalk_deploy import config
from ropewalk_deploy.commands.options import Moment, as_json_option
from ropewalk_deploy.ledger_queries import parquet_ledger_as_of
from ropewalk_sinks.ledger import Earned, LedgerView
from ropewalk_sinks.postgres_ledger import ledger_as_of

MAX_ROWS = 50
"""What a terminal shows; JSON holds all."""


@click.command("rewards")
@click.option("--as-of", type=Moment(), help="Only what was recorded by then; without it, all.")
@click.option("--trajectory", "trajectory_id", metavar="ID", help="Only this trajectory.")
@click.option(
    "--from",
    "place",
    type=click.Choice(["postgres", "parquet"]),
    default="postgres",
    show_default=True,
    help="Which sink to ask; both must say the same.",
)
@as_json_option
def rewards_command(
    *, as_of: datetime | None, trajectory_id: str | None, place: str, as_json: bool
) -> None:
    """Say what the ledger counts per step, what cannot be followed and what waits."""
    places = config.endpoints()
    if place == "postgres":
        view = ledger_as_of(places.postgres_dsn, as_of, trajectory_id)
    else:
        view = parquet_ledger_as_of(places.parquet_path, as_of, trajectory_id)
    if as_json:
        click.echo(json.dumps(_answer(view, as_of), default=_as_text))
    else:
        _show(view)


def _answer(view: LedgerView, as_of: datetime | None) -> dict[str, Any]:
    return {
        "as_of": as_of,
        "counts": _counts(view),
        "rewards": [row._asdict() for row in view.rewards],
        "problems": [row._asdict() for row in view.problems],
        "unmatched": [row._asdict() for row in view.unmatched],
    }


def _counts(view: LedgerView) -> dict[str, Any]:
    return {
        "entries": sum(row.n_entries for row in view.rewards),
        "problems": dict(Counter(row.problem for row in view.problems)),
        "unmatched": dict(Counter(row.waits_for for row in view.unmatched)),
    }


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    message = f"{type(value).__name__} is not JSON"
    raise TypeError(message)


def _show(view: LedgerView) -> None:
    Console().print(_table(view.rewards[:MAX_ROWS]))
    if len(view.rewards) > MAX_ROWS:
        click.echo(f"and {len(view.rewards) - MAX_ROWS:,} more; --json lists all")
    counts = _counts(view)
    click.echo(f"entries    {counts['entries']:,} count")
    click.echo(f"problems   {_summed(counts['problems'])}")
    click.echo(f"unmatched  {_summed(counts['unmatched'], 'waiting for its ')}")


def _table(rewards: Iterable[Earned]) -> Table:
    table = Table("trajectory", "part", "step", "reward", "entries", "recorded at", box=None)
    for row in rewards:
        at = ("all", "") if row.part is None else (str(row.part), str(row.step))
        numbers = (f"{row.reward:g}", str(row.n_entries), _as_text(row.recorded_at))
        table.add_row(row.trajectory_id, *at, *numbers)
    return table


def _summed(counts: dict[str, int], before: str = "") -> str:
    return ", ".join(f"{n:,} {before}{name}" for name, n in sorted(counts.items())) or "none"


COMMANDS = (rewards_command,)
