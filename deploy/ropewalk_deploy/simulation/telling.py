"""Tells, round by round, what became known after the play, and keeps the ledger of it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random

from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import send_again
from ropewalk_deploy.simulation.afterwards import REVIEW, Review, Round
from ropewalk_deploy.simulation.ledger import SUFFIX, LedgerWriter
from ropewalk_deploy.simulation.ledger_lines import Moment, Resolved, Told
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.recording import Unruly, WitnessedPublisher
from ropewalk_producers import Recorder, RecorderSettings
from ropewalk_producers.kafka import KafkaPublisher
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.fields import format_instant
from ropewalk_schemas.outcomes import Outcome
from ropewalk_schemas.topics import OUTCOMES

# Read after the files of the processes, whose names begin with p.
FILE = f"q-afterwards{SUFFIX}"
CLOSE_TIMEOUT_S = 60.0

CaughtUp = Callable[[str], Moment]
"""Told what has been sent; returns once all of it has had its consequences."""


def tell(
    rounds: Sequence[Round],
    options: SimulationOptions,
    settings: RecorderSettings,
    caught_up: CaughtUp | None,
) -> None:
    """Send the rounds; when `caught_up` is given, note the moments between them.

    Raises:
        CommandError: If not everything was acknowledged.
    """
    with LedgerWriter(options.ledger / FILE) as ledger:
        if caught_up is not None:
            ledger.write(caught_up("the play"))
        for number, told in enumerate(rounds, start=1):
            _publish(told.outcomes, settings, ledger)
            _review(told.reviews, options, settings, ledger)
            if caught_up is not None:
                ledger.write(caught_up(f"round {number}"))


def _publish(outcomes: Sequence[Outcome], settings: RecorderSettings, ledger: LedgerWriter) -> None:
    for outcome in outcomes:
        at = format_instant(outcome.occurred_at)
        ledger.write(Resolved(outcome.outcome_key, outcome.version, at, outcome.values))
    records = (
        (outcome.outcome_key.encode(), to_json(outcome.model_dump(mode="json")))
        for outcome in outcomes
    )
    times_ms = send_again(settings.bootstrap_servers, OUTCOMES.name, records)
    for outcome, at_ms in zip(outcomes, times_ms, strict=True):
        ledger.write(Told(outcome.outcome_key, outcome.version, at_ms))


def _review(
    reviews: Sequence[Review],
    options: SimulationOptions,
    settings: RecorderSettings,
    ledger: LedgerWriter,
) -> None:
    rng = Random(f"{options.seed}/reviewing")  # noqa: S311 - a simulation
    publisher = WitnessedPublisher(
        KafkaPublisher(settings), ledger, rng=rng, unruly=Unruly(options.duplicates)
    )
    recorder = Recorder(settings, publisher=publisher)
    for review in reviews:
        recorder.reward(
            review.trajectory_id,
            REVIEW,
            review.value,
            source="human",
            supersedes=review.supersedes,
            reason="looked at again",
            reward_id=review.reward_id,
            at=datetime.now(UTC),
        )
    report = recorder.close(CLOSE_TIMEOUT_S)
    if not report.complete:
        msg = f"not every review was acknowledged: {report} ({recorder.last_error})"
        raise CommandError(msg)
