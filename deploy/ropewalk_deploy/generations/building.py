"""`ropewalk reprocess`: rebuilds whole trajectories of a range beside what readers see."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ropewalk_deploy import config
from ropewalk_deploy.audit.readers import Share, wait_until
from ropewalk_deploy.audit.verify import stores
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations.choice import Choice
from ropewalk_deploy.generations.names import check_name, topic_of, topics_of
from ropewalk_deploy.generations.places import within
from ropewalk_deploy.generations.planning import Plan, make_plan
from ropewalk_deploy.generations.reading import Source, read_sources
from ropewalk_deploy.generations.rebuilding import outputs_of
from ropewalk_deploy.generations.removing import remove_remains
from ropewalk_deploy.generations.storing import store
from ropewalk_deploy.kafka import LogScanner, create_topics
from ropewalk_schemas.failpoints import reach
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.published import TRAJECTORY_KIND
from ropewalk_schemas.quarantine import from_record
from ropewalk_schemas.topics import KIND_HEADER, QUARANTINE, TRAJECTORIES
from ropewalk_sinks.erasure import Erasures
from ropewalk_sinks.erasures import all_erasures
from ropewalk_sinks.postgres_generations import Generation, Register, open_register
from ropewalk_sinks.postgres_migrations import migrate
from ropewalk_stream_processors.kafka import LogReader, Publisher
from ropewalk_stream_processors.partitions import ENGINE_VERSION
from ropewalk_stream_processors.trajectory.records import Output

PUBLISHED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be rebuilt: by which name, which windows, by which limits (None: the log's)."""

    name: str
    choice: Choice
    limits: Settings | None = None


@dataclass
class Built:
    """What came of it.

    Attributes:
        left_out: Chosen trajectories that the worker holds open: they have no end yet.
        erased: Chosen trajectories of erased subjects, which no store may hold.
        poison_taken: Records that were skipped as poison and are events now.
        poison_refused: Records on which today's engine fails as well.
    """

    trajectories: int = 0
    parts: int = 0
    entries: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    erased: int = 0
    poison_taken: int = 0
    poison_refused: int = 0

    def counts(self) -> dict[str, Any]:
        """As the register keeps them."""
        return {
            "trajectories": self.trajectories,
            "parts": self.parts,
            "entries": self.entries,
            "refused": dict(self.refused),
            "left_open": len(self.left_out),
            "erased": self.erased,
            "poison_taken": self.poison_taken,
            "poison_refused": self.poison_refused,
        }


def reprocess(places: Endpoints, order: Order, *, timeout_s: float, share: Share) -> Built:
    """Rebuild what is ordered; interrupted, it is simply run again.

    Args:
        places: Where the log and the stores are.
        order: What to rebuild.
        timeout_s: How long the sinks may take to store what is in the log now.
        share: Told the share that is done.

    Raises:
        CommandError: If it cannot be rebuilt as it was meant.
        SinkError: If a store refuses.
    """
    name = check_name(order.name)
    with open_register(places.postgres_dsn) as register:
        _require_free(register, name)
        with (
            LogScanner(places.bootstrap_servers) as scanner,
            LogReader(places.bootstrap_servers, config.kafka_security()) as reader,
        ):
            sources = read_sources(scanner, reader, order.limits)
            _wait_for_sinks(places, scanner, timeout_s)
            erasures = all_erasures(places.postgres_dsn, places.parquet_path)
            erased = _erased(erasures)
            plan = make_plan(
                register, order.choice, sources, erasures, lambda done: share(done * 0.5)
            )
            remove_remains(places, register, name)
            register.begin(_row(order, sources), plan.members)
            reach("generation.begun")
            create_topics(places.bootstrap_servers, topics_of(name, _n_partitions(sources)))
            built = _publish(places, name, plan, lambda done: share(0.5 + done * 0.2))
        reach("generation.published")
        migrate(within(places, name).postgres_dsn)
        store(places, name, lambda done: share(0.7 + done * 0.3))
        reach("generation.stored")
        if _erased(all_erasures(places.postgres_dsn, places.parquet_path)) != erased:
            remove_remains(places, register, name)
            msg = "somebody was erased meanwhile, so nothing was kept: run this again"
            raise CommandError(msg)
        register.built(name, built.counts())
    return built


def _erased(erasures: Erasures) -> set[object]:
    """Who is erased, as of now: what is found later is added to what is asked."""
    return {*erasures.agents, *erasures.trajectories}


def _require_free(register: Register, name: str) -> None:
    known = register.get(name)
    if known is not None and known.state not in ("building", "removing"):
        msg = (
            f"generation {name} is there already ({known.state}): choose another name, or remove "
            f"it with `ropewalk generations rm {name}`"
        )
        raise CommandError(msg)


def _wait_for_sinks(places: Endpoints, scanner: LogScanner, timeout_s: float) -> None:
    """What the worker has accounted for must be what readers see, before the two are compared."""
    ends = {
        (topic.name, partition): scanner.bounds(topic.name, partition).end
        for topic in (TRAJECTORIES, QUARANTINE)
        for partition in scanner.partitions(topic.name)
    }
    for stored in stores(places):

        def has_all() -> bool:
            offsets = stored.offsets()  # noqa: B023 - called in this turn of the loop only
            return all(offsets.get(at, 0) >= end for at, end in ends.items())

        if not wait_until(has_all, timeout_s=timeout_s):
            msg = (
                f"the {stored.sink} sink has not stored what was in the log {timeout_s:.0f} s ago: "
                "is it running? `ropewalk status` says how far it is"
            )
            raise CommandError(msg)


def _n_partitions(sources: dict[int, Source]) -> int:
    return max(source.log.n_partitions for source in sources.values())


def _row(order: Order, sources: dict[int, Source]) -> Generation:
    return Generation(
        name=order.name,
        state="building",
        replaced_by=None,
        ranges=[each.text() for each in order.choice.ranges],
        project=order.choice.project,
        limits=None if order.limits is None else order.limits.model_dump(mode="json"),
        engine_version=ENGINE_VERSION,
        log={str(p): [source.start, source.end] for p, source in sources.items()},
        counts={},
        in_postgres=False,
        in_parquet=False,
        begun_at=datetime.now(UTC),
        built_at=None,
        promoted_at=None,
    )


def _publish(places: Endpoints, name: str, plan: Plan, share: Share) -> Built:
    """Write what the log gives for the chosen trajectories into the generation's topics."""
    built = Built(left_out=plan.left_out, erased=plan.n_erased)
    published: set[bytes | None] = set()
    publisher = Publisher(
        places.bootstrap_servers,
        timeout_s=PUBLISHED_WITHIN_S,
        security=config.kafka_security(),
    )
    for n_done, (partition, log) in enumerate(plan.logs.items(), 1):
        found = plan.found[partition]
        built.poison_taken += len(found.tried)
        built.poison_refused += len(found.poison)
        for output in outputs_of(log, plan.members, found.poison):
            topic = topic_of(output.topic, name)
            publisher.send(topic, partition, output.key, output.value, output.headers)
            if _count(built, output):
                published.add(output.key)
        publisher.flush()
        share(n_done / len(plan.logs))
    built.trajectories = len(published)
    return built


def _count(built: Built, output: Output) -> bool:
    """Count one output; whether it is a part."""
    if output.topic != TRAJECTORIES.name:
        built.refused[from_record(output.key, output.value, output.headers).reason] += 1
        return False
    is_part = (KIND_HEADER, TRAJECTORY_KIND) in output.headers
    built.parts += is_part
    built.entries += not is_part
    return is_part
