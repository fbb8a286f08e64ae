"""`ropewalk score` and `ropewalk groups`: what trajectories earned, and what can be trained on."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ropewalk_deploy import config
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.group_queries import parquet_groups
from ropewalk_schemas.reward_specs import RewardSpec, load_spec
from ropewalk_sinks.groups import Group
from ropewalk_sinks.parquet_scores import score_dataset
from ropewalk_sinks.postgres_groups import postgres_groups
from ropewalk_sinks.postgres_scores import rescore

MAX_SHOWN = 50
from_option = click.option(
    "--from",
    "source",
    type=click.Choice(["postgres", "parquet"]),
    default="postgres",
    show_default=True,
    help="Where to read.",
)


@click.command("score")
@click.option(
    "--spec",
    "spec_path",
    required=True,
    type=click.Path(path_type=Path),
    help="The specification, a TOML or JSON file.",
)
@click.option("--project", help="Only this project.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="Only what became final or was rewarded since, in UTC; Postgres only.",
)
@from_option
@as_json_option
def score_command(
    *, spec_path: Path, project: str | None, since: datetime | None, source: str, as_json: bool
) -> None:
    """Score trajectories by a specification.

    From Postgres, the scores are stored there, and those they replace are kept. From Parquet, they
    are printed: with --json one JSON object a line, one line a part.
    """
    spec = load_spec(spec_path)
    if source == "parquet":
        if since is not None:
            msg = "--since is for Postgres; scores from Parquet are computed anew each time"
            raise click.UsageError(msg)
        found = score_dataset(config.endpoints().parquet_path, spec, project=project)
        _print_scores(spec, found, as_json=as_json)
        return
    begin = None if since is None else since.replace(tzinfo=UTC)
    done = rescore(config.endpoints().postgres_dsn, spec, project=project, since=begin)
    if as_json:
        click.echo(json.dumps({"spec": spec.id, "digest": spec.digest, **asdict(done)}))
        return
    click.echo(
        f"{spec.id}: {done.parts:,} parts of {done.trajectories:,} trajectories; {done.new:,} "
        f"scored for the first time, {done.changed:,} scored otherwise (before: score_history)"
    )


def _print_scores(spec: RewardSpec, found: Iterator[dict[str, Any]], *, as_json: bool) -> None:
    totals = []
    n_parts = 0
    for row in found:
        n_parts += 1
        if row["total"] is not None:
            totals.append(row["total"])
        if as_json:
            click.echo(json.dumps(row))
    if not as_json:
        mean = f"{sum(totals) / len(totals):.4g}" if totals else "none"
        click.echo(f"{spec.id}: {n_parts:,} parts, {len(totals):,} rewarded, mean total {mean}")


@click.command("groups")
@click.option("--trainable", is_flag=True, help="Only those that can be trained on.")
@from_option
@as_json_option
def groups_command(*, trainable: bool, source: str, as_json: bool) -> None:
    """List groups of trajectories: rewards, advantages, trainable or why not."""
    places = config.endpoints()
    if source == "parquet":
        found = parquet_groups(places.parquet_path, trainable=trainable)
    else:
        found = postgres_groups(places.postgres_dsn, trainable=trainable)
    if as_json:
        click.echo(json.dumps([group._asdict() for group in found]))
        return
    ready = sum(group.trainable for group in found)
    click.echo(f"{len(found):,} groups, {ready:,} trainable")
    for group in sorted(found, key=lambda group: not group.trainable)[:MAX_SHOWN]:
        click.echo(f"  {_line(group)}")
    if len(found) > MAX_SHOWN:
        click.echo(f"  and {len(found) - MAX_SHOWN:,} more; --json lists all")


def _line(group: Group) -> str:
    where = (group.project, group.scenario, group.group_key, group.window_id, group.policy_version)
    name = " / ".join(part or "-" for part in where)
    if group.mean_reward is None or group.std_reward is None:
        rewards = "no rewards"
    else:
        rewards = f"reward {group.mean_reward:.4g} +- {group.std_reward:.4g}"
    verdict = "trainable" if group.trainable else ", ".join(group.why_not)
    return f"{name}: {group.size} of {group.n_agents} agents, {rewards}; {verdict}"


COMMANDS = (score_command, groups_command)
