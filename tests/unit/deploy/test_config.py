from pathlib import Path

import pytest

from ropewalk_deploy import config
from ropewalk_deploy.errors import SettingError
from ropewalk_deploy.stack.model import Stack

LOCAL = Stack(
    "127.0.0.1:9", "postgresql://local", Path("/local/parquet"), Path("/h"), {}, Path("/d")
)
NAMES = (config.BOOTSTRAP_SERVERS, config.POSTGRES_DSN, config.PARQUET_PATH, config.HOME)


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_home_is_here_unless_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert config.home() == tmp_path / ".ropewalk"
    monkeypatch.setenv(config.HOME, "elsewhere")
    assert config.home() == tmp_path / "elsewhere"


def test_the_local_stack_fills_what_the_environment_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "describe", lambda _home: LOCAL)
    monkeypatch.setenv(config.POSTGRES_DSN, "postgresql://mine")
    found = config.endpoints()
    assert found == config.Endpoints("127.0.0.1:9", "postgresql://mine", Path("/local/parquet"))


def test_with_everything_said_no_stack_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "describe", lambda _home: pytest.fail("asked"))
    places = config.Endpoints("k:1", "postgresql://x", Path("/p"))
    for name, value in places.environment().items():
        monkeypatch.setenv(name, value)
    assert config.endpoints() == places


def test_without_either_the_message_names_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.BOOTSTRAP_SERVERS, "k:1")
    with pytest.raises(SettingError, match=r"`ropewalk up`, or set ROPEWALK_POSTGRES_DSN$"):
        config.endpoints()
    monkeypatch.setenv(config.POSTGRES_DSN, "postgresql://x")
    with pytest.raises(SettingError, match=r"or set ROPEWALK_PARQUET_PATH$"):
        config.endpoints()


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "describe", lambda _home: LOCAL)
    monkeypatch.setenv(config.BOOTSTRAP_SERVERS, "")
    assert config.endpoints().bootstrap_servers == "127.0.0.1:9"


def test_java_home_is_what_a_person_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/java")
    assert config.java_home() == Path("/java")
    monkeypatch.delenv("JAVA_HOME")
    assert config.java_home() is None
