"""What a decoded trajectory earned, as both sinks write it. Pure."""

from ropewalk_schemas.scoring import DEFAULT_SPEC, RewardSpec, Score, ScoredStep, score
from ropewalk_schemas.trajectory import Step, Trajectory


def score_part(part: Trajectory, spec: RewardSpec = DEFAULT_SPEC) -> Score:
    """The score of a part with the ledger entries that were known when it became final."""
    return score(spec, [_scored_step(part, step) for step in part.steps], part.rewards)


def immediate_reward(part: Trajectory) -> float | None:
    """What the part's steps earned at once, without the ledger; None if no step was rewarded.

    Added up step by step, as `score` does, so that both give the same last bits.
    """
    if not any(step.components for step in part.steps):
        return None
    return sum(sum((c.value for c in step.components), 0.0) for step in part.steps)


def schema_major(version: str) -> int:
    """The number rows carry as `schema_version`.

    >>> schema_major("1.0")
    1
    """
    return int(version.partition(".")[0])


def _scored_step(part: Trajectory, step: Step) -> ScoredStep:
    calls = [part.llm_calls[position] for position in step.calls if position < len(part.llm_calls)]
    ids = {call.call_id for call in calls} | {call.response_id for call in calls}
    return ScoredStep(
        event_id=step.event_id,
        components={component.name: component.value for component in step.components},
        calls=frozenset(known for known in ids if known is not None),
    )
