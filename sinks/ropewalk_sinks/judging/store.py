"""Groups to judge, and judgments, in Postgres."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from typing import Any

from ropewalk_schemas.encoding import canonical_json
from ropewalk_sinks.judging.identity import judgment_id, reward_id
from ropewalk_sinks.judging.model import Group, Judgment, Member, StoredScore, Task, Verdict
from ropewalk_sinks.judging.rubric import Rubric
from ropewalk_sinks.judging.transcripts import MessageRow, StepRow, transcript_of
from ropewalk_sinks.postgres_connection import connect, in_our_words, place
from ropewalk_sinks.postgres_migrations import require_migrations
from ropewalk_sinks.sql import query


class JudgmentStore:
    """What is to be judged by a rubric and a model, and what was.

    Raises:
        UnreachableError: If the database does not answer.
        MigrationError: If it lacks a migration.
    """

    def __init__(self, dsn: str, *, rubric: Rubric, model: str) -> None:
        self._dsn, self._rubric, self._model = dsn, rubric, model
        with ExitStack() as on_failure, in_our_words(dsn):
            self._connection = on_failure.enter_context(closing(connect(dsn)))
            require_migrations(self._connection, place(dsn))
            on_failure.pop_all()

    def close(self) -> None:
        """Close the connection; another judge may begin."""
        self._connection.close()

    def lock(self) -> bool:
        """Whether this is the only judge of the database now, and stays so until closed."""
        return bool(self._rows("try_lock_judging")[0][0])

    def to_judge(self, settled_before: datetime) -> dict[str, Group]:
        """Settled groups that have no judgment yet, by the id it will have, oldest first."""
        found = {}
        for row in self._rows("settled_groups", settled_before=settled_before):
            members = tuple(map(Member._make, zip(*row[6:], strict=True)))
            key = judgment_id(members, rubric=self._rubric.version, model=self._model)
            found[key] = Group(*[*row[:6], members])
        rewards = [reward_id(key, group.members[0]) for key, group in found.items()]
        known = {r[0] for r in self._rows("known_judgments", ids=[*found], reward_ids=rewards)}
        return {key: group for key, group in found.items() if key not in known}

    def task(self, key: str, group: Group) -> Task:
        """A group with its transcripts."""
        ids = [member.trajectory_id for member in group.members]
        goals = sorted({goal for _, goal in self._rows("goals_to_judge", ids=ids) if goal})
        messages, steps = defaultdict(list), defaultdict(list)
        for trajectory_id, *row in self._rows("messages_to_judge", ids=ids):
            messages[trajectory_id].append(MessageRow._make(row))
        for trajectory_id, *row in self._rows("steps_to_judge", ids=ids):
            steps[trajectory_id].append(StepRow._make(row))
        shown = tuple(transcript_of(messages[i], steps[i]) for i in ids)
        return Task(key, group, "\n".join(goals) or None, shown)

    def record(self, task: Task, verdict: Verdict, *, at: datetime, cost_usd: float) -> bool:
        """Store a judgment whole; gives whether it was.

        It is not when there is one, as the first stays, or when a member was erased meanwhile.
        """
        group = task.group
        values = {
            "judgment_id": task.judgment_id,
            "project": group.project,
            "group_name": group.name,
            "members": canonical_json(group.members).decode(),
            "rubric_name": self._rubric.name,
            "rubric": self._rubric.version,
            "model": self._model,
            "accepted": bool(verdict.scores),
            "detail": verdict.detail,
            "raw": verdict.raw,
            "judged_at": at,
            "cost_usd": cost_usd,
            **verdict.usage._asdict(),
        }
        ids = [member.trajectory_id for member in group.members]
        with in_our_words(self._dsn), self._connection.transaction():
            self._connection.execute(query("lock_erasures"))
            stored = self._rows("record_judgment", **values, member_ids=ids)
            if stored and verdict.scores:
                scores = _columns(task, verdict) | {"serial": stored[0][0]}
                self._connection.execute(query("record_judgment_scores"), values | scores)
        return bool(stored)

    def to_emit(self) -> list[Judgment]:
        """Judgments that may not be in the log yet, oldest first, at most 100."""
        judgments = []
        for row in self._rows("judgments_to_emit"):
            scores = self._rows("judgment_scores_of", judgment_id=row[0])
            judgments.append(Judgment(*[*row, [*map(StoredScore._make, scores)]]))
        return judgments

    def mark_emitted(self, judgments: Sequence[Judgment]) -> None:
        """Note that these are in the log."""
        ids = [judgment.judgment_id for judgment in judgments]
        with in_our_words(self._dsn):
            self._connection.execute(query("mark_judgments_emitted"), {"ids": ids})

    def forget_refused(self) -> int:
        """Let refused groups be asked about again; gives how many."""
        values = {"rubric": self._rubric.version, "model": self._model}
        with in_our_words(self._dsn):
            return int(self._rows("forget_refused_judgments", **values)[0][0])

    def _rows(self, name: str, **values: Any) -> list[tuple[Any, ...]]:
        with in_our_words(self._dsn):
            return self._connection.execute(query(name), values).fetchall()


def _columns(task: Task, verdict: Verdict) -> dict[str, Any]:
    members = task.group.members
    return {
        "reward_ids": [reward_id(task.judgment_id, member) for member in members],
        "trajectory_ids": [member.trajectory_id for member in members],
        "values": [score.value for score in verdict.scores],
        "explanations": [score.explanation for score in verdict.scores],
    }
