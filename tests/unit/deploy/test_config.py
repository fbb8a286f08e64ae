from pathlib import Path

import pytest

from ropewalk_deploy import config
from ropewalk_deploy.errors import SettingError
from ropewalk_deploy.kafka import client_config
from ropewalk_deploy.stack import local
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
    monkeypatch.setattr(local, "describe", lambda _home: LOCAL)
    monkeypatch.setenv(config.POSTGRES_DSN, "postgresql://mine")
    found = config.endpoints()
    assert found == config.Endpoints("127.0.0.1:9", "postgresql://mine", Path("/local/parquet"))


def test_with_everything_said_no_stack_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "describe", lambda _home: pytest.fail("asked"))
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
    monkeypatch.setattr(local, "describe", lambda _home: LOCAL)
    monkeypatch.setenv(config.BOOTSTRAP_SERVERS, "")
    assert config.endpoints().bootstrap_servers == "127.0.0.1:9"


def test_java_home_is_what_a_person_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/java")
    assert config.java_home() == Path("/java")
    monkeypatch.delenv("JAVA_HOME")
    assert config.java_home() is None


SECURED = {
    "ROPEWALK_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "ROPEWALK_KAFKA_SASL_MECHANISM": "PLAIN",
    "ROPEWALK_KAFKA_USERNAME": "reader",
    "ROPEWALK_KAFKA_PASSWORD": "s3cret",
}


def test_tls_and_sasl_are_for_brokers_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "describe", lambda _home: LOCAL)
    for name, value in SECURED.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match="ROPEWALK_BOOTSTRAP_SERVERS names, which is not set"):
        config.endpoints()
    monkeypatch.setenv(config.BOOTSTRAP_SERVERS, "k:1")
    assert config.endpoints().bootstrap_servers == "k:1"
    assert client_config("k:1")["sasl.password"] == "s3cret"


def test_commands_of_the_local_stack_forget_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECURED.items():
        monkeypatch.setenv(name, value)
    config.use_local_kafka()
    assert client_config("k:1") == {"bootstrap.servers": "k:1", "log_level": 0}


def test_endpoints_do_not_show_the_database_s_password() -> None:
    assert "s3cret" not in repr(config.Endpoints("k:1", "postgresql://u:s3cret@h/d", Path("/p")))
