"""The scripted model scores an agent by what it owned, and is bad only for a while."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import get_args

from tests.support.replayed import prompts
from tests.support.simulated import lived, options

from ropewalk_deploy.simulation.earned import judge_scores
from ropewalk_deploy.simulation.scripted_model import BadAnswer, by_account, moody, said, score_of
from ropewalk_schemas.events import LLMCall
from ropewalk_sinks.judging.model import Group, Member, Task, Turn
from ropewalk_sinks.judging.prompt import prompt_of
from ropewalk_sinks.judging.rubric import DEFAULT_RUBRIC
from ropewalk_sinks.judging.shorten import Bounds


def test_it_reads_from_a_real_prompt_what_the_truth_ledger_says(tmp_path: Path) -> None:
    result, ledger = lived(options(tmp_path))
    calls: dict[str, list[LLMCall]] = defaultdict(list)
    for event in result.events:
        if isinstance(event, LLMCall) and event.thread == "main":
            calls[event.trajectory_id].append(event)
    shown = {
        key: tuple(Turn(m["role"], str(m.get("content"))) for m in prompts(made)[-1] or ())
        for key, made in calls.items()
    }
    members = tuple(Member(key, 0, "") for key in sorted(shown))
    group = Group("p", None, None, None, None, None, members)
    task = Task("j", group, None, tuple(shown[member.trajectory_id] for member in members))
    prompt = prompt_of(task, DEFAULT_RUBRIC, Bounds(8_000, 60_000))
    answer = json.loads(said("good", prompt.messages[-1]["content"], 0, by_account))
    scores = [entry["score"] for entry in answer["scores"]]
    expected = judge_scores(ledger, set(ledger.events))
    assert len(set(scores)) > 10
    assert {
        m.trajectory_id: scores[at] for m, at in zip(members, prompt.shown_as, strict=True)
    } == expected


def test_a_score_is_between_0_and_1() -> None:
    assert [score_of(owned) for owned in (-1e9, 10_000.0, 11_000.0, 1e9)] == [0.0, 0.5, 0.75, 1.0]
    assert by_account("", "nothing about money", 0) == 0.0
    assert by_account('{\\"portfolio_value\\":12000.0}', "no more", 0) == 1.0


def test_it_is_bad_in_every_way_and_good_at_the_third_try() -> None:
    choose = moody(7)
    answers = Counter(choose(f"prompt {n}", nth) for n in range(400) for nth in (0, 1))
    assert set(get_args(BadAnswer)) <= set(answers)
    assert not any(choose(f"prompt {n}", 2) in get_args(BadAnswer) for n in range(400))
