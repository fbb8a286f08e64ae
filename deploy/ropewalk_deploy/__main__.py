"""The `ropewalk` command."""

import sys

import click

from ropewalk_deploy import config
from ropewalk_deploy.commands.failures import KNOWN_ERRORS, exit_status
from ropewalk_deploy.commands.lazy import LazyGroup
from ropewalk_deploy.logs import set_up_logging
from ropewalk_schemas import failpoints

MODULES = {
    "stack": ("up", "down"),
    "topics": ("topics", "migrate"),
    "worker": ("worker",),
    "sinks": ("sink",),
    "run": ("run",),
    "feeding": ("simulate", "replay"),
    "asking": ("status", "verify"),
    "rewards": ("rewards",),
    "scoring": ("score", "groups"),
    "quarantine": ("quarantine",),
    "erasing": ("erase",),
    "generations": ("reprocess", "promote", "generations"),
    "differing": ("diff",),
    "spool": ("spool",),
    "settling": ("settle",),
    "judging": ("judge",),
    "demo": ("demo",),
    "chaos": ("chaos", "chaos-table"),
    "soak": ("soak",),
}


@click.group(
    cls=LazyGroup, modules=MODULES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("--log-json", is_flag=True, help="Log one JSON object a line.")
@click.version_option(package_name="ropewalk")
@click.pass_context
def cli(context: click.Context, *, log_json: bool) -> None:
    """Turn the loose events of running agents into training data people trust."""
    context.obj = {"log_json": log_json}
    failpoints.watch(config.failpoints())
    set_up_logging(context.invoked_subcommand or "ropewalk", as_json=log_json)


def main() -> None:
    """Run the command; a known failure is one clear line and a non-zero exit status."""
    try:
        cli()
    except KNOWN_ERRORS as error:
        click.echo(f"ropewalk: {error}", err=True)
        sys.exit(exit_status(error))


if __name__ == "__main__":
    main()
