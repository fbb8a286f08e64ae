from typing import Any

import pytest

from ropewalk_producers import KafkaSecurity, Recorder, RecorderSettings, SettingsError
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
        ("ROPEWALK_DURABILITY", "disk"),
        ("ROPEWALK_SPOOL_FSYNC", "sometimes"),
        ("ROPEWALK_SPOOL_FSYNC_MS", "0"),
        ("ROPEWALK_SPOOL_ACK", "memory"),
        ("ROPEWALK_SPOOL_MAX_BYTES", "1000"),
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


def test_a_spool_needs_a_folder_and_a_topic_that_can_name_one() -> None:
    spool = {"ROPEWALK_DURABILITY": "spool", "ROPEWALK_SPOOL_PATH": "/var/spool/ropewalk"}
    settings = RecorderSettings.from_environment(NEEDED | spool)
    assert (settings.durability, settings.spool_fsync, settings.spool_ack) == (
        "spool",
        "always",
        "kafka",
    )
    with pytest.raises(SettingsError, match=r"^ROPEWALK_SPOOL_PATH is empty"):
        RecorderSettings.from_environment(NEEDED | {"ROPEWALK_DURABILITY": "spool"})
    with pytest.raises(SettingsError, match=r"^ROPEWALK_TOPIC is 'a/b', which is no name"):
        RecorderSettings.from_environment(NEEDED | spool | {"ROPEWALK_TOPIC": "a/b"})


def test_what_the_environment_does_not_say_may_be_given() -> None:
    settings = RecorderSettings.from_environment(
        {"ROPEWALK_SERVICE": "trader"}, project="p", service="s", bootstrap_servers=""
    )
    assert (settings.project, settings.service) == ("p", "trader")


def test_with_a_spool_no_event_times_out_and_none_overtakes() -> None:
    settings = RecorderSettings(
        project="p", service="s", bootstrap_servers="x:1", durability="spool", spool_path="x"
    )
    config = producer_config(settings)
    assert (config["delivery.timeout.ms"], config["enable.gapless.guarantee"]) == (0, True)


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


SECURED = {
    "ROPEWALK_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "ROPEWALK_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "ROPEWALK_KAFKA_USERNAME": "agent",
    "ROPEWALK_KAFKA_PASSWORD": "s3cret",
}


def test_tls_and_sasl_are_the_settings_of_every_program() -> None:
    settings = RecorderSettings.from_environment(NEEDED | SECURED)
    config = producer_config(settings)
    assert config["security.protocol"] == "SASL_SSL"
    assert config["sasl.password"] == "s3cret"
    assert "s3cret" not in repr(settings)


def test_kafka_options_win_over_them_and_are_not_shown() -> None:
    options = {"ROPEWALK_KAFKA_OPTIONS": '{"sasl.password": "oth3r"}'}
    settings = RecorderSettings.from_environment(NEEDED | SECURED | options)
    assert producer_config(settings)["sasl.password"] == "oth3r"
    assert "oth3r" not in repr(settings)


def test_what_is_wrong_with_them_names_the_variable() -> None:
    wrong = {name: value for name, value in SECURED.items() if "PASSWORD" not in name}
    with pytest.raises(SettingsError, match=r"^ROPEWALK_KAFKA_PASSWORD is not set") as raised:
        RecorderSettings.from_environment(NEEDED | wrong)
    assert raised.value.setting == "ROPEWALK_KAFKA_PASSWORD"
    given = KafkaSecurity.from_environment(SECURED)
    settings = RecorderSettings.from_environment(NEEDED, kafka_security=given)
    assert settings.kafka_security == given
    with pytest.raises(SettingsError, match=r"^kafka_security must be a KafkaSecurity"):
        RecorderSettings(project="p", service="s", kafka_security={})  # type: ignore[arg-type]
