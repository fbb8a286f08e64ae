"""The contracts as JSON Schema files, for readers who have no Python.

Run ``python -m ropewalk_schemas.export DIR`` after changing a model; ``--check`` only compares.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ropewalk_schemas.events import EVENT_MODELS, AgentEvent
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.outcomes import Outcome
from ropewalk_schemas.progress import Crash, Progress, Skip
from ropewalk_schemas.quarantine import QuarantineAccount
from ropewalk_schemas.topics import TOPICS, TopicSpec
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SUFFIX = ".v1.schema.json"

CONTRACTS: dict[str, Any] = {
    "agent_event": AgentEvent,
    **{model.model_fields["type"].default: model for model in EVENT_MODELS},
    "trajectory": Trajectory,
    "ledger_entry": LedgerEntry,
    "progress": Progress,
    "crash": Crash,
    "skip": Skip,
    "outcome": Outcome,
    "settings": Settings,
    "quarantine_account": QuarantineAccount,
}


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every contract by its name."""
    models = {name: _schema_of(contract) for name, contract in CONTRACTS.items()}
    return models | {"topics": _topic_table()}


def files() -> dict[str, str]:
    """What DIR must hold: text by file name."""
    return {
        name + SUFFIX: json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }


def _schema_of(contract: Any) -> dict[str, Any]:
    schema = TypeAdapter(contract).json_schema()
    for inner in (schema, *schema.get("$defs", {}).values()):
        tag = inner.get("properties", {}).get("type", {})
        if "const" in tag:  # has a default in Python, but on the wire it tells records apart
            inner["required"] = sorted({*inner.get("required", ()), "type"})
    return {"$schema": DIALECT} | schema


def _topic_table() -> dict[str, Any]:
    """The topics as they must be; what each cluster may decide for itself is only a default."""
    return {
        "$schema": DIALECT,
        "title": "Topics",
        "type": "object",
        "properties": {topic.name: _topic(topic) for topic in TOPICS},
        "required": sorted(topic.name for topic in TOPICS),
    }


def _topic(topic: TopicSpec) -> dict[str, Any]:
    told = asdict(topic)
    decided = ("key", "cleanup", "timestamp_type", "max_message_bytes")
    properties = {name: {"const": told[name]} for name in decided}
    shown = ("partitions", "retention_ms", "producers", "consumers", "extra")
    return {
        "description": topic.holds,
        "type": "object",
        "properties": properties | {name: {"examples": [told[name]]} for name in shown},
        "required": sorted(properties),
    }


def differences(folder: Path) -> list[str]:
    """The files of `folder` that are missing, not ours, or not what the models say."""
    wanted = files()
    there = {path.name for path in folder.glob("*.json")}
    stale = {
        name
        for name in there & set(wanted)
        if (folder / name).read_text(encoding="utf-8") != wanted[name]
    }
    return sorted(stale | (there ^ set(wanted)))


def write(folder: Path) -> None:
    """Make `folder` hold exactly `files`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*" + SUFFIX):
        path.unlink()
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 when ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m ropewalk_schemas.export", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    asked = parser.parse_args(arguments)
    if not asked.check:
        write(asked.folder)
        return 0
    different = differences(asked.folder)
    for name in different:
        sys.stderr.write(f"{asked.folder / name} is not what the models say\n")
    if different:
        again = f"python -m ropewalk_schemas.export {asked.folder}"
        sys.stderr.write(f"Run `{again}` and commit the result with the models.\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
