import pytest

from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.postgres_connection import connect, masked, place


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://u:s3cret@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u:s3%40cret@h/db", "postgresql://u:***@h/db"),
        ("postgres://u:s3cret#x@h1:1,h2:2/db", "postgres://u:***@h1:1,h2:2/db"),
        (
            "postgresql://u@h/db?password=s3cret&sslpassword=s3cret&sslmode=verify-full",
            "postgresql://u@h/db?password=***&sslpassword=***&sslmode=verify-full",
        ),
        ("host=h user=u password='s3cret word'", "host=h user=u password=***"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
    ],
)
def test_a_dsn_is_shown_without_its_secrets(dsn: str, shown: str) -> None:
    assert sorted(masked(dsn).split(" ")) == sorted(shown.split(" "))
    assert "s3cret" not in place(dsn)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql//u:s3cret@h/db",
        "postgresql://u:x@s3cret@h/db",  # libpq takes it for the host
        "postgresql://u:x/s3cret@h/db",  # and this for the database
        "postgresql://u:%s3cret@h/db",
        "host=h password=x s3cret",
    ],
)
def test_of_a_dsn_that_cannot_be_read_nothing_is_shown(dsn: str) -> None:
    assert masked(dsn) == "***"
    assert place(dsn) == "the server that ROPEWALK_POSTGRES_DSN names"
    with pytest.raises(ConfigError, match=r"^setting ROPEWALK_POSTGRES_DSN") as raised:
        connect(dsn)
    assert "s3cret" not in str(raised.value)
