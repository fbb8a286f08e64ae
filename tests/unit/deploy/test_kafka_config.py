import doctest
from pathlib import Path

from ropewalk_deploy.stack import java, kafka_config, postgres_binaries
from ropewalk_deploy.stack.kafka_config import BrokerExtras, server_properties, to_properties

PROPERTIES = server_properties(data=Path("/data"), port=20001, controller_port=20002)


def test_the_examples_in_docstrings_hold() -> None:
    for module in (java, kafka_config, postgres_binaries):
        assert doctest.testmod(module).failed == 0


def test_a_message_of_40_mb_fits() -> None:
    for limit in ("message.max.bytes", "replica.fetch.max.bytes", "socket.request.max.bytes"):
        assert int(PROPERTIES[limit]) > 40 * 1024 * 1024


def test_nobody_but_this_machine_reaches_the_broker() -> None:
    listeners = str(PROPERTIES["listeners"]).split(",")
    assert all("://127.0.0.1:" in listener for listener in listeners)


def test_a_topic_is_never_made_by_a_typo() -> None:
    assert PROPERTIES["auto.create.topics.enable"] == "false"


def test_any_path_survives_a_properties_file() -> None:
    assert to_properties({"key": "/a b/ü/\\/🪢"}) == "key=/a b/\\u00fc/\\\\/\\ud83e\\udea2\n"


def test_a_second_listener_leads_its_clients_elsewhere() -> None:
    plain = server_properties(data=Path("/data"), port=1, controller_port=2)
    extras = BrokerExtras(led=(3, 4))
    led = server_properties(data=Path("/data"), port=1, controller_port=2, extras=extras)
    assert led["listeners"] == f"{plain['listeners']},LED://127.0.0.1:3"
    assert led["advertised.listeners"] == f"{plain['advertised.listeners']},LED://127.0.0.1:4"
    assert {name for name in led if led[name] != plain.get(name)} == {
        "listeners", "advertised.listeners", "listener.security.protocol.map",
    }  # fmt: skip
