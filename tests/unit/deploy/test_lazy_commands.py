"""Commands are imported when asked for; every one that is written can be asked for."""

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import click
import pytest

from ropewalk_deploy import commands
from ropewalk_deploy.__main__ import cli

HEAVY = {"duckdb", "faust", "pandas", "psycopg", "pyarrow", "rich"}


def test_every_command_of_every_module_can_be_asked_for() -> None:
    modules = [
        import_module(f"{commands.__name__}.{m.name}") for m in iter_modules(commands.__path__)
    ]
    written = {command for module in modules for command in getattr(module, "COMMANDS", ())}
    group = cli.get_command(click.Context(cli), "sink")
    assert isinstance(group, click.Group)
    found = {
        each.get_command(context, name)
        for each in (cli, group)
        for context in [click.Context(each)]
        for name in each.list_commands(context)
    }
    assert found == written


@pytest.mark.parametrize(
    ("command", "needs"),
    [("worker", {"faust"}), ("sink postgres", {"psycopg"}), ("spool ls", {"rich"})],
)
def test_a_program_imports_what_it_needs_only(command: str, needs: set[str]) -> None:
    script = (
        "import sys\n"
        "from ropewalk_deploy.__main__ import cli\n"
        f"cli({[*command.split(), '--help']!r}, standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(done.stderr.split()) == needs
