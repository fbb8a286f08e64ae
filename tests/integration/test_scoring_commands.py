"""`ropewalk score` and `ropewalk groups`, as a person and as a program would read them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.late_example import example
from tests.support.late_rewards import store_in_parquet, store_in_postgres
from tests.support.sink_lab import fresh_database

from ropewalk_deploy.stack.model import Stack

pytestmark = pytest.mark.integration

SPEC = 'name = "half"\nversion = "1"\ndefault_weight = 0.5\n'


class Shell:
    """The command, with both sinks filled."""

    def __init__(self, stack: Stack, dsn: str, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            "ROPEWALK_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "ROPEWALK_POSTGRES_DSN": dsn,
            "ROPEWALK_PARQUET_PATH": str(folder / "parquet"),
            "ROPEWALK_HOME": str(folder),
        }

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "ropewalk_deploy", *arguments]
        return subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def says(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def shell(stack: Stack, unique: str, tmp_path: Path) -> Shell:
    dsn = fresh_database(stack, unique)
    store_in_postgres(dsn, example())
    store_in_parquet(tmp_path / "parquet", example())
    (tmp_path / "spec.toml").write_text(SPEC, encoding="utf-8")
    return Shell(stack, dsn, tmp_path)


def test_scores_are_stored_once_and_printed_from_parquet(shell: Shell) -> None:
    first = json.loads(shell.says("score", "--spec", "spec.toml", "--json"))
    assert (first["spec"], first["parts"], first["new"], first["changed"]) == ("half@1", 6, 6, 0)
    assert "0 scored for the first time, 0 scored otherwise" in shell.says(
        "score", "--spec", "spec.toml", "--since", "2026-03-01"
    )
    printed = shell.says("score", "--spec", "spec.toml", "--from", "parquet", "--json")
    totals: dict[str, Any] = {}
    for line in printed.splitlines():
        row = json.loads(line)
        totals[row["trajectory_id"]] = row["total"]
    assert totals == {
        "t-1": 0.875, "t-2": 0.75, "t-3": 0.0, "t-4": 0.5, "t-5": 0.0, "t-6": None,
    }  # fmt: skip
    summary = shell.says("score", "--spec", "spec.toml", "--from", "parquet")
    assert summary == "half@1: 6 parts, 5 rewarded, mean total 0.425\n"


def test_groups_are_listed_alike_from_both_sinks(shell: Shell) -> None:
    from_postgres = shell.says("groups")
    assert from_postgres == shell.says("groups", "--from", "parquet")
    first, ready, waiting = from_postgres.splitlines()
    assert first == "2 groups, 1 trainable"
    assert "senate" in ready
    assert ready.endswith("trainable")
    assert waiting.endswith("rewards pending, members without a reward")
    [group] = json.loads(shell.says("groups", "--trainable", "--json"))
    assert (group["group_key"], group["size"], group["why_not"]) == ("senate", 4, [])


def test_what_is_wrong_is_one_line(shell: Shell, tmp_path: Path) -> None:
    shell.says("score", "--spec", "spec.toml")
    (tmp_path / "changed.toml").write_text(SPEC.replace("0.5", "2"), encoding="utf-8")
    changed = shell("score", "--spec", "changed.toml")
    assert changed.returncode == 1
    assert changed.stderr.startswith("ropewalk: specification half@1 is known with another content")
    wrong = shell("score", "--spec", "none.toml")
    assert wrong.stderr == (
        "ropewalk: cannot read the specification none.toml: No such file or directory\n"
    )
    both = shell("score", "--spec", "spec.toml", "--from", "parquet", "--since", "2026-03-01")
    assert "--since is for Postgres" in both.stderr
