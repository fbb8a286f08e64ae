"""Commands are imported when they are asked for: a worker needs none of what `demo` needs."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands are in the tuple `COMMANDS` of modules beside this one.

    Args:
        modules: The names of a module's commands, by the module's name.
        arguments: As `click.Group` takes them.
    """

    def __init__(self, *, modules: Mapping[str, Sequence[str]], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._module_of = {name: module for module, names in modules.items() for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, sorted."""
        return sorted(self._module_of)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name; None when there is none."""
        module = self._module_of.get(cmd_name)
        if module is None:
            return None
        found: tuple[click.Command, ...] = import_module(f"{__package__}.{module}").COMMANDS
        return next(command for command in found if command.name == cmd_name)
