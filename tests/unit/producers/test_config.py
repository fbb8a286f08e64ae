from typing import Any

import pytest

from ropewalk_producers import Recorder, RecorderSettings, SettingsError
from ropewalk_producers.kafka import producer_config

NEEDED = {
    "ROPEWALK_BOOTSTRAP_SERVERS": "kafka:9092",
    "ROPEWALK_PROJECT": "markets",
    "ROPEWALK_SERVICE": "trader",
}


def test_settings_come_from_the_environment() -> None:
    settings = RecorderSettings.from_environment(
        NEEDED
        | {
            "ROPEWALK_VERSION": "2.1",
            "ROPEWALK_QUEUE_MESSAGES": "10",
            "ROPEWALK_EXIT_TIMEOUT_S": "1.5",
            "ROPEWALK_KAFKA_OPTIONS": '{"security.protocol": "SSL"}',
            "UNRELATED": "x",
        }
    )
    assert settings == RecorderSettings(
        project="markets",
        service="trader",
        bootstrap_servers="kafka:9092",
        version="2.1",
        queue_messages=10,
        exit_timeout_s=1.5,
        kafka_options={"security.protocol": "SSL"},
    )


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_variable_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"^{missing} is not set"):
        RecorderSettings.from_environment({k: v for k, v in NEEDED.items() if k != missing})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ROPEWALK_QUEUE_MESSAGES", "many"),
        ("ROPEWALK_QUEUE_MESSAGES", "0"),
        ("ROPEWALK_QUEUE_KBYTES", "1024"),
        ("ROPEWALK_LINGER_MS", "-1"),
        ("ROPEWALK_FULL_EVERY", "51"),
        ("ROPEWALK_EXIT_TIMEOUT_S", "nan"),
        ("ROPEWALK_PROJECT", "x" * 201),
        ("ROPEWALK_KAFKA_OPTIONS", "security.protocol=SSL"),
        ("ROPEWALK_KAFKA_OPTIONS", "[]"),
        ("ROPEWALK_KAFKA_OPTIONS", '{"acks": "0"}'),
        ("ROPEWALK_KAFKA_OPTIONS", '{"partitioner": "random"}'),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable} "):
        RecorderSettings.from_environment(NEEDED | {variable: text})


@pytest.mark.parametrize(
    ("setting", "value"),
    [("project", ""), ("service", None), ("topic", 5), ("instance", ""), ("linger_ms", True),
     ("bootstrap_servers", None), ("delivery_timeout_ms", 1.5), ("kafka_options", None)],
)  # fmt: skip
def test_a_wrong_setting_is_named(setting: str, value: Any) -> None:
    given: dict[str, Any] = {"project": "p", "service": "s", setting: value}
    with pytest.raises(SettingsError, match=f"^{setting} "):
        RecorderSettings(**given)


def test_a_recorder_without_brokers_says_which_setting() -> None:
    with pytest.raises(SettingsError, match=r"^bootstrap_servers is empty; name the"):
        Recorder(RecorderSettings(project="p", service="s"))


def test_an_option_librdkafka_does_not_know_is_named() -> None:
    settings = RecorderSettings(
        project="p", service="s", bootstrap_servers="x:1", kafka_options={"no.such": "x"}
    )
    with pytest.raises(SettingsError, match=r'No such configuration property: "no\.such"'):
        Recorder(settings)


def test_the_producer_is_idempotent_bounded_and_places_as_kafka_does() -> None:
    config = producer_config(RecorderSettings(project="p", service="s", bootstrap_servers="x:1"))
    assert config["enable.idempotence"] is True
    assert config["acks"] == "all"
    assert config["partitioner"] == "murmur2"
    assert config["compression.type"] == "zstd"
    assert config["queue.buffering.max.messages"] == 100_000
