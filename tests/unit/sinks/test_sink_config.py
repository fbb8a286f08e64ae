import pytest

from ropewalk_schemas import topics
from ropewalk_sinks.config import ParquetSettings, PostgresSettings, Topics
from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.kafka_config import consumer_config, producer_config


@pytest.fixture(autouse=True)
def _without_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BOOTSTRAP_SERVERS", "POSTGRES_DSN", "PARQUET_PATH", "TOPICS"):
        monkeypatch.delenv(f"ROPEWALK_{name}", raising=False)


def test_a_missing_setting_is_named_as_the_environment_spells_it() -> None:
    with pytest.raises(ConfigError, match="ROPEWALK_POSTGRES_DSN is missing"):
        PostgresSettings.load(bootstrap_servers="b:1")


def test_a_wrong_setting_is_named_with_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEWALK_POSTGRES_BATCH_RECORDS", "none")
    with pytest.raises(ConfigError, match=r"ROPEWALK_POSTGRES_BATCH_RECORDS.*'none'"):
        PostgresSettings.load(bootstrap_servers="b:1", postgres_dsn="d")


def test_topics_that_are_not_json_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEWALK_TOPICS", "trajectories")
    with pytest.raises(ConfigError, match="not valid JSON"):
        PostgresSettings.load(bootstrap_servers="b:1", postgres_dsn="d")


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEWALK_BOOTSTRAP_SERVERS", "environment:1")
    settings = PostgresSettings.load(bootstrap_servers="given:1", postgres_dsn="d")
    assert settings.bootstrap_servers == "given:1"
    assert PostgresSettings.load(postgres_dsn="d").bootstrap_servers == "environment:1"


def test_both_sinks_read_the_topics_of_the_table_and_only_postgres_reads_outcomes() -> None:
    postgres = PostgresSettings.load(bootstrap_servers="b:1", postgres_dsn="d")
    parquet = ParquetSettings.load(bootstrap_servers="b:1", parquet_path="p")
    shared = [topics.TRAJECTORIES.name, topics.QUARANTINE.name, topics.PROGRESS.name]
    assert parquet.subscription == shared
    assert postgres.subscription == [*shared, topics.OUTCOMES.name]
    assert postgres.group != parquet.group


def test_topic_names_can_be_given() -> None:
    renamed = Topics(trajectories="second-generation")
    settings = ParquetSettings.load(bootstrap_servers="b", parquet_path="p", topics=renamed)
    assert settings.subscription[0] == "second-generation"


def test_tls_and_sasl_come_from_the_environment_to_every_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROPEWALK_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("ROPEWALK_KAFKA_USERNAME", "reader")
    monkeypatch.setenv("ROPEWALK_KAFKA_PASSWORD", "s3cret")
    with pytest.raises(ConfigError, match="setting ROPEWALK_KAFKA_SASL_MECHANISM is not set"):
        ParquetSettings.load(bootstrap_servers="b:1", parquet_path="p")
    monkeypatch.setenv("ROPEWALK_KAFKA_SASL_MECHANISM", "SCRAM-SHA-256")
    settings = PostgresSettings.load(
        bootstrap_servers="b:1", postgres_dsn="postgresql://u:s3cret@h"
    )
    for config in (consumer_config(settings, "g"), producer_config(settings)):
        assert config["sasl.password"] == "s3cret"
        assert config["security.protocol"] == "SASL_SSL"
    assert "s3cret" not in repr(settings)
