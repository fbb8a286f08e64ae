"""The command that compares the exported schemas with a git ref."""

import json
import subprocess
from pathlib import Path

import pytest

from ropewalk_schemas import compatibility, export


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository on `main` with one commit that holds the exported schemas."""
    folder = tmp_path / "schemas" / "json"
    export.write(folder)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, "first")
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", message)


def require_a_cost(folder: Path) -> None:
    path = folder / "llm_call.v1.schema.json"
    schema = json.loads(path.read_bytes())
    schema["required"].append("cost_usd")
    path.write_text(json.dumps(schema))


def test_without_tags_main_is_compared_with_its_last_commit(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compatibility.main([str(clone)]) == 0
    require_a_cost(clone)
    assert compatibility.main([str(clone)]) == 1
    assert "llm_call: $: field 'cost_usd' is now required" in capsys.readouterr().out


def test_a_branch_is_compared_with_where_it_left_main(clone: Path) -> None:
    git(clone, "checkout", "--quiet", "-b", "topic")
    require_a_cost(clone)
    commit(clone, "a breaking change, committed")
    assert compatibility.main([str(clone)]) == 1


def test_the_newest_tag_is_compared_with_when_there_is_one(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(clone, "tag", "v0.1.0")
    require_a_cost(clone)
    commit(clone, "a breaking change, on main")
    assert compatibility.main([str(clone)]) == 1
    assert "at v0.1.0: 1 breaking" in capsys.readouterr().out
    assert compatibility.main([str(clone), "--against", "HEAD"]) == 0


def test_a_removed_contract_is_a_breaking_change(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone / "reward.v1.schema.json").unlink()
    assert compatibility.main([str(clone)]) == 1
    assert "reward: the contract was removed" in capsys.readouterr().out


def test_old_readers_count_only_for_what_is_published() -> None:
    old, new = export.schemas(), export.schemas()
    for name in ("trajectory", "reward"):
        new[name]["properties"]["project"]["maxLength"] = 400
    (told,) = compatibility.compare(old, new)
    assert told.startswith("trajectory: $.project: maxLength loosened")


@pytest.mark.parametrize("arguments", [["--against", "no-such-ref"], []])
def test_what_cannot_be_compared_says_so_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    export.write(tmp_path)
    assert compatibility.main([str(tmp_path), *arguments]) == 2
    assert "git" in capsys.readouterr().err


def test_a_missing_git_is_said_plainly(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert compatibility.main([str(clone)]) == 2
    assert "git is not installed" in capsys.readouterr().err


def test_an_empty_folder_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compatibility.main([str(tmp_path)]) == 2
    assert "holds no" in capsys.readouterr().err


def test_one_more_topic_breaks_nothing_one_less_or_another_does() -> None:
    old, new = export.schemas(), export.schemas()
    table = new["topics"]
    table["properties"]["more"] = table["properties"]["chunks"]
    table["required"].append("more")
    assert compatibility.compare(old, new) == []
    assert compatibility.compare(new, old) == [
        "topics: $: field 'more' was removed",
    ]
    table["properties"]["chunks"]["properties"]["cleanup"]["const"] = "delete"
    (told,) = compatibility.compare(old, new)
    assert told.startswith("topics: $.chunks.cleanup")
