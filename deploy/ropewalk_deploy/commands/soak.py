"""`ropewalk soak`: the whole system under load and faults for long; what it holds stays level."""

import json
import logging
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import click

from ropewalk_deploy import config
from ropewalk_deploy.chaos.arena import JVM_FLAGS, open_arena
from ropewalk_deploy.chaos.faults import FAULTS
from ropewalk_deploy.chaos.soak import Soaked, SoakPlan, fitting, soak
from ropewalk_deploy.chaos.soak_plot import draw
from ropewalk_deploy.chaos.version import code_version
from ropewalk_deploy.commands.options import as_json_option

# A heap grows until it has what it may have: given that at once, only what is not heap can grow.
WHOLE_HEAP = (*JVM_FLAGS, "-Xms512m", "-XX:+AlwaysPreTouch")


@click.command("soak")
@click.option("--minutes", type=click.FloatRange(min=0.5), default=30.0, show_default=True,
              help="How long agents play.")  # fmt: skip
@click.option("--rate", type=click.FloatRange(min=1), default=100.0, show_default=True,
              help="Events/s.")  # fmt: skip
@click.option("--fault-every", default=90.0, show_default=True, help="Seconds, on average.")
@click.option("--seed", type=int, help="By default chosen by the clock.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), show_default=True,
              default=Path(".ropewalk/soak"), help="For samples, verdict and picture.")  # fmt: skip
@as_json_option
def soak_command(
    *,
    minutes: float,
    rate: float,
    fault_every: float,
    seed: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Let agents play for long while things break; memory, handles and lag must stay level.

    Everything runs on loopback, on servers of its own. The checks of `ropewalk chaos` follow.
    """
    config.use_local_kafka()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers end, too
    logging.getLogger("ropewalk_deploy.supervisor").setLevel(logging.ERROR)  # deaths are the plan
    first = seed if seed is not None else int(time.time()) % 1_000_000
    plan = SoakPlan(minutes=minutes, rate=rate, seed=first, fault_every_s=fault_every)
    click.echo(f"seed {first}: {minutes:g} minutes at {rate:g} events/s", err=True)
    home = Path(tempfile.mkdtemp(prefix="ropewalk-soak-"))
    home.chmod(0o755)  # the database server's user must get in
    out.mkdir(parents=True, exist_ok=True)
    with (
        (out / "samples.jsonl").open("w") as samples,
        open_arena(home, lambda _: None, jvm_flags=WHOLE_HEAP) as arena,
    ):
        soaked = soak(
            arena,
            plan,
            fitting(FAULTS),
            say=lambda told: click.echo(told, err=True),
            sampled=lambda sample: print(json.dumps(asdict(sample)), file=samples, flush=True),
        )
        arena.keep = bool(soaked.problems)
    found = _found(plan, soaked)
    _keep(out, soaked, found)
    click.echo(json.dumps(found) if as_json else _shown(soaked, out))
    if soaked.problems:
        click.echo(f"its logs and data stay in {home}", err=True)
    sys.exit(1 if soaked.problems else 0)


def _found(plan: SoakPlan, soaked: Soaked) -> dict[str, object]:
    return {
        "version": code_version(),
        "plan": asdict(plan),
        "seconds": round(soaked.seconds, 1),
        "events": soaked.n_events,
        "faults": [asdict(struck) for struck in soaked.struck],
        "slopes": [asdict(slope) | {"flat": slope.is_flat} for slope in soaked.slopes],
        "checks": len(soaked.checks),
        "problems": soaked.problems,
    }


def _keep(out: Path, soaked: Soaked, found: dict[str, object]) -> None:
    (out / "soak.json").write_text(json.dumps(found, indent=2) + "\n")
    if not draw(soaked, out / "soak.png"):
        click.echo("no picture: matplotlib is not installed", err=True)


def _shown(soaked: Soaked, out: Path) -> str:
    lines = ["| what | level | growth per hour | allowed |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {s.name} | {s.level:g} | {s.per_hour:+g} | {s.allowed:g} |" for s in soaked.slopes
    ]
    verdict = "; ".join(soaked.problems) or f"all {len(soaked.checks)} checks hold"
    told = f"{soaked.n_events:,} events, {len(soaked.struck)} faults, {soaked.seconds:.0f} s"
    return "\n".join([*lines, "", f"{told}: {verdict}. Samples and picture are in {out}."])


COMMANDS = (soak_command,)
