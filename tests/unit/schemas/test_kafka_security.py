import pickle
import stat
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.support.certificates import authority

from ropewalk_schemas.errors import KafkaSecurityError
from ropewalk_schemas.kafka_security import KafkaSecurity, advice, is_refusal, telling

SCRAM = {
    "ROPEWALK_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "ROPEWALK_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "ROPEWALK_KAFKA_USERNAME": "reader",
    "ROPEWALK_KAFKA_PASSWORD": "s3cret",
}
TLS = {"ROPEWALK_KAFKA_SECURITY_PROTOCOL": "SSL"}


def test_nothing_said_is_an_open_broker() -> None:
    security = KafkaSecurity.from_environment({"ROPEWALK_KAFKA_USERNAME": "", "OTHER": "x"})
    assert security == KafkaSecurity()
    assert security.librdkafka() == {}
    assert security.ssl_context() is None


def test_name_and_password_have_librdkafka_s_names() -> None:
    security = KafkaSecurity.from_environment(SCRAM)
    assert security.librdkafka() == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "reader",
        "sasl.password": "s3cret",
    }
    assert security.uses_tls
    assert security.uses_sasl


def test_files_have_librdkafka_s_names(tmp_path: Path) -> None:
    signer = authority(tmp_path)
    ours = signer.signed("ours", password="k3y")
    security = KafkaSecurity(
        security_protocol="SSL",
        ca_file=str(signer.file),
        certificate_file=str(ours.certificate),
        key_file=str(ours.key),
        key_password=SecretStr("k3y"),
    )
    assert security.librdkafka() == {
        "security.protocol": "SSL",
        "ssl.ca.location": str(signer.file),
        "ssl.certificate.location": str(ours.certificate),
        "ssl.key.location": str(ours.key),
        "ssl.key.password": "k3y",
    }
    context = security.ssl_context()
    assert context is not None
    assert context.check_hostname


def test_secrets_are_not_shown_and_travel_to_other_processes() -> None:
    security = KafkaSecurity.from_environment(SCRAM)
    assert "s3cret" not in f"{security!r} {security} {asdict(security)}"
    assert pickle.loads(pickle.dumps(security)) == security
    plain = KafkaSecurity(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        username="reader",
        password="s3cret",  # type: ignore[arg-type] # as untyped code may
    )
    assert "s3cret" not in repr(plain)
    assert plain.librdkafka()["sasl.password"] == "s3cret"


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, ("SECURITY_PROTOCOL", "SASL_SSL")),
        ({"PASSWORD": "s3cret"}, ("PASSWORD", "SECURITY_PROTOCOL")),
        ({"USERNAME": "reader"}, ("USERNAME", "SECURITY_PROTOCOL")),
        ({"CA_FILE": "ca.pem"}, ("CA_FILE", "SECURITY_PROTOCOL")),
        ({"SECURITY_PROTOCOL": "SSL", "USERNAME": "reader"}, ("USERNAME", "SECURITY_PROTOCOL")),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, ("SASL_MECHANISM", "SCRAM-SHA-512")),
        ({**SCRAM, "USERNAME": ""}, ("USERNAME", "SASL_SSL")),
        ({**SCRAM, "PASSWORD": ""}, ("PASSWORD", "SASL_SSL")),
        ({**SCRAM, "SASL_MECHANISM": "GSSAPI"}, ("SASL_MECHANISM", "GSSAPI", "PLAIN")),
        ({**SCRAM, "SECURITY_PROTOCOL": "SASL_PLAINTEXT", "CA_FILE": "ca"}, ("CA_FILE",)),
        ({**TLS, "CA_FILE": "/no/ca.pem"}, ("CA_FILE", "/no/ca.pem")),
        ({**TLS, "CERTIFICATE_FILE": "/no/c.pem"}, ("KEY_FILE", "CERTIFICATE_FILE")),
        ({**TLS, "KEY_FILE": "/no/c.key"}, ("CERTIFICATE_FILE", "KEY_FILE")),
        ({**TLS, "KEY_PASSWORD": "s3cret"}, ("KEY_FILE", "KEY_PASSWORD")),
    ],
)
def test_what_does_not_fit_is_one_sentence_that_names_the_setting(
    environ: dict[str, str], names: tuple[str, ...]
) -> None:
    given = {f"ROPEWALK_KAFKA_{name.removeprefix('ROPEWALK_KAFKA_')}": environ[name]
             for name in environ}  # fmt: skip
    with pytest.raises(KafkaSecurityError) as raised:
        KafkaSecurity.from_environment(given)
    assert str(raised.value).startswith(f"ROPEWALK_KAFKA_{names[0]} ")
    assert raised.value.setting == f"ROPEWALK_KAFKA_{names[0]}"
    assert [name for name in names if name not in str(raised.value)] == []
    assert "s3cret" not in str(raised.value)


def test_files_that_hold_something_else_are_named(tmp_path: Path) -> None:
    signer = authority(tmp_path)
    ours, other = signer.signed("ours", password="k3y"), signer.signed("other")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("nothing")
    unreadable = tmp_path / "folder.pem"
    unreadable.mkdir(mode=stat.S_IRWXU)
    certificate = {"ROPEWALK_KAFKA_CERTIFICATE_FILE": str(ours.certificate)}
    for wrong, named in (
        ({"ROPEWALK_KAFKA_CA_FILE": str(garbage)}, "CA_FILE"),
        ({"ROPEWALK_KAFKA_CA_FILE": str(unreadable)}, "CA_FILE"),
        (certificate | {"ROPEWALK_KAFKA_KEY_FILE": str(other.key)}, "CERTIFICATE_FILE"),
        (certificate | {"ROPEWALK_KAFKA_KEY_FILE": str(ours.key)}, "CERTIFICATE_FILE"),
    ):
        with pytest.raises(KafkaSecurityError, match=f"^ROPEWALK_KAFKA_{named} is "):
            KafkaSecurity.from_environment(TLS | wrong)


def test_advice_names_the_settings_that_a_client_s_words_are_about() -> None:
    refused = "sasl_ssl://b:1/bootstrap: SASL authentication error: invalid credentials"
    untrusted = "ssl://b:1/1: error:0A000086:SSL routines::certificate verify failed"
    astray = "ssl://b:1/1: SSL handshake failed: connecting to a PLAINTEXT broker listener?"
    away = "Connect to ipv4#127.0.0.1:1 failed: Connection refused"
    assert "ROPEWALK_KAFKA_PASSWORD" in str(advice(refused))
    assert "ROPEWALK_KAFKA_CA_FILE" in str(advice(untrusted))
    assert advice(astray) == "check ROPEWALK_KAFKA_SECURITY_PROTOCOL"
    assert advice(away) is None
    assert [is_refusal(text) for text in (refused, untrusted, astray, away)] == [True] + [False] * 3
    assert telling([away, untrusted, refused, away]) == refused
    assert telling([away, untrusted, away]) == untrusted
    assert telling(["first", away]) == away
