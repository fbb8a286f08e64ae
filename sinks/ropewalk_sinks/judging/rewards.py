"""What a stored judgment says to the log: rewards, or a refusal. Pure, the same bytes each time."""

from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.events import Reward
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.judging.identity import refusal_number
from ropewalk_sinks.judging.model import Judgment

REWARD_NAME = "judge"
REFUSAL_TOPIC = "judgments"
"""Where a refused judgment says it came from; its offset is a number of its own."""


def reward_events(judgment: Judgment) -> list[tuple[bytes, bytes]]:
    """Key and value of one reward event per member of the group."""
    return [
        (score.trajectory_id.encode(), encode_event(event))
        for score in judgment.scores
        for event in [
            Reward(
                event_id=score.reward_id,
                occurred_at=judgment.judged_at,
                project=judgment.project,
                trajectory_id=score.trajectory_id,
                name=REWARD_NAME,
                value=score.value,
                source="judge",
                source_version=f"{judgment.model} {judgment.rubric}",
                supersedes=score.supersedes,
                reason=score.explanation or None,
                metadata={
                    "judgment_id": judgment.judgment_id,
                    "group": judgment.group_name,
                    "size": len(judgment.scores),
                },
            )
        ]
    ]


def refusal(judgment: Judgment) -> Quarantined:
    """The account of a group that no answer was acceptable for, with the last answer's bytes."""
    judged_ms = int(judgment.judged_at.timestamp() * 1000)
    return Quarantined(
        topic=REFUSAL_TOPIC,
        partition=0,
        offset=refusal_number(judgment.judgment_id, judgment.judged_at),
        key=judgment.judgment_id.encode(),
        value=judgment.raw,
        headers=[("group", judgment.group_name.encode())],
        reason="invalid",
        detail=judgment.detail,
        stage="judge",
        quarantined_by=f"{judgment.model} {judgment.rubric}",
        trajectory_id=None,
        broker_ms=judged_ms,
        quarantined_ms=judged_ms,
    )
