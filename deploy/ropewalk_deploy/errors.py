"""What the `ropewalk` command raises: each message says what happened and what to do next."""


class CommandError(Exception):
    """A command cannot be done; `exit_status` is the process's."""

    exit_status = 1


class GaveUpError(CommandError):
    """A program that was to be kept alive ended in a way that a restart cannot help."""


class SettingError(CommandError):
    """A setting is missing or wrong."""

    exit_status = 2
