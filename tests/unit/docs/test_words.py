"""What the Markdown files name exists: commands, options, targets, settings, links, reasons."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import click
import pytest

from ropewalk_deploy import config as deploy_config
from ropewalk_deploy.__main__ import cli
from ropewalk_producers.config import RecorderSettings, variable_of
from ropewalk_schemas import kafka_security
from ropewalk_schemas.reasons import Reason
from ropewalk_schemas.topics import TOPICS
from ropewalk_sinks.config import ParquetSettings, PostgresSettings, SettlementSettings
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_stream_processors.config import WorkerSettings

ROOT = Path(__file__).parents[3]
FOLDERS = (
    *("", "benchmarks", "deploy", "docs", "docs/decisions", "docs/runbooks"),
    *("producers", "schemas", "sinks", "stream_processors", "tests"),
)
PAGES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s/(])ropewalk((?: +[-\w./=<>*]+)+)", re.MULTILINE)
TARGET = re.compile(r"^([a-z-]+):.*##", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def pages() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def code_of(text: str) -> Iterator[str]:
    """What is written as code, in lines and in blocks."""
    for fence, inline in CODE.findall(text):
        yield fence or inline


def known_variables() -> set[str]:
    models = (WorkerSettings, PostgresSettings, ParquetSettings, SettlementSettings, JudgeSettings)
    known = {f"ROPEWALK_{name.upper()}" for model in models for name in model.model_fields}
    known |= {variable_of(setting.name) for setting in fields(RecorderSettings)}
    secured = fields(kafka_security.KafkaSecurity)
    known |= {kafka_security.variable_of(setting.name) for setting in secured}
    known |= {deploy_config.HOME, deploy_config.PARQUET_PATH, deploy_config.POSTGRES_DSN}
    known |= {deploy_config.FAILPOINTS}
    for path in (ROOT / "tests").rglob("*.py"):  # those of the tests themselves
        known |= set(re.findall(r'"(ROPEWALK_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    return known


def wrong_words(words: list[str]) -> list[str]:
    """Words of a command line that name no command or option."""
    command: click.Command = cli
    wrong: list[str] = []
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return [*wrong, word]
            command = found
        elif word.startswith("--"):
            options = {o for p in command.params for o in (*p.opts, "--help")}
            wrong += [] if word.split("=")[0] in options else [word]
    return wrong


def test_commands_and_options_exist() -> None:
    wrong = [
        (page, f"ropewalk{line}", words)
        for page, text in pages()
        for code in code_of(text)
        for line in COMMAND.findall(code)
        if (words := wrong_words(line.split()))
    ]
    assert wrong == []


def test_make_targets_exist() -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    named = {
        (page, target)
        for page, text in pages()
        for code in code_of(text)
        for target in re.findall(r"(?:^|\s)make ([a-z-]+)", code)
    }
    assert {(page, target) for page, target in named if target not in targets} == set()


def test_settings_exist() -> None:
    known = known_variables()
    named = {
        (page, name)
        for page, text in pages()
        for name in re.findall(r"ROPEWALK_[A-Z_]+[A-Z]", text)
    }
    assert {(page, name) for page, name in named if name not in known} == set()


def test_links_lead_somewhere() -> None:
    broken = [
        (page, link)
        for page, text in pages()
        for link in LINK.findall(text)
        if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("name", [*get_args(Reason), *(topic.name for topic in TOPICS)])
def test_the_glossary_knows(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def test_prose_lines_are_short_enough_to_review() -> None:
    long = [
        (page, line)
        for page, text in pages()
        for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines()
        if len(line) > 110 and not line.startswith("|") and "://" not in line
    ]
    assert long == []
