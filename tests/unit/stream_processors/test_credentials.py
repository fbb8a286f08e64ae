"""What Faust's Kafka driver is told of TLS and SASL."""

from pathlib import Path
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import SecretStr
from tests.support.certificates import authority

from ropewalk_schemas.kafka_security import KafkaSecurity
from ropewalk_stream_processors.app import credentials
from ropewalk_stream_processors.config import WorkerSettings
from ropewalk_stream_processors.errors import SettingError


def told(security: KafkaSecurity) -> dict[str, Any]:
    """What aiokafka's clients get."""
    return dict(credentials_to_aiokafka_auth(credentials(security), None))


def test_an_open_broker_needs_none() -> None:
    assert told(KafkaSecurity()) == {"security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_name_and_password_are_passed_on(protocol: str, mechanism: str) -> None:
    security = KafkaSecurity(
        security_protocol=protocol,
        sasl_mechanism=mechanism,
        username="reader",
        password=SecretStr("s3cret"),
    )
    given = told(security)
    context = given.pop("ssl_context")
    assert (context is not None) == (protocol == "SASL_SSL")
    assert given == {
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "reader",
        "sasl_plain_password": "s3cret",
    }
    assert "s3cret" not in repr(credentials(security))


def test_tls_alone_trusts_the_given_authority_only(tmp_path: Path) -> None:
    security = KafkaSecurity(security_protocol="SSL", ca_file=str(authority(tmp_path).file))
    given = told(security)
    assert given["security_protocol"] == "SSL"
    (trusted,) = given["ssl_context"].get_ca_certs()
    assert "ropewalk test authority" in str(trusted["subject"])


def test_a_wrong_setting_ends_the_worker_before_it_connects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROPEWALK_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(SettingError, match=r"^ROPEWALK_KAFKA_SASL_MECHANISM is not set"):
        WorkerSettings.from_environment()
