"""What a generation may be called, and what is called after it; pure."""

import re
from dataclasses import replace

from ropewalk_deploy.errors import SettingError
from ropewalk_schemas.topics import QUARANTINE, TRAJECTORIES, TopicSpec

BEFORE = "_before"
"""Ends the name of what readers saw until a generation was promoted."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_RESERVED = frozenset(
    {"public", "information_schema", "current", "live", "all", "less", "ropewalk"}
)


def check_name(name: str) -> str:
    """The name, if a new generation may have it.

    It becomes the name of a schema, of a folder, and a part of topics' names.

    Raises:
        SettingError: If it may not.
    """
    if not _NAME.fullmatch(name):
        msg = (
            f"{name[:60]!r} cannot name a generation: at most 40 small letters, digits and "
            "underscores, beginning with a letter"
        )
        raise SettingError(msg)
    if name in _RESERVED or name.startswith("pg_") or name.endswith(BEFORE):
        msg = (
            f"{name!r} cannot name a generation: public, information_schema, current, live, all, "
            f"less, ropewalk, pg_... and ...{BEFORE} mean something else; choose another"
        )
        raise SettingError(msg)
    return name


def topic_of(base: str, name: str) -> str:
    """The generation's topic beside one of ours."""
    return f"{base}.{name}"


def topics_of(name: str, n_partitions: int) -> list[TopicSpec]:
    """The topics of a generation; they are kept until it is removed.

    Args:
        name: The generation's.
        n_partitions: As the log it is rebuilt from.
    """
    return [
        replace(spec, name=topic_of(spec.name, name), partitions=n_partitions, retention_ms=-1)
        for spec in (TRAJECTORIES, QUARANTINE)
    ]
