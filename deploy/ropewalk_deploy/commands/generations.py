"""`ropewalk reprocess`, `promote` and `generations`: ranges rebuilt beside what readers see."""

import json
from dataclasses import asdict

import click
from pydantic import ValidationError

from ropewalk_deploy import config
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.commands.progress import progress_bar
from ropewalk_deploy.errors import SettingError
from ropewalk_deploy.generations.building import Built, Order, reprocess
from ropewalk_deploy.generations.choice import Choice, parse_ranges
from ropewalk_deploy.generations.planning import named
from ropewalk_deploy.generations.promoting import promote
from ropewalk_deploy.generations.removing import remove
from ropewalk_schemas.limits import Settings
from ropewalk_sinks.postgres_generations import Generation, read_generations
from ropewalk_stream_processors.config import unknown_limits


@click.command("reprocess")
@click.option(
    "--window",
    "windows",
    multiple=True,
    required=True,
    metavar="ID|FROM/TO",
    help="Trajectories with a part in it; can be given several times.",
)
@click.option("--to", "name", required=True, metavar="NAME", help="The new generation's name.")
@click.option("--project", help="Only this project.")
@click.option("--limits", metavar="JSON", help="In place of those in the log; as ROPEWALK_LIMITS.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for the sinks.")
@as_json_option
def reprocess_command(
    *,
    windows: tuple[str, ...],
    name: str,
    project: str | None,
    limits: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Rebuild the trajectories of windows from the log, beside what readers see.

    Nothing that readers see changes. Interrupted, run it again.
    """
    places = config.endpoints()
    order = Order(name, Choice(parse_ranges(windows), project), _limits(limits))
    with progress_bar("rebuilding", shown=not as_json) as share:
        built = reprocess(places, order, timeout_s=timeout, share=share)
    if as_json:
        click.echo(json.dumps({"generation": name, **built.counts(), "open": built.left_out}))
        return
    for line in _told(name, built):
        click.echo(line)


def _limits(text: str | None) -> Settings | None:
    if text is None:
        return None
    try:
        limits = Settings.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        inner = ".".join(str(part) for part in first["loc"])
        msg = f"--limits is not usable{f' at {inner}' if inner else ''}: {first['msg']}"
        raise SettingError(msg) from error
    if unknown := sorted(unknown_limits(limits)):
        msg = f"--limits names unknown limits: {', '.join(unknown)}"
        raise SettingError(msg)
    return limits


def _told(name: str, built: Built) -> list[str]:
    refused = ", ".join(f"{n:,} {reason}" for reason, n in built.refused.most_common())
    lines = [
        f"generation {name}: {built.trajectories:,} trajectories in {built.parts:,} parts, "
        f"{built.entries:,} ledger entries, {sum(built.refused.values()):,} events refused"
        + (f" ({refused})" if refused else "")
    ]
    if built.left_out:
        lines.append(
            f"left out: {len(built.left_out):,} that the worker still holds open: "
            f"{named(built.left_out)}"
        )
    if built.erased:
        lines.append(f"left out: {built.erased:,} of erased subjects")
    if built.poison_taken or built.poison_refused:
        lines.append(
            f"poison: {built.poison_taken:,} records are taken now, {built.poison_refused:,} "
            "still fail"
        )
    lines.append(f"Next: `ropewalk diff {name}`, then `ropewalk promote {name}`.")
    return lines


@click.command("promote")
@click.argument("name")
@as_json_option
def promote_command(*, name: str, as_json: bool) -> None:
    """Let readers see generation NAME, or with NAME_before what they saw until then.

    Each store switches at once. Interrupted, run it again.
    """
    done = promote(config.endpoints(), name)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    elif done.seen is not None:
        click.echo(f"readers see generation {name}: {done.trajectories:,} trajectories")
        click.echo(f"Kept: {done.kept}. `ropewalk promote {done.kept}` goes back to it.")
    else:
        click.echo(f"readers see again what they saw before generation {done.kept}, which is kept")


@click.group("generations")
def generations_group() -> None:
    """Rebuilt ranges beside what readers see, or in its place."""


@generations_group.command("ls")
@as_json_option
def ls_command(*, as_json: bool) -> None:
    """List generations, oldest first."""
    found = read_generations(config.endpoints().postgres_dsn)
    if as_json:
        click.echo(json.dumps([each._asdict() for each in found], default=str))
        return
    for each in found:
        click.echo(_line(each))
    if not found:
        click.echo("no generations: readers see what the sinks stored")


def _line(each: Generation) -> str:
    state = each.state
    if each.replaced_by is not None:
        state = "kept" if state == "built" else state
        says = f"what readers saw before {each.replaced_by}"
    else:
        n = each.counts.get("trajectories")
        size = "" if n is None else f"{n:,} trajectories in {each.counts['parts']:,} parts, "
        project = "" if each.project is None else f" of project {each.project}"
        says = f"{size}windows {', '.join(each.ranges)}{project}"
    return f"{each.name:<20} {state:<10} {says}"


@generations_group.command("rm")
@click.argument("name")
def rm_command(name: str) -> None:
    """Remove a generation that no reader sees, everywhere."""
    remove(config.endpoints(), name)
    click.echo(f"removed generation {name}")


COMMANDS = (reprocess_command, promote_command, generations_group)
