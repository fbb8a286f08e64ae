"""`ropewalk rewards` takes instants, and says what is wrong with what is none."""

from datetime import UTC, datetime

import click
import pytest

from ropewalk_deploy.commands.options import Moment


@pytest.mark.parametrize(
    "text", ["2026-03-01T12:00:00Z", "2026-03-01 14:00+02:00", "2026-03-01T12:00:00.000000+00:00"]
)
def test_a_moment_is_an_instant_in_utc(text: str) -> None:
    assert Moment().convert(text, None, None) == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "told"), [("yesterday", "write it as"), ("2026-03-01T12:00", "add Z for UTC")]
)
def test_a_moment_without_a_zone_is_not_guessed(text: str, told: str) -> None:
    with pytest.raises(click.BadParameter, match=told):
        Moment().convert(text, None, None)
