"""Whether what a judge answered can be believed, and what it says. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from ropewalk_schemas.encoding import parse_json
from ropewalk_sinks.judging.model import Score

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL | re.IGNORECASE)
EXPLANATION_CHARS = 2_000
_NUMBERS = 1_000_000


class AnswerError(Exception):
    """The answer is not what was asked for; the message says what is wrong with it."""


def read_body(body: bytes) -> str:
    """The text of a ``/chat/completions`` answer.

    Raises:
        AnswerError: If the body is not one.
    """
    said = parse_json(body)
    if not isinstance(said, dict):
        msg = "the endpoint's answer is not a JSON object"
        raise AnswerError(msg)
    match said.get("choices"):
        case [{"message": {"content": str(content)}}, *_]:
            return content
    msg = "the endpoint's answer has no choices[0].message.content"
    raise AnswerError(msg)


def tokens_of(body: bytes) -> tuple[int, int]:
    """Input and output tokens of an answer, however bad it is; 0 where it does not say."""
    said = parse_json(body)
    usage = said.get("usage") if isinstance(said, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def read_scores(content: str, n_shown: int) -> list[Score]:
    """The scores of trajectories 1 to `n_shown`, in this order, joined by their ids.

    Raises:
        AnswerError: If it is not JSON, the ids are not exactly those, or a score is not in 0 to 1.
    """
    fenced = _FENCED.match(content)
    said = parse_json(fenced.group(1) if fenced else content)
    entries = said.get("scores") if isinstance(said, dict) else None
    if not isinstance(entries, list):
        msg = 'the answer is not a JSON object with a list "scores"'
        raise AnswerError(msg)
    if len(entries) != n_shown:
        msg = f"{len(entries)} scores for {n_shown} trajectories"
        raise AnswerError(msg)
    found = dict(map(_entry, entries))
    wanted = [str(number) for number in range(1, n_shown + 1)]
    if sorted(found) != sorted(wanted):
        msg = f"scores for trajectories {', '.join(sorted(found))}; asked for 1 to {n_shown}"
        raise AnswerError(msg[:500])
    return [found[number] for number in wanted]


def _entry(entry: Any) -> tuple[str, Score]:
    if not isinstance(entry, Mapping):
        msg = "a score is not a JSON object"
        raise AnswerError(msg)
    number, value = entry.get("trajectory_id"), entry.get("score")
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < _NUMBERS:
        number = str(number)
    if not isinstance(number, str):
        msg = "a score has no trajectory_id that could be one"
        raise AnswerError(msg)
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"the score of trajectory {number} is not a number"
        raise AnswerError(msg[:500])
    if not 0 <= value <= 1:  # so NaN is not
        msg = f"the score of trajectory {number} is not between 0 and 1"
        raise AnswerError(msg[:500])
    why = entry.get("explanation")
    text = why.replace("\0", "") if isinstance(why, str) else ""
    return number, Score(float(value), text[:EXPLANATION_CHARS])


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
