from pathlib import Path

import pytest

from ropewalk_deploy.stack.errors import HomeError
from ropewalk_deploy.stack.state import State, load_state, save_state

STATE = State(
    kafka_port=20001,
    controller_port=20002,
    postgres_port=20003,
    postgres_password="secret",
    postgres_data=Path("/somewhere/data"),
    pids={"kafka": 1},
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save_state(STATE, tmp_path / "stack.json")
    assert load_state(tmp_path / "stack.json") == STATE


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    assert load_state(tmp_path / "stack.json") is None


def test_only_the_owner_reads_the_password(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    file.touch(mode=0o644)
    save_state(STATE, file)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kafka_port": 1}', "\xff"])
def test_an_unreadable_state_says_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "stack.json"
    file.write_text(text)
    with pytest.raises(HomeError, match="Delete it and run the command again"):
        load_state(file)
