"""What the judge and settlement store, send and mark, and in which order."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ropewalk_schemas.outcomes import Outcome
from ropewalk_sinks.errors import UnreachableError
from ropewalk_sinks.judging import runner
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.judging.model import (
    Group,
    Judgment,
    Member,
    Score,
    StoredScore,
    Task,
    Usage,
    Verdict,
)
from ropewalk_sinks.judging.rubric import DEFAULT_RUBRIC
from ropewalk_sinks.judging.runner import Judge
from ropewalk_sinks.settlement.entries import OpenClaim
from ropewalk_sinks.settlement.rulebook import RuleBook
from ropewalk_sinks.settlement.rules import SHIPPED
from ropewalk_sinks.settlement.runner import Settler
from ropewalk_sinks.settlement.store import Batch

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = Verdict((Score(1.0, "good"),), "", b"{}", Usage())
GROUP = Group("shop", "refund", None, None, None, None, (Member("t-1", 0, "h"),))


class Judgments:
    """A store of judgments in memory; `done` says what was asked of it, and what was sent."""

    def __init__(self, due: Sequence[str] = (), stored: Sequence[str] = ()) -> None:
        self.done: list[str] = []
        self._due, self._unsent = list(due), list(stored)

    def to_judge(self, _: datetime) -> dict[str, Group]:
        return dict.fromkeys(self._due, GROUP)

    def task(self, key: str, group: Group) -> Task:
        return Task(key, group, None, ((),))

    def record(self, task: Task, *_: object, **__: object) -> bool:
        self.done.append(f"store {task.judgment_id}")
        self._unsent.append(task.judgment_id)
        return True

    def to_emit(self) -> list[Judgment]:
        score = StoredScore("r-1", "t-1", 1.0, "", None)
        return [
            Judgment(key, "shop", "g", "rubric", "m", "", b"", NOW, [score]) for key in self._unsent
        ]

    def mark_emitted(self, judgments: Sequence[Judgment]) -> None:
        self.done += [f"mark {judgment.judgment_id}" for judgment in judgments]
        self._unsent.clear()


def a_judge(store: Judgments, monkeypatch: pytest.MonkeyPatch) -> Judge:
    settings = JudgeSettings.load(
        bootstrap_servers="127.0.0.1:1", postgres_dsn="unused", judge_model="m"
    )
    judge = Judge(
        settings, DEFAULT_RUBRIC, cast("Any", store), cast("Any", None), threading.Event()
    )
    monkeypatch.setattr(judge, "_ask", lambda _: GOOD)
    monkeypatch.setattr(judge, "_refuse", lambda _: None)
    monkeypatch.setattr(judge, "_write", lambda events: store.done.append(f"send {len(events)}"))
    return judge


def test_a_judgment_is_stored_before_it_is_sent_and_marked_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Judgments(due=["j-1"])
    a_judge(store, monkeypatch).turn()
    assert store.done == ["store j-1", "send 1", "mark j-1"]


def test_what_an_earlier_judge_stored_is_sent_though_nothing_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Judgments(stored=["j-0"])
    a_judge(store, monkeypatch).turn()
    assert store.done == ["send 1", "mark j-0"]


def test_what_was_paid_for_is_stored_though_another_answer_ends_the_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Judgments(due=["bad", "good"])

    def ask(task: Task) -> Verdict:
        if task.judgment_id == "bad":
            raise UnreachableError
        return GOOD

    def in_order(asked: dict[Future[Verdict], Task]) -> Iterator[Future[Verdict]]:
        return iter(asked)  # the bad answer comes first

    monkeypatch.setattr(runner, "as_completed", in_order)
    judge = a_judge(store, monkeypatch)
    monkeypatch.setattr(judge, "_ask", ask)
    with pytest.raises(UnreachableError):
        judge.turn()
    assert store.done == ["store good"]


class Claims:
    """A store with one claim and its outcome, and an empty ledger."""

    def __init__(self) -> None:
        self.marked: list[object] = []

    def unsettled(self, _: str) -> Iterator[Batch]:
        claim = OpenClaim("shop", "t-1", "e-1", 0, "market:1", {"side": "yes"})
        outcome = Outcome(
            outcome_key="market:1", version=1, occurred_at=NOW, values={"resolved": "yes"}
        )
        yield Batch([claim], {"market:1": [outcome]}, [])

    def mark(self, done: Sequence[object], _: str) -> None:
        self.marked += done


def a_settler(store: Claims, sent: list[object]) -> Settler:
    book = RuleBook(SHIPPED, {"market:": "prediction_market"})
    return Settler(cast("Any", store), book, sent.extend)


def test_a_settlement_that_begins_anew_sends_the_same_bytes() -> None:
    first, again = list[object](), list[object]()
    for sent in (first, again):
        a_settler(Claims(), sent).turn()
    assert first == again != []


def test_a_claim_is_settled_only_when_its_reward_is_in_the_ledger() -> None:
    store, sent = Claims(), list[object]()
    counts = a_settler(store, sent).turn()
    assert (len(sent), counts["waiting"], store.marked) == (1, 1, [])
