"""The judge process: find settled groups, ask about several at once, store, emit."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from ropewalk_schemas.failpoints import reach
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.errors import SinkError
from ropewalk_sinks.judging.asking import Ask, Waiting, judged
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.judging.http import Endpoint
from ropewalk_sinks.judging.model import Group, Task, Verdict
from ropewalk_sinks.judging.prompt import Prompt, prompt_of
from ropewalk_sinks.judging.retries import Patience
from ropewalk_sinks.judging.rewards import refusal, reward_events
from ropewalk_sinks.judging.rubric import Rubric
from ropewalk_sinks.judging.shorten import Bounds
from ropewalk_sinks.judging.store import JudgmentStore
from ropewalk_sinks.kafka import QuarantineWriter, require_topics
from ropewalk_sinks.reward_log import RewardWriter

log = logging.getLogger(__name__)

PROMISE = "the judgments are stored, and written again at the next start"
LONGEST_PAUSE_S = 600.0
NOW = ("later", "too_large")
"""Counts of groups as they are after the last turn; the others add up."""
LATER_AT_MOST = 5
"""A group that gets no answer so often, while others do, is refused."""


class Judge:
    """Judges what is settled; everything it decides is stored before it is sent."""

    def __init__(
        self,
        settings: JudgeSettings,
        rubric: Rubric,
        store: JudgmentStore,
        ask: Ask,
        stop: threading.Event,
    ) -> None:
        self._settings, self._rubric, self._store, self._stop = settings, rubric, store, stop
        self._ask_endpoint = ask
        self._write = RewardWriter(settings, settings.judge_topic, promise=PROMISE)
        self._refuse = QuarantineWriter(settings)
        self._later: Counter[str] = Counter()

    def turn(self) -> Counter[str]:
        """Judge all groups that are settled now, each once; what it stored is in the log.

        Raises:
            SinkError: If the database, the broker or the endpoint's settings are at fault.
        """
        counts = Counter(emitted=self._emit())
        due, counts["too_large"] = _due(self._store, self._settings)
        queue = iter(due.items())
        # Few at a time: transcripts are large, and what dies with the process is asked again.
        while not self._stop.is_set() and (
            batch := list(islice(queue, self._settings.judge_concurrency))
        ):
            counts += self._judge([self._store.task(key, group) for key, group in batch])
            counts["emitted"] += self._emit()
        return counts

    def _judge(self, tasks: Sequence[Task]) -> Counter[str]:
        counts: Counter[str] = Counter()
        verdicts: list[tuple[Task, Verdict]] = []
        failures: list[Exception] = []
        with ThreadPoolExecutor(len(tasks), thread_name_prefix="judge") as pool:
            asked: dict[Future[Verdict], Task] = {pool.submit(self._ask, t): t for t in tasks}
            for future in as_completed(asked):
                try:
                    task, verdict = asked[future], future.result()
                except Exception as error:  # no answer can come: what was answered is stored first
                    self._stop.set()
                    failures.append(error)
                    continue
                counts.update(verdict.usage._asdict())
                if verdict.may_help_later:
                    verdicts.append((task, verdict))
                else:
                    self._record(task, verdict)
                    counts["judged" if verdict.scores else "refused"] += 1
        if failures:
            raise failures[0]
        for task, verdict in verdicts:
            counts[self._put_off(task, verdict, others_work=counts["judged"] > 0)] += 1
        return counts

    def _ask(self, task: Task) -> Verdict:
        settings = self._settings
        patience = Patience(
            settings.judge_attempts, settings.judge_first_wait_s, settings.judge_longest_wait_s
        )
        waiting = Waiting(now=_now, pause=self._stop.wait)
        prompt = prompt_of(task, self._rubric, bounds_of(settings))
        return judged(prompt, self._ask_endpoint, patience, waiting)

    def _put_off(self, task: Task, verdict: Verdict, *, others_work: bool) -> str:
        """Leave a group for a later turn, unless it alone gets no answer again and again."""
        self._later[task.judgment_id] += 1
        if not others_work or self._later[task.judgment_id] < LATER_AT_MOST:
            log.warning("judge_later group=%s problem=%r", task.group.name, verdict.detail)
            return "later"
        self._record(task, verdict)
        return "refused"

    def _record(self, task: Task, verdict: Verdict) -> None:
        prices = self._settings
        cost = verdict.usage.cost_usd(
            input_usd=prices.judge_input_usd, output_usd=prices.judge_output_usd
        )
        reach("judge.record.before")
        self._store.record(task, verdict, at=_now(), cost_usd=cost)
        reach("judge.record.after")
        if not verdict.scores:
            log.error("judge_refused group=%s problem=%r", task.group.name, verdict.detail)

    def _emit(self) -> int:
        """Send what is stored and not known to be in the log; gives how many rewards."""
        n_rewards = 0
        while judgments := self._store.to_emit():
            refused: list[Quarantined] = [refusal(j) for j in judgments if not j.scores]
            events = [event for j in judgments for event in reward_events(j)]
            self._refuse(refused)
            self._write(events)
            reach("judge.emit.after")
            self._store.mark_emitted(judgments)
            reach("judge.mark.after")
            n_rewards += len(events)
        return n_rewards


def run(
    settings: JudgeSettings, rubric: Rubric, stop: threading.Event, *, once: bool, again: bool
) -> dict[str, Any]:
    """Judge until `stop`, or once; gives what was done.

    Args:
        settings: Whom to ask.
        rubric: By what.
        stop: Ends it; answers under way are awaited and stored, for they are paid for.
        once: Look once.
        again: First forget refusals by this rubric and model.

    Raises:
        SinkError: What ends the process; its message is for a person.
    """
    names = (settings.judge_topic, settings.topics.quarantine)
    total: Counter[str] = Counter()
    with closing(_store(settings, rubric)) as store, closing(Endpoint(settings)) as endpoint:
        judge = Judge(settings, rubric, store, endpoint.ask, stop)
        require_topics(settings, [], names)
        _wait_for_lock(store, stop, settings.judge_interval_s, once=once)
        if again and not stop.is_set():
            total["asked_again"] = store.forget_refused()
        pause_s = settings.judge_interval_s
        while not stop.is_set():
            counts = judge.turn()
            total += counts
            for now in NOW:
                total[now] = counts[now]
            if counts["requests"]:
                log.info("judge_progress %s", " ".join(f"{k}={v}" for k, v in counts.items() if v))
            if once:
                break
            is_down = counts["later"] > 0 and not counts["judged"]
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S) if is_down else settings.judge_interval_s
            stop.wait(pause_s)
    return summary(total, settings)


def summary(total: Counter[str], settings: JudgeSettings) -> dict[str, Any]:
    """Counts of a run by name, and what its tokens cost."""
    names = ("judged", "refused", "later", "too_large", "emitted", "asked_again")
    tokens = ("requests", "input_tokens", "output_tokens")
    cost = total["input_tokens"] * settings.judge_input_usd
    cost += total["output_tokens"] * settings.judge_output_usd
    return {name: total[name] for name in (*names, *tokens)} | {"cost_usd": cost / 1e6}


def prompts(settings: JudgeSettings, rubric: Rubric) -> Iterator[tuple[Group, Prompt]]:
    """What would be asked now; asks and stores nothing."""
    with closing(_store(settings, rubric)) as store:
        due, _ = _due(store, settings)
        for key, group in due.items():
            yield group, prompt_of(store.task(key, group), rubric, bounds_of(settings))


def is_judged(settings: JudgeSettings, rubric: Rubric) -> bool:
    """Whether a judge has nothing to do, however long groups have been settled."""
    with closing(_store(settings, rubric)) as store:
        due, _ = _due(store, settings.model_copy(update={"judge_settle_s": 0}))
        return not due and not store.to_emit()


def bounds_of(settings: JudgeSettings) -> Bounds:
    """How much is shown."""
    return Bounds(settings.judge_message_chars, settings.judge_transcript_chars)


def _store(settings: JudgeSettings, rubric: Rubric) -> JudgmentStore:
    return JudgmentStore(settings.postgres_dsn, rubric=rubric, model=settings.judge_model)


def _due(store: JudgmentStore, settings: JudgeSettings) -> tuple[dict[str, Group], int]:
    """Groups to judge now, and how many are too large for it."""
    found = store.to_judge(_now() - timedelta(seconds=settings.judge_settle_s))
    due = {k: g for k, g in found.items() if len(g.members) <= settings.judge_max_group}
    return due, len(found) - len(due)


def _wait_for_lock(
    store: JudgmentStore, stop: threading.Event, every_s: float, *, once: bool
) -> None:
    while not store.lock():
        msg = "another judge is at work on this database; stop it first, or leave the work to it"
        if once:
            raise SinkError(msg)
        log.info("judge_waits %s", msg)
        if stop.wait(every_s):
            return


def _now() -> datetime:
    return datetime.now(UTC)
