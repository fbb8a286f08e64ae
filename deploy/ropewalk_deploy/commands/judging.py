"""`ropewalk judge`: groups of trajectories are ranked by a model, and earn rewards for it."""

import json
import signal
import threading
from pathlib import Path

import click

from ropewalk_deploy import config
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.logs import set_up_logging
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.judging.rubric import DEFAULT_RUBRIC, Rubric
from ropewalk_sinks.judging.runner import prompts, run

LONGEST_NAME = 60


@click.command("judge")
@click.option("--once", is_flag=True, help="Judge what is settled now, then end.")
@click.option("--dry-run", is_flag=True, help="Show the prompts; ask nobody, store nothing.")
@click.option("--again", is_flag=True, help="Ask again about groups that were refused.")
@click.option("--rubric", "rubric_file", type=click.Path(exists=True, dir_okay=False,
              path_type=Path), help="A text to judge by; its name is the file's.")  # fmt: skip
@as_json_option
@click.pass_obj
def judge_command(
    obj: dict[str, bool],
    *,
    once: bool,
    dry_run: bool,
    again: bool,
    rubric_file: Path | None,
    as_json: bool,
) -> None:
    """Let a model rank the trajectories of each settled group, as rewards."""
    set_up_logging("judge", as_json=obj["log_json"])
    config.use(config.endpoints())
    settings, rubric = JudgeSettings.load(), _rubric(rubric_file)
    if dry_run:
        _show_prompts(settings, rubric, as_json=as_json)
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    done = run(settings, rubric, stop, once=once, again=again)
    if as_json:
        click.echo(json.dumps(done))
    else:
        click.echo("  ".join(f"{name}={value:,}" for name, value in done.items()))


def _show_prompts(settings: JudgeSettings, rubric: Rubric, *, as_json: bool) -> None:
    n_groups = 0
    for group, prompt in prompts(settings, rubric):
        n_groups += 1
        if as_json:
            ids = [member.trajectory_id for member in group.members]
            said = {"group": group.name, "trajectories": ids, "messages": prompt.messages}
            click.echo(json.dumps(said))
            continue
        click.echo(f"=== {group.name}: {len(group.members)} trajectories")
        for message in prompt.messages:
            click.echo(f"--- {message['role']}\n{message['content']}")
    if not as_json:
        click.echo(f"{n_groups:,} groups would be judged by {rubric.version}")


def _rubric(path: Path | None) -> Rubric:
    """The rubric of a file, or the default.

    Raises:
        CommandError: If it is no text, or its name is too long for a reward.
    """
    if path is None:
        return DEFAULT_RUBRIC
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read the rubric {path}: {error}"
        raise CommandError(msg) from error
    if not text.strip() or len(path.stem) > LONGEST_NAME:
        msg = f"the rubric {path} must hold some text, and its name at most {LONGEST_NAME} letters"
        raise CommandError(msg)
    return Rubric(path.stem, text)


COMMANDS = (judge_command,)
