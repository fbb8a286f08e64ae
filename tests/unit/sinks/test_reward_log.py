"""Rewards that no broker takes."""

import pytest

from ropewalk_sinks import reward_log
from ropewalk_sinks.config import SinkSettings
from ropewalk_sinks.errors import UnreachableError
from ropewalk_sinks.reward_log import RewardWriter


def test_what_could_not_be_written_is_counted_and_what_becomes_of_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reward_log, "QUARANTINE_WITHIN_S", 0.1)
    settings = SinkSettings.load(bootstrap_servers="127.0.0.1:1")
    write = RewardWriter(settings, "the-log", promise="they are kept")
    write([])
    with pytest.raises(UnreachableError) as raised:
        write([(b"a", b"1"), (b"b", b"2")])
    assert str(raised.value) == (
        "2 rewards could not be written to topic the-log on 127.0.0.1:1: no answer in time; "
        "they are kept"
    )
