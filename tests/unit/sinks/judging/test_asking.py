"""The real client against a real server on loopback that behaves badly."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.judge_server import judge_server, score_of

from ropewalk_deploy.simulation.model_server import INPUT_TOKENS, ModelServer
from ropewalk_deploy.simulation.scripted_model import Behaviour, always, in_turn
from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.judging.asking import Waiting, judged
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.judging.http import Endpoint
from ropewalk_sinks.judging.model import Verdict
from ropewalk_sinks.judging.prompt import Prompt
from ropewalk_sinks.judging.retries import Patience

TEXTS = ("[1]", "[2]", "[3]")
CONTENT = "".join(
    f'<trajectory id="{n}">{text}</trajectory>' for n, text in enumerate(TEXTS, start=1)
)
PROMPT = Prompt([{"role": "user", "content": CONTENT}], shown_as=(2, 0, 1, 0))
PATIENCE = Patience(attempts=3, first_wait_s=1, longest_wait_s=50)


def expected(nth: int) -> list[float]:
    return [score_of("", TEXTS[at], nth) for at in PROMPT.shown_as]


def settings(server: ModelServer, **changes: Any) -> JudgeSettings:
    given = {"bootstrap_servers": "b:1", "postgres_dsn": "d", "judge_model": "small-judge",
             "judge_base_url": server.base_url, "judge_timeout_s": 5}  # fmt: skip
    return JudgeSettings.load(**given | changes)


def asked(
    server: ModelServer, waited: list[float], *, stop: bool = False, **changes: Any
) -> Verdict:
    def pause(seconds: float) -> bool:
        waited.append(seconds)
        return stop

    waiting = Waiting(now=lambda: datetime(2026, 3, 1, tzinfo=UTC), pause=pause)
    with closing(Endpoint(settings(server, **changes))) as endpoint:
        return judged(PROMPT, endpoint.ask, PATIENCE, waiting)


def values(verdict: Verdict) -> list[float]:
    return [score.value for score in verdict.scores]


@pytest.mark.parametrize("behaviour", ["good", "fenced", "reordered"])
def test_a_good_answer_is_taken_at_once(behaviour: Behaviour) -> None:
    waited: list[float] = []
    with judge_server(always(behaviour)) as server:
        verdict = asked(server, waited, judge_api_key="secret")
    assert values(verdict) == expected(0)
    assert verdict.usage.requests == 1
    assert verdict.usage.input_tokens == INPUT_TOKENS
    assert waited == []
    assert server.asked[0].authorization == "Bearer secret"
    assert server.asked[0].body["model"] == "small-judge"
    assert server.asked[0].body["response_format"] == {"type": "json_object"}


BAD: Sequence[Behaviour] = (
    "wrong_count", "unknown_id", "out_of_range", "not_finite", "not_json", "no_choices",
)  # fmt: skip


@pytest.mark.parametrize("behaviour", BAD)
def test_a_bad_answer_is_asked_again_and_counted(behaviour: Behaviour) -> None:
    waited: list[float] = []
    with judge_server(in_turn(behaviour, "good")) as server:
        verdict = asked(server, waited)
    assert values(verdict) == expected(1)
    assert waited == [1]
    assert verdict.usage.requests == 2


@pytest.mark.parametrize("behaviour", BAD)
def test_what_stays_wrong_is_given_up_with_its_last_answer(behaviour: Behaviour) -> None:
    waited: list[float] = []
    with judge_server(always(behaviour)) as server:
        verdict = asked(server, waited)
    assert (verdict.scores, verdict.may_help_later) == ((), False)
    assert verdict.detail
    assert b"choices" in verdict.raw
    assert len(server.asked) == PATIENCE.attempts


@pytest.mark.parametrize("behaviour", ["broken", "drops", "too_many"])
def test_trouble_that_passes_is_waited_out(behaviour: Behaviour) -> None:
    waited: list[float] = []
    with judge_server(in_turn(behaviour, "good"), retry_after="9") as server:
        verdict = asked(server, waited)
    assert values(verdict) == expected(1)
    assert waited == [9 if behaviour == "too_many" else 1]


def test_trouble_that_stays_is_left_for_later() -> None:
    with judge_server(always("broken")) as server:
        verdict = asked(server, [])
    assert verdict.may_help_later
    assert "500" in verdict.detail


def test_a_slow_server_is_not_waited_for() -> None:
    with judge_server(in_turn("slow", "good")) as server:
        verdict = asked(server, [], judge_timeout_s=0.2)
    assert values(verdict) == expected(1)


def test_a_refused_request_is_not_asked_again() -> None:
    with judge_server(always("refuses")) as server:
        verdict = asked(server, [])
    assert (len(server.asked), verdict.may_help_later) == (1, False)
    assert "400" in verdict.detail


@pytest.mark.parametrize("behaviour", ["no_key", "moved"])
def test_what_holds_for_every_request_ends_the_process(behaviour: Behaviour) -> None:
    with (
        judge_server(always(behaviour)) as server,
        pytest.raises(ConfigError, match="ROPEWALK_JUDGE_BASE_URL"),
    ):
        asked(server, [])


def test_a_stop_while_waiting_decides_nothing() -> None:
    with judge_server(always("not_json")) as server:
        verdict = asked(server, [], stop=True)
    assert verdict.may_help_later


@pytest.mark.parametrize("url", ["", "localhost:1", "ftp://x/v1", "http://u:p@x/v1", "http://x:y/"])
def test_a_wrong_base_url_is_named(url: str) -> None:
    with (
        judge_server(always()) as server,
        pytest.raises(ConfigError, match="ROPEWALK_JUDGE_BASE_URL"),
    ):
        Endpoint(settings(server, judge_base_url=url))
