import json
import logging
from typing import Any

import pytest

from ropewalk_deploy.logs import AGAIN_AFTER_S, FieldFormatter, RepeatFilter


def a_record(message: str = "partition restored", **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("aiokafka", logging.INFO, "", 0, message, None, None)
    record.created = 1_767_225_600.25
    record.__dict__.update(extra)
    return record


def test_a_line_has_time_level_process_event_and_fields() -> None:
    line = FieldFormatter("worker-1", as_json=False).format(a_record(fields={"partition": 3}))
    assert line == "00:00:00.250 info     worker-1       partition restored  partition=3"


def test_as_json_each_line_is_one_object() -> None:
    formatted = FieldFormatter("run", as_json=True).format(a_record(fields={"path": object}))
    assert json.loads(formatted) == {
        "at": "2026-01-01T00:00:00.250+00:00",
        "level": "INFO",
        "process": "run",
        "event": "partition restored",
        "path": "<class 'object'>",
    }


def test_no_stack_trace_reaches_the_log() -> None:
    with pytest.raises(ValueError, match="why") as caught:
        int("why")
    record = a_record(exc_info=(caught.type, caught.value, caught.tb))
    for as_json in (True, False):
        assert "Traceback" not in FieldFormatter("x", as_json=as_json).format(record)


def test_what_a_library_repeats_is_written_once_in_a_while_with_a_count() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])
    assert repeats.filter(a_record("no broker"))
    assert not any(repeats.filter(a_record("no broker")) for _ in range(7))
    assert repeats.filter(a_record("another line"))
    now[0] = AGAIN_AFTER_S
    again = a_record("no broker")
    assert repeats.filter(again)
    assert vars(again)["fields"] == {"left_out": 7}


def test_our_own_lines_are_always_written() -> None:
    repeats = RepeatFilter(lambda: 0.0)
    assert all(repeats.filter(a_record(name="ropewalk_sinks.kafka")) for _ in range(3))
