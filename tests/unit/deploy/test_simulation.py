"""What simulated agents say, through the real recorder into memory."""

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support.replayed import prompts
from tests.support.simulated import BEGIN, live, lived, options

from ropewalk_deploy.simulation.driver import first_lives
from ropewalk_deploy.simulation.ledger import read_ledger
from ropewalk_deploy.simulation.life import LifePlan
from ropewalk_deploy.simulation.markets import TONES
from ropewalk_deploy.simulation.options import SimulationError
from ropewalk_deploy.simulation.scripts import draw_script
from ropewalk_schemas.codec import decode_event
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.events import (
    Decision,
    LLMCall,
    Reward,
    TrajectoryEnded,
    TrajectoryStarted,
    WriterClosed,
)


def of(kind: type[Any], events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def by_trajectory(events: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        found[event.trajectory_id].append(event)
    return found


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    faults = {"duplicates": 0.1, "vanish": 0.1, "lost_clocks": 0.2, "handovers": 0.3}
    first, _ = lived(options(tmp_path / "a", **faults, late_rewards=0.5))
    again, _ = lived(options(tmp_path / "b", **faults, late_rewards=0.5))
    other, _ = lived(options(tmp_path / "c", **faults, late_rewards=0.5, seed=2))
    assert first.records == again.records
    assert first.records != other.records


def test_every_event_decodes_and_has_about_a_kilobyte_and_a_half(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, events=3_000, long=0.02))
    assert not any(decode_event(record.value).has_extra for record in result.records)
    sizes = [len(record.value) for record in result.records]
    assert 1_000 < sum(sizes) / len(sizes) < 2_000


def test_the_target_of_events_is_met_but_for_winding_up(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, events=1_000))
    assert 1_000 <= len(result.records) <= 1_020
    lives = by_trajectory(result.events)
    assert all(of(TrajectoryEnded, events) for events in lives.values())


def test_a_target_of_trajectories_is_met_exactly(tmp_path: Path) -> None:
    given = options(tmp_path, trajectories=5, processes=3)
    lives = [live(LifePlan(given, process)) for process in range(3)]
    assert [len(by_trajectory(life.events)) for life in lives] == [2, 2, 1]


def test_no_prompt_or_observation_holds_a_hidden_truth(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, events=2_000, long=0.05))
    for events in by_trajectory(result.events).values():
        (started,) = of(TrajectoryStarted, events)
        secrets = list(leaves(started.metadata["hidden"]))
        assert len(secrets) > 10
        public = b"".join(to_json(shown(event)) for event in events).decode()
        assert [secret for secret in secrets if secret in public] == []


def leaves(value: Any) -> Any:
    """Texts and long numbers inside hidden truths, as they would look in a prompt."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str | float):
        yield str(value)


def shown(event: Any) -> Any:
    """All of an event but the metadata of its trajectory."""
    data = event.model_dump(mode="json")
    assert "hidden" not in data.get("metadata", {}) or event.type == "trajectory_started"
    return {name: field for name, field in data.items() if name != "metadata"}


def test_each_step_rests_on_one_to_three_calls_of_its_trajectory(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path))
    for events in by_trajectory(result.events).values():
        call_ids = [call.call_id for call in of(LLMCall, events)]
        rested_on = [step.calls for step in of(Decision, events)]
        assert {len(calls) for calls in rested_on} <= {1, 2, 3}
        assert [call for calls in rested_on for call in calls] == call_ids
    counts = Counter(len(step.calls) for step in of(Decision, result.events))
    assert all(counts[n] for n in (1, 2, 3))


def test_actions_are_executed_held_rejected_and_failed(tmp_path: Path) -> None:
    decisions = of(Decision, lived(options(tmp_path, events=2_000))[0].events)
    assert {d.action_status for d in decisions} == {"executed", "held", "rejected", "failed"}
    for decision in decisions:
        assert (decision.error is not None) == (decision.action_status in {"rejected", "failed"})
        assert (decision.action_status == "held") == (decision.action.type == "HOLD")
        assert set(decision.reward_components) <= {"pnl", "social", "trade"}
        bought = decision.action.type in {"BUY_SHARES", "OPEN_PERP"}
        claims = [claim.outcome_key for claim in decision.claims]
        executed = bought and decision.action_status == "executed"
        assert claims == ([decision.action.parameters["market"]] if executed else [])


def test_chats_grow_until_they_are_compacted(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, events=2_000, short=0.0))
    n_extended = n_compacted = 0
    for events in by_trajectory(result.events).values():
        calls = [call for call in of(LLMCall, events) if call.thread == "main"]
        whole = [prompt or [] for prompt in prompts(calls)]
        for before, after in pairwise(whole):
            n_extended += after[: len(before)] == before
            n_compacted += len(after) < len(before)
    assert n_extended > 5 * n_compacted > 0


def test_agents_that_play_the_same_game_are_a_group(tmp_path: Path) -> None:
    given = options(tmp_path, processes=2)
    started = [
        event
        for process in (0, 1)
        for event in of(TrajectoryStarted, live(LifePlan(given, process)).events)
    ]
    groups: dict[str, list[TrajectoryStarted]] = defaultdict(list)
    for event in started:
        groups[event.group_key].append(event)
    assert len(groups[f"{given.run}.game-0"]) == 6
    for members in groups.values():
        assert len({(m.scenario, m.seed, to_json(m.metadata["hidden"])) for m in members}) == 1


def test_the_scenario_mix_is_obeyed(tmp_path: Path) -> None:
    only = {name: float(name == "risk-management") for name in TONES}
    started = of(TrajectoryStarted, lived(options(tmp_path, scenarios=only))[0].events)
    assert {event.scenario for event in started} == {"risk-management"}


@pytest.mark.parametrize(
    ("given", "low", "high"), [({"short": 1.0}, 1, 3), ({"short": 0.0, "long": 1.0}, 150, 400)]
)
def test_trajectories_are_short_or_long_when_told_so(
    tmp_path: Path, given: dict[str, float], low: int, high: int
) -> None:
    scripts = [
        draw_script(options(tmp_path, **given), process=0, slot=0, number=n) for n in range(50)
    ]
    assert {low, high} >= {min(max(s.n_steps, low), high) for s in scripts} - set(range(low, high))
    assert all(low <= script.n_steps <= high for script in scripts)


def test_a_vanished_agent_leaves_neither_end_nor_close(tmp_path: Path) -> None:
    result, ledger = lived(options(tmp_path, vanish=1.0))
    assert not of(TrajectoryEnded, result.events)
    assert not of(WriterClosed, result.events)
    assert {t.status for t in ledger.trajectories().values()} == {None}


def test_an_agent_whose_code_fails_ends_failed_with_its_error(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, events=3_000))
    failed = [event for event in of(TrajectoryEnded, result.events) if event.status == "failed"]
    assert failed
    assert all("exchange closed the connection" in event.error for event in failed)


def test_wrong_clocks_are_off_or_jump_but_never_far_ahead(tmp_path: Path) -> None:
    right = of(Decision, lived(options(tmp_path / "right"))[0].events)
    wrong = of(Decision, lived(options(tmp_path / "wrong", lost_clocks=1.0))[0].events)
    hour = timedelta(hours=1)
    assert all(abs(event.occurred_at - BEGIN) < hour for event in right)
    assert any(event.occurred_at - BEGIN < -5 * hour for event in wrong)
    assert all(event.occurred_at - BEGIN < hour for event in wrong)
    backwards = [
        later.occurred_at < earlier.occurred_at
        for events in by_trajectory(wrong).values()
        for earlier, later in pairwise(events)
    ]
    assert any(backwards)


def test_a_child_writer_closes_and_its_parent_names_it(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, handovers=1.0, short=0.0))
    for events in by_trajectory(result.events).values():
        closed, (ended,) = of(WriterClosed, events), of(TrajectoryEnded, events)
        assert ended.handed_to == [event.writer for event in closed]
        for event in closed:
            written = [e for e in events if getattr(e, "writer", None) == event.writer]
            assert len(written) == event.n_events
            assert of(Decision, written)
    assert of(WriterClosed, result.events)


def test_late_rewards_come_after_the_end(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, late_rewards=1.0))
    for events in by_trajectory(result.events).values():
        *_, ended, reward = events
        assert isinstance(ended, TrajectoryEnded)
        assert isinstance(reward, Reward)
        assert (reward.source, reward.name) == ("outcome", "outcome")


def test_token_ids_of_a_prompt_continue_the_call_before(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, token_ids=1.0, short=1.0))
    for events in by_trajectory(result.events).values():
        calls = [call for call in of(LLMCall, events) if call.thread == "main"]
        assert all(len(c.output_logprobs) == len(c.output_token_ids) > 0 for c in calls)
        for before, after in pairwise(calls):
            said = before.prompt_token_ids + before.output_token_ids
            assert after.prompt_token_ids[: len(said)] == said


def test_a_pause_is_one_silent_gap(tmp_path: Path) -> None:
    result, _ = lived(options(tmp_path, pause_s=2.5))
    assert result.slept_s == [2.5]


def test_a_dead_process_that_comes_back_goes_on_as_another_writer(tmp_path: Path) -> None:
    given = options(tmp_path, short=0.0)
    dead = live(LifePlan(given, 0, dies_at=0.5))
    assert dead.died
    back = live(LifePlan(given, 0, life=1, resumes=True), before=read_ledger(tmp_path / "p0.jsonl"))
    undisturbed, _ = lived(options(tmp_path / "undisturbed", short=0.0))
    events = by_trajectory(dead.events + back.events)
    resumed = [key for key in by_trajectory(back.events) if key in by_trajectory(dead.events)]
    assert len(resumed) == given.agents
    for key in resumed:
        assert {e.writer for e in events[key]} == {"run/p0.0", "run/p0.1"}
        assert [d.action for d in of(Decision, events[key])] == [
            d.action for d in of(Decision, by_trajectory(undisturbed.events)[key])
        ]
        (ended,) = of(TrajectoryEnded, events[key])
        assert ended.writer == "run/p0.1"
    acknowledged = read_ledger(tmp_path).acknowledged
    assert len(acknowledged) >= given.events


def test_a_dead_process_that_never_comes_back_leaves_its_trajectories_open(tmp_path: Path) -> None:
    given = options(tmp_path)
    dead = live(LifePlan(given, 0, dies_at=0.5))
    fresh = live(LifePlan(given, 0, life=1), before=read_ledger(tmp_path / "p0.jsonl"))
    left = {
        key for key, events in by_trajectory(dead.events).items() if not of(TrajectoryEnded, events)
    }
    assert len(left) == given.agents
    assert not left & by_trajectory(fresh.events).keys()


def test_as_many_processes_die_as_were_told_to(tmp_path: Path) -> None:
    plans = first_lives(options(tmp_path, processes=5, deaths=2))
    assert sum(plan.dies_at is not None for plan in plans) == 2
    assert sum(plan.share for plan in plans) == 600


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"duplicates": 1.5}, "duplicates is a fraction"),
        ({"events": 0}, "events is at least 1"),
        ({"deaths": 2}, "at most every process can die"),
        ({"scenarios": {"moon": 1.0}}, "unknown scenarios"),
        ({"scenarios": dict.fromkeys(TONES, 0.0)}, "needs a weight above 0"),
        ({"scenarios": {"bullish-market": 1.0, "risk-management": -1.0}}, "needs a weight above 0"),
        ({"trajectories": 0}, "trajectories is at least 1"),
        ({"rate": -1.0}, "rate is at least 0"),
        ({"long": 0.6, "short": 0.6}, "long and short together"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(SimulationError, match=says):
        options(tmp_path, **given)
