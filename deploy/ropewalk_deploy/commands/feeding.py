"""`ropewalk simulate` and `ropewalk replay`: what feeds the pipeline."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ropewalk_deploy import config
from ropewalk_deploy.commands.progress import progress_bar
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.simulation.driver import SimulationReport, simulate
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.importers.replay import FORMATS, replay


def recorder_settings(service: str, project: str) -> RecorderSettings:
    """The recorder's settings for one of our own programs."""
    return RecorderSettings(
        project=project,
        service=service,
        bootstrap_servers=config.endpoints().bootstrap_servers,
        kafka_security=config.kafka_security(),
    )


def run_simulation(options: SimulationOptions) -> SimulationReport:
    """Run a simulation under a progress bar."""
    settings = recorder_settings("simulator", options.project or "market")
    with progress_bar("simulating") as progress:
        return simulate(options, settings, progress)


@click.command("simulate")
@click.option("--events", default=10_000, show_default=True, help="Target of the whole run.")
@click.option("--trajectories", type=int, help="Instead of --events.")
@click.option("--processes", default=4, show_default=True)
@click.option("--agents", default=4, show_default=True, help="Per process.")
@click.option("--seed", default=1, show_default=True)
@click.option("--rate", default=0.0, show_default=True, help="Events/s of the run; 0: full speed.")
@click.option("--run", "run_name", help="Goes into every id; by default from the time.")
@click.option("--project", default="market", show_default=True)
@click.option("--ledger", type=click.Path(path_type=Path), help="Folder for the truth ledger.")
@click.option("--duplicates", default=0.01, show_default=True, help="Events sent twice.")
@click.option("--vanish", default=0.02, show_default=True, help="Agents that die without an end.")
@click.option("--deaths", default=0, show_default=True, help="Processes that die half-way.")
@click.option("--pause", "pause_s", default=0.0, show_default=True, help="A silent gap, in s.")
@click.option("--lost-clocks", default=0.03, show_default=True, help="Agents with a wrong clock.")
@click.option("--long", "long", default=0.02, show_default=True, help="Hundreds of steps.")
@click.option("--short", default=0.25, show_default=True, help="One to three steps.")
@click.option("--late-rewards", default=0.2, show_default=True)
@click.option("--handovers", default=0.05, show_default=True, help="With a child writer.")
@click.option("--resolved", default=0.0, show_default=True, help="Markets that get an outcome.")
@click.option("--corrected", default=0.2, show_default=True, help="Of those, corrected ones.")
@click.option("--reviewed", default=0.0, show_default=True, help="Late rewards humans correct.")
@click.option("--rounds", default=1, show_default=True, help="Of outcomes and reviews.")
@click.option("--hours-behind", default=0.0, help="Of simulated time; outcomes come hours later.")
@click.option("--token-ids", default=0.1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def simulate_command(
    *, as_json: bool, run_name: str | None, ledger: Path | None, **given: Any
) -> None:
    """Let agents trade on simulated markets; every fraction is of trajectories or events."""
    name = run_name or f"sim-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    folder = ledger or config.home() / "ledgers" / name
    report = run_simulation(SimulationOptions(ledger=folder, run=name, **given))
    if as_json:
        click.echo(json.dumps(asdict(report) | {"events_per_s": report.events_per_s}, default=str))
        return
    click.echo(
        f"run {report.run}: {report.n_acknowledged:,} events acknowledged in "
        f"{report.seconds:.1f} s ({report.events_per_s:,.0f}/s), {report.n_trajectories:,} "
        f"trajectories, {report.n_duplicates:,} sent twice, {report.n_deaths} processes died"
    )
    click.echo(f"prove it: ropewalk verify --ledger {report.ledger}")


@click.command("replay")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--format", "log_format", required=True, type=click.Choice(sorted(FORMATS)))
@click.option("--run", "run_name", help="Goes into every id; by default each file's name.")
@click.option("--speed", default=0.0, help="Times the log's own pace; 0: as fast as possible.")
@click.option("--project", default="replay", show_default=True)
@click.option("--redact", default="secrets", show_default=True, help="Patterns, as the recorder's.")
@click.option("--redact-path", "redact_paths", multiple=True, help="A field to hide; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def replay_command(
    *,
    files: tuple[Path, ...],
    log_format: str,
    run_name: str | None,
    speed: float,
    project: str,
    as_json: bool,
    **redaction: Any,
) -> None:
    """Send real agent logs as events; the same file twice changes nothing."""
    settings = replace(recorder_settings("replay", project), **redaction)
    with progress_bar("replaying") as progress:
        report = replay(
            files,
            format=log_format,
            run=run_name,
            speed=speed,
            recorder_settings=settings,
            progress=lambda sent, total: progress(sent / total if total else 1.0),
        )
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        click.echo(
            f"{report.n_trajectories:,} trajectories, {report.n_events:,} events, "
            f"{report.delivery.delivered:,} acknowledged"
        )
    if not report.delivery.complete:
        msg = f"not everything was acknowledged: {report.delivery}; replay the files again"
        raise CommandError(msg)


COMMANDS = (simulate_command, replay_command)
