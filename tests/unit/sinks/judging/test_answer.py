import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_sinks.judging.answer import AnswerError, read_body, read_scores, tokens_of
from ropewalk_sinks.judging.retries import Patience, kind_of, wait_s

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE = Patience(attempts=5, first_wait_s=1, longest_wait_s=60)
VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def scores(*values: Any) -> list[dict[str, Any]]:
    return [{"trajectory_id": str(i), "score": v} for i, v in enumerate(values, start=1)]


def said(entries: Any) -> str:
    return json.dumps({"scores": entries})


@given(VALUES, st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_scores_are_joined_by_id_whatever_their_order(values, random, fenced, numbers) -> None:  # type: ignore[no-untyped-def]
    entries = scores(*values)
    if numbers:
        entries = [{**e, "trajectory_id": int(e["trajectory_id"])} for e in entries]
    text = said(random.sample(entries, len(entries)))
    text = f"```json\n{text}\n```" if fenced else text
    assert [score.value for score in read_scores(text, len(values))] == values


WRONG = {
    "no JSON": ("the first is best", 2),
    "no object": ("[1, 2]", 2),
    "no list": ('{"scores": {"1": 0.5}}', 1),
    "too few": (said(scores(0.1)), 2),
    "too many": (said(scores(0.1, 0.2, 0.3)), 2),
    "an id twice": (said([*scores(0.1), *scores(0.2)]), 2),
    "an unknown id": (said([*scores(0.1), {"trajectory_id": "3", "score": 0.2}]), 2),
    "no id": (said([{"score": 0.1}]), 1),
    "a bool as id": (said([{"trajectory_id": True, "score": 0.1}]), 1),
    "no score": (said([{"trajectory_id": "1"}]), 1),
    "a bool as score": (said(scores(True)), 1),
    "text as score": (said(scores("0.5")), 1),
    "above one": (said(scores(1.01)), 1),
    "below zero": (said(scores(-0.01)), 1),
    "NaN": (said(scores(math.nan)), 1),
    "infinite": (said(scores(math.inf)), 1),
    "a large integer": (said(scores(10**400)), 1),
    "entries that are no objects": (said([1, 2]), 2),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_refused(name: str) -> None:
    text, n_shown = WRONG[name]
    with pytest.raises(AnswerError):
        read_scores(text, n_shown)


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_answer_is_scores_or_an_answer_error(text: str) -> None:
    for read in (lambda: read_scores(text, 2), lambda: read_body(text.encode("utf-8", "replace"))):
        try:
            read()
        except AnswerError:
            continue


def test_explanations_hold_nothing_a_database_refuses() -> None:
    entry = {**scores(0.5)[0], "explanation": "a\0b"}
    assert read_scores(said([entry]), 1)[0].explanation == "ab"


def test_tokens_are_counted_where_they_are_told() -> None:
    said = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": -1}}
    assert tokens_of(json.dumps(said).encode()) == (3, 0)  # also of an answer that is none
    for usage in (None, 7, {"prompt_tokens": "3"}):
        assert tokens_of(json.dumps({"usage": usage}).encode()) == (0, 0)
    assert tokens_of(b"not JSON") == (0, 0)
    assert read_body(b'{"choices": [{"message": {"content": "x"}}]}') == "x"


def test_statuses() -> None:
    assert [kind_of(s) for s in (200, 429, 500, 503, 400, 413, 401, 404, 302)] == [
        "answered", "later", "later", "later", "refused", "refused", "setting", "setting",
        "setting",
    ]  # fmt: skip


def test_waits_double_up_to_the_bound_and_end() -> None:
    waits = [wait_s(PATIENCE, n, None, now=NOW) for n in range(1, 6)]
    assert waits == [1, 2, 4, 8, None]
    assert wait_s(Patience(10**6, 1, 60), 10**5, None, now=NOW) == 60


def test_retry_after_prolongs_and_never_shortens() -> None:
    assert wait_s(PATIENCE, 1, "7", now=NOW) == 7
    assert wait_s(PATIENCE, 3, "1", now=NOW) == 4
    assert wait_s(PATIENCE, 1, "100000", now=NOW) == 60
    at = format_datetime(NOW + timedelta(seconds=30), usegmt=True)
    assert wait_s(PATIENCE, 1, at, now=NOW) == 30
    assert wait_s(PATIENCE, 1, format_datetime(NOW - timedelta(days=1)), now=NOW) == 1


@given(st.integers(1, 10), st.none() | st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ .*"))
def test_any_retry_after_gives_a_bounded_wait(attempt: int, retry_after: str | None) -> None:
    wait = wait_s(PATIENCE, attempt, retry_after, now=NOW)
    assert (wait is None) == (attempt >= PATIENCE.attempts)
    assert wait is None or 1 <= wait <= 60
