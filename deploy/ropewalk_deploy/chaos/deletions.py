"""The log loses what was not assembled yet: retention passes the replay point, or it is made anew.

Both must stop the worker with a sentence that says what was lost. What follows a person chooses;
here that person goes on without it, and everything else must still be there.
"""

import os
import re
import signal
import time
from datetime import UTC, datetime

from ropewalk_deploy.audit.quarantine import place_of
from ropewalk_deploy.audit.readers import newest_progress
from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import recovery
from ropewalk_deploy.chaos.bulk import Bulk
from ropewalk_deploy.chaos.fought import Fought
from ropewalk_deploy.chaos.large import PATIENT
from ropewalk_deploy.chaos.staging import Stage, at_work, forget_accounts, told_of
from ropewalk_deploy.chaos.stored import lives_in
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import (
    LogRecord,
    LogScanner,
    create_topics,
    delete_before,
    delete_topics,
    send_many,
)
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.quarantine import from_record
from ropewalk_schemas.topics import AGENT_EVENTS, QUARANTINE

TRAJECTORIES, STEPS = 400, 3
STOPS_WITHIN_S = 60.0
DELETED = re.compile(r"agent-events\[(\d+)\] begins at offset (\d+), but (\d+) is needed")
MADE_ANEW = re.compile(
    r"agent-events was (?:made anew|deleted) while it was read: (\d+) events of (\d+) open"
)


def fight_with_retention(arena: Arena, seed: int, _: float) -> Fought:
    """Retention deletes events of open trajectories; the worker says how many, and stops."""
    whole, cut = _bulk("whole", seed), _bulk("cut", seed)
    with at_work(arena, seed, environment=PATIENT) as stage:
        _send_both(stage, whole, cut)
        recovery(stage.battle)
        account = stage.battle.rng.choice(list(_accounts(arena).values()))
        partition, needed = account.partition, account.replay_offset
        log = _log(arena, partition)
        begin = stage.battle.rng.randrange(needed + 1, account.next_offset)
        delete_before(arena.places.bootstrap_servers, AGENT_EVENTS.name, partition, begin)
        os.kill(stage.battle.pid("worker-1"), signal.SIGKILL)
        named = _stopped_with(stage, DELETED)
    stage.count("retention: the begin of the log is named", begin, named[1])
    stage.count("retention: what is lost is counted", begin - needed, named[1] - named[2])
    gone = [record for record in log if record.offset < begin]
    headless = {record.key for record in gone if b'"trajectory_started"' in (record.value or b"")}
    spoiled = [key for key in headless if key and key.startswith(b"cut-")]
    # Of these some were assembled before; nobody remembers, for the account is gone.
    left = [record for record in log if record.offset >= begin and record.key in headless]
    forget_accounts(arena, [partition])
    began = time.monotonic()
    with at_work(arena, seed, environment=PATIENT) as again:
        n_ends = send_many(arena.places.bootstrap_servers, AGENT_EVENTS.name, cut.ended(_all()))
        recover_s = time.monotonic() - began + recovery(again.battle)
        again.prove(with_replay=False)
        _count_lives(again, arena, whole, TRAJECTORIES)
        _count_lives(again, arena, cut, TRAJECTORIES - len(spoiled))
        refused = len(_headless(arena))
        again.count(
            "retention: what was left of them is refused", len(left) + len(spoiled), refused
        )
    again.checks += stage.checks
    again.battle.notes += stage.battle.notes
    n_sent = whole.n_events + cut.n_events - TRAJECTORIES + n_ends
    lost = sum((record.key or b"").startswith(b"cut-") for record in gone)
    told = {"deleted": begin - needed, "named": named[1] - named[2], "of open ones": lost}
    return told_of("retention-passes-replay-point", seed, again, events=n_sent,
                   recover_s=recover_s, told=told)  # fmt: skip


def fight_with_a_topic_made_anew(arena: Arena, seed: int, _: float) -> Fought:
    """Somebody deletes the topic under the running programs, and creates it again."""
    whole, cut, new = _bulk("whole", seed), _bulk("cut", seed), _bulk("new", seed)
    servers = arena.places.bootstrap_servers
    with at_work(arena, seed, environment=PATIENT) as stage:
        _send_both(stage, whole, cut)
        recovery(stage.battle)
        accounts = _accounts(arena)
        n_open = sum(account.open_events for account in accounts.values())
        stage.count("what is open is known", TRAJECTORIES * (STEPS + 1), n_open)
        delete_topics(servers, [AGENT_EVENTS.name])
        _create(stage)
        send_many(servers, AGENT_EVENTS.name, new.begun(range(TRAJECTORIES // 2)))
        named = _stopped_with(stage, MADE_ANEW)
    stage.count("anew: what was open is counted", n_open, named[0])
    forget_accounts(arena, accounts)
    began = time.monotonic()
    with at_work(arena, seed, environment=PATIENT) as again:
        rest = range(TRAJECTORIES // 2, TRAJECTORIES)
        send_many(servers, AGENT_EVENTS.name, new.begun(rest))
        send_many(servers, AGENT_EVENTS.name, new.ended(_all()))
        recover_s = time.monotonic() - began + recovery(again.battle)
        # What the old log gave is still there, and the new one cannot explain it: counted below.
        again.prove(with_replay=False, without="assembled in the log")
        _count_lives(again, arena, whole, TRAJECTORIES)
        _count_lives(again, arena, new, TRAJECTORIES)
    again.checks += stage.checks
    again.battle.notes += stage.battle.notes
    told = {"open when deleted": n_open, "named": named[0]}
    return told_of("topic-made-anew", seed, again, events=whole.n_events + new.n_events + n_open,
                   recover_s=recover_s, told=told)  # fmt: skip


def _bulk(name: str, seed: int) -> Bulk:
    return Bulk(f"{name}-{seed}", datetime.now(UTC), TRAJECTORIES, STEPS, TRAJECTORIES)


def _all() -> range:
    return range(TRAJECTORIES)


def _send_both(stage: Stage, whole: Bulk, cut: Bulk) -> None:
    """Trajectories that are over, and others that are not."""
    servers = stage.battle.arena.places.bootstrap_servers
    send_many(servers, AGENT_EVENTS.name, cut.begun(_all()))
    send_many(servers, AGENT_EVENTS.name, whole.records())


def _accounts(arena: Arena) -> dict[int, Progress]:
    with LogScanner(arena.places.bootstrap_servers) as scanner:
        return newest_progress(scanner)


def _log(arena: Arena, partition: int) -> list[LogRecord]:
    with LogScanner(arena.places.bootstrap_servers) as scanner:
        return list(scanner.records(AGENT_EVENTS.name, partition))


def _create(stage: Stage) -> None:
    """The name is free only when the old topic is gone."""
    servers = stage.battle.arena.places.bootstrap_servers

    def created() -> bool:
        try:
            return AGENT_EVENTS.name in create_topics(servers, [AGENT_EVENTS])
        except CommandError:
            return False

    stage.battle.until(created, STOPS_WITHIN_S)


def _stopped_with(stage: Stage, sentence: re.Pattern[str]) -> list[int]:
    """The numbers of the sentence with which the worker stopped for good.

    Raises:
        CommandError: If it did not.
    """
    stage.may_give_up = True
    stopped = stage.battle.until(lambda: not stage.is_alive(), STOPS_WITHIN_S)
    log = stage.battle.arena.log.read_bytes()[stage.log_from :].decode(errors="replace")
    found = sentence.search(log)
    if found is None or not stopped:
        msg = f"the worker did not stop with the sentence {sentence.pattern!r}"
        raise CommandError(msg)
    return [int(number) for number in found.groups()]


def _count_lives(stage: Stage, arena: Arena, bulk: Bulk, whole: int) -> None:
    found = lives_in(arena.places.parquet_path, bulk.name)
    stage.count(f"{bulk.name}: trajectories are whole", whole, found.whole)


def _headless(arena: Arena) -> set[object]:
    with LogScanner(arena.places.bootstrap_servers) as scanner:
        return {
            place_of(refused)
            for partition in scanner.partitions(QUARANTINE.name)
            for record in scanner.records(QUARANTINE.name, partition)
            if (refused := from_record(record.key, record.value, record.headers)).reason
            == "headless"
        }
