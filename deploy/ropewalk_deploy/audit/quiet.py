"""Waits until everything in the logs has had its consequences."""

from ropewalk_deploy.audit.readers import Ends, newest_progress, wait_until
from ropewalk_deploy.audit.verify import stores
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.topics import AGENT_EVENTS, OUTCOMES, QUARANTINE, TRAJECTORIES
from ropewalk_sinks.config import SettlementSettings
from ropewalk_sinks.errors import SinkError
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.judging.rubric import DEFAULT_RUBRIC
from ropewalk_sinks.judging.runner import is_judged
from ropewalk_sinks.settlement.pending import is_settled

READ_BY = {
    "postgres": (TRAJECTORIES.name, QUARANTINE.name, OUTCOMES.name),
    "parquet": (TRAJECTORIES.name, QUARANTINE.name),
}


def wait_until_quiet(places: Endpoints, *, judge: JudgeSettings | None, timeout_s: float) -> int:
    """The newest broker time in the log, in milliseconds, once nothing is left to do.

    Then no trajectory is open, both sinks have stored the logs, every claim with an outcome is
    settled and, where a judge is at work, every group is judged.

    Raises:
        CommandError: If that takes longer than `timeout_s` seconds, saying what is left.
    """
    settlement = SettlementSettings.load(
        bootstrap_servers=places.bootstrap_servers, postgres_dsn=places.postgres_dsn
    )
    left = ""

    def is_quiet() -> bool:
        nonlocal left
        try:
            with LogScanner(places.bootstrap_servers) as scanner:
                left = _left(scanner, places, settlement, judge)
        except (CommandError, SinkError) as error:  # a server is away for a while
            left = str(error)
        return not left

    if not wait_until(is_quiet, timeout_s=timeout_s, every_s=0.5):
        msg = f"not everything was done within {timeout_s:.0f} s: {left}; the log says why"
        raise CommandError(msg)
    with LogScanner(places.bootstrap_servers) as scanner:
        return _newest_ms(scanner)


def _left(
    scanner: LogScanner,
    places: Endpoints,
    settlement: SettlementSettings,
    judge: JudgeSettings | None,
) -> str:
    """What is left to do; what consumes is asked before what produces, and no log may grow."""
    ends = _ends(scanner)
    if unfinished := _unfinished(scanner, places, ends):
        return unfinished
    if not is_settled(settlement):
        return "settlement has claims to settle"
    if judge is not None and not is_judged(judge, DEFAULT_RUBRIC):
        return "the judge has groups to judge"
    return "" if _ends(scanner) == ends else "the logs grow"


def _ends(scanner: LogScanner) -> Ends:
    return {
        (topic.name, partition): scanner.bounds(topic.name, partition).end
        for topic in (AGENT_EVENTS, TRAJECTORIES, OUTCOMES, QUARANTINE)
        for partition in scanner.partitions(topic.name)
    }


def _unfinished(scanner: LogScanner, places: Endpoints, ends: Ends) -> str:
    """What has not come to the end of its log; empty when all has."""
    accounts = newest_progress(scanner)
    for (topic, partition), end in ends.items():
        account = accounts.get(partition)
        if topic == AGENT_EVENTS.name:
            if account is None or account.next_offset < end:
                return f"the worker is behind in partition {partition}"
            if account.open_events:
                return f"trajectories are open in partition {partition}"
    for stored in stores(places):
        offsets = stored.offsets()
        for (topic, partition), end in ends.items():
            if topic in READ_BY[stored.sink] and offsets.get((topic, partition), 0) < end:
                return f"the {stored.sink} sink is behind in {topic}/{partition}"
    return ""


def _newest_ms(scanner: LogScanner) -> int:
    newest = 0
    for partition in scanner.partitions(AGENT_EVENTS.name):
        end = scanner.bounds(AGENT_EVENTS.name, partition).end
        for record in scanner.records(AGENT_EVENTS.name, partition, start=end - 1):
            newest = max(newest, record.timestamp_ms)
    return newest
