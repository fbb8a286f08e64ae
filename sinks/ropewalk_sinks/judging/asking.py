"""Asking about one group until an answer can be believed, or patience ends."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.judging.answer import AnswerError, read_body, read_scores, tokens_of
from ropewalk_sinks.judging.http import EndpointError, Reply
from ropewalk_sinks.judging.model import Score, Usage, Verdict
from ropewalk_sinks.judging.prompt import Prompt
from ropewalk_sinks.judging.retries import Patience, kind_of, wait_s

log = logging.getLogger(__name__)

Ask = Callable[[list[dict[str, str]]], Reply]
_BODY_SHOWN = 300


class Waiting(NamedTuple):
    """The outside world of the asking: `pause` waits so many seconds, and is true to stop."""

    now: Callable[[], datetime]
    pause: Callable[[float], bool]


class _Try(NamedTuple):
    """One request's result."""

    scores: list[Score]
    problem: str
    raw: bytes = b""
    retry_after: str | None = None
    may_help_later: bool = False
    hopeless: bool = False


def judged(prompt: Prompt, ask: Ask, patience: Patience, waiting: Waiting) -> Verdict:
    """What the judge says in the end.

    Raises:
        ConfigError: If the endpoint refuses every request, by its key or its URL.
    """
    usage = Usage()
    while True:
        tried = _try(prompt, ask)
        used = tokens_of(tried.raw)
        usage = Usage(
            usage.requests + 1, usage.input_tokens + used[0], usage.output_tokens + used[1]
        )
        if not tried.problem:
            scores = tuple(tried.scores[shown] for shown in prompt.shown_as)
            return Verdict(scores, "", tried.raw, usage)
        log.warning("judge_trouble request=%d problem=%r", usage.requests, tried.problem)
        seconds = wait_s(patience, usage.requests, tried.retry_after, now=waiting.now())
        if tried.hopeless or seconds is None:
            later = tried.may_help_later
            return Verdict((), tried.problem, tried.raw, usage, may_help_later=later)
        if waiting.pause(seconds):
            return Verdict((), "stopped", tried.raw, usage, may_help_later=True)


def _try(prompt: Prompt, ask: Ask) -> _Try:
    try:
        reply = ask(prompt.messages)
    except EndpointError as error:
        return _Try([], str(error), may_help_later=True)
    shown = reply.body[:_BODY_SHOWN].decode("utf-8", "replace").replace("\0", "")
    problem = f"the endpoint answers {reply.status}: {shown!r}"
    match kind_of(reply.status):
        case "later":
            return _Try([], problem, reply.body, reply.retry_after, may_help_later=True)
        case "refused":
            return _Try([], problem, reply.body, hopeless=True)
        case "setting":
            msg = f"{problem}; see ROPEWALK_JUDGE_BASE_URL, _MODEL and _API_KEY"
            raise ConfigError(msg)
    try:
        return _Try(read_scores(read_body(reply.body), prompt.n_shown), "", reply.body)
    except AnswerError as error:
        return _Try([], str(error).replace("\0", ""), reply.body)
