"""Parts, claims and ledger entries at random; both sinks filled with them; groups by hand."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import Any

from tests.support.parquet_log import go_on, log_of, refuse_nothing, settings
from tests.support.published import T0, a_call, a_part, a_step, an_entry, value_of

from ropewalk_schemas.published import ComponentRow
from ropewalk_schemas.reward_specs import DEFAULT_SPEC
from ropewalk_schemas.scored_trajectory import score_trajectory
from ropewalk_schemas.scoring import ScoredStep
from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.groups import Group, advantages
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.sink import SourceRecord, TopicPartition

AT = TopicPartition("trajectories", 0)


def store_in_postgres(dsn: str, rows: Sequence[object]) -> None:
    """Through the real sink, from where it stopped."""
    given = PostgresSettings.load(bootstrap_servers="none:1", postgres_dsn=dsn)
    with closing(PostgresSink(given)) as sink:
        start = sink.claim([AT])[AT]
        sink.add(
            [SourceRecord(AT, start + n, 0, None, value_of(row), []) for n, row in enumerate(rows)]
        )
        sink.flush(refuse_nothing)


def store_in_parquet(path: Path, rows: Sequence[object]) -> None:
    """Through the real sink, in several files."""
    sink = ParquetSink(settings(path))
    go_on(sink, log_of(rows), flushes=3)
    sink.close()


def some_steps(random: Random, name: str, part: int) -> list[Any]:
    """Up to three decisions, whose claims share few outcomes."""
    return [
        a_step(
            idx,
            event_id=f"{name}-{part}-{idx}",
            components=[ComponentRow(name=n, value=float(random.randint(-2, 2)))
                        for n in random.sample(["pnl", "fee"], random.randint(0, 2))],
            claims=[{"outcome_key": random.choice("xy"), "terms": {}}] * (random.random() < 0.2),
            calls=[idx],
        )
        for idx in range(random.randint(0, 3))
    ]  # fmt: skip


def some_parts(random: Random, name: str) -> list[Any]:
    """A trajectory of one or two parts, in one of few groups."""
    version = random.choice(["v1", "v2", None])
    given = {
        "scenario": random.choice(["sail", None]),
        "group_key": random.choice(["k1", "k2", None]),
        "policy": random.choice(["small", "small", "small", "large"]),
        "policy_version": version,
        "agent_id": f"agent-{random.randint(0, 3)}",
        "mode": random.choice(["episode", "episode", "continuous"]),
        "episode_id": random.choice(["together", "other", None]),
    }
    n_parts = random.choice([1, 1, 2])
    ends = random.random() < 0.9
    parts = []
    for part in range(n_parts):
        steps = some_steps(random, name, part)
        actor = version if random.random() < 0.9 else "v9"
        calls = [
            a_call(idx, call_id=f"{name}-{part}-c{idx}", response_id=f"{name}-{part}-r{idx}",
                   step=idx if idx < len(steps) else None, policy_version=actor)
            for idx in range(3)
        ]  # fmt: skip
        parts.append(
            a_part(name, part, steps=steps, llm_calls=calls, last=ends and part == n_parts - 1,
                   complete=random.random() < 0.95, n_steps=len(steps), n_llm_calls=3,
                   ended_at=T0 + timedelta(minutes=5 + part), **given)
        )  # fmt: skip
    return parts


def some_entries(random: Random, parts: Sequence[Any]) -> Iterator[Any]:
    """Rewards for the trajectory, its steps and its calls; some superseded, some for nothing."""
    name = parts[0].trajectory_id
    steps = [step for part in parts for step in part.steps]
    calls = [call for part in parts for call in part.llm_calls]
    for n in range(random.randint(0, 4)):
        target: dict[str, Any] = random.choice(
            [
                {},
                {"target_event_id": random.choice(steps).event_id if steps else "nowhere"},
                {"call_id": random.choice(calls).call_id},
                {"response_id": random.choice(calls).response_id},
            ]
        )
        yield an_entry(
            f"{name}-e{n}",
            name,
            name=random.choice(["pnl", "settled"]),
            source=random.choice(["outcome", "judge", "human", "environment"]),
            value=float(random.randint(-3, 3)),
            outcome_key=random.choice(["x", "y", None]),
            supersedes=f"{name}-e{n - 1}" if random.random() < 0.3 else None,
            **target,
        )


def some_rows(random: Random, n_trajectories: int) -> tuple[list[Any], list[Any]]:
    """Parts and ledger entries."""
    lives = [some_parts(random, f"t{n:03}") for n in range(n_trajectories)]
    entries = [entry for parts in lives for entry in some_entries(random, parts)]
    return [part for parts in lives for part in parts], entries


def scored_steps(part: Any) -> list[ScoredStep]:
    """What scoring needs of a part."""
    return [
        ScoredStep(
            step.event_id,
            {component.name: component.value for component in step.components},
            frozenset(
                name
                for at in step.calls
                for name in (part.llm_calls[at].call_id, part.llm_calls[at].response_id)
            ),
        )
        for step in part.steps
    ]


def groups_by_hand(parts: Sequence[Any], entries: Sequence[Any]) -> dict[Any, Group]:
    """The groups of these rows, by what names them."""
    lives: dict[str, list[Any]] = defaultdict(list)
    for part in parts:
        lives[part.trajectory_id].append(part)
    members: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for name, own in sorted(lives.items()):
        ledger = [entry for entry in entries if entry.trajectory_id == name]
        key = (own[0].project, own[0].scenario, own[0].group_key, own[0].window_id)
        members[*key, own[0].policy_version].append(_member(own, ledger))
    return {key: _group(key, found) for key, found in members.items()}


def _member(parts: Sequence[Any], ledger: Sequence[Any]) -> dict[str, Any]:
    scores = score_trajectory(DEFAULT_SPEC, {p.part: scored_steps(p) for p in parts}, ledger)
    totals = [scored.score.total for scored in scores if scored.score.total is not None]
    known = {(entry.outcome_key, entry.target_event_id) for entry in ledger}
    claims = [(c["outcome_key"], s.event_id) for p in parts for s in p.steps for c in s.claims]
    return {
        "id": parts[0].trajectory_id,
        "agent": parts[0].agent_id,
        "policy": parts[0].policy,
        "reward": sum(totals) if totals else None,
        "acting": {
            c.policy_version
            for p in parts
            for c in p.llm_calls
            if c.step is not None and c.policy_version is not None
        },
        "complete": all(p.complete for p in parts)
        and (parts[0].mode == "continuous" or any(p.last for p in parts)),
        "pending": any(not known & {(key, event), (key, None)} for key, event in claims),
    }


def _group(key: Any, members: Sequence[dict[str, Any]]) -> Group:
    rewards = [member["reward"] for member in members]
    known = [reward for reward in rewards if reward is not None]
    of_known = iter(advantages(known) if known else [])
    same = len({m["policy"] for m in members}) == 1
    same = same and len(set().union(*(m["acting"] for m in members))) <= 1
    said = {
        "too small": len(members) < 2,
        "mixed policies": not same,
        "incomplete members": not all(m["complete"] for m in members),
        "rewards pending": any(m["pending"] for m in members),
        "members without a reward": None in rewards,
        "equal rewards": len(known) >= 2 and len(set(known)) == 1,
    }
    why_not = [why for why, holds in said.items() if holds]
    named = dict(zip(Group._fields, key, strict=False))
    return Group(
        **named,
        size=len(members),
        n_agents=len({m["agent"] for m in members}),
        same_policy=same,
        n_complete=sum(m["complete"] for m in members),
        n_pending=sum(m["pending"] for m in members),
        n_rewarded=len(known),
        min_reward=min(known, default=None),
        max_reward=max(known, default=None),
        mean_reward=fmean(known) if known else None,
        std_reward=pstdev(known) if known else None,
        trajectory_ids=[m["id"] for m in members],
        rewards=rewards,
        advantages=[None if reward is None else next(of_known) for reward in rewards],
        why_not=why_not,
        trainable=not why_not,
    )


def rounded(group: Group) -> dict[str, Any]:
    """A group with numbers that do not tell the last bits of a sum."""
    return {name: _round(value) for name, value in group._asdict().items()}


def _round(value: Any) -> Any:
    if isinstance(value, list):
        return [_round(one) for one in value]
    return round(value, 9) + 0.0 if isinstance(value, float) else value
