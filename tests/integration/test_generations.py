"""A window is rebuilt, compared, promoted, withdrawn and removed while programs and readers go on;
killed anywhere, the same command finishes it."""

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from tests.support.events import sent
from tests.support.late_events import N_EVENTS, a_life, early, late, rewards
from tests.support.pipeline import LIMITS, Pipeline, wait_for

from ropewalk_deploy.audit.generations import half_done as lines_of
from ropewalk_deploy.audit.status import gather
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations import building, promoting, removing
from ropewalk_deploy.generations.building import Order, reprocess
from ropewalk_deploy.generations.choice import Choice, parse_ranges
from ropewalk_deploy.generations.comparing import Comparison, comparable
from ropewalk_deploy.generations.promoting import promote
from ropewalk_deploy.generations.removing import remove
from ropewalk_deploy.kafka import LogScanner, send_again
from ropewalk_schemas.events import LifeEvent
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_sinks import parquet_promotion, postgres_generations, postgres_promotion
from ropewalk_sinks.erase import erase
from ropewalk_sinks.erasure import Subject
from ropewalk_sinks.errors import GenerationError
from ropewalk_sinks.postgres_generations import Generation, open_register, read_generations
from ropewalk_sinks.postgres_tables import DEPENDENT, PARTS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

N, N_LATE = 12, 3
SHORT = {"settle_ms": 500, "idle_ms": 2_000}
LONGER = Settings(default=Limits(settle_ms=2_000, idle_ms=600_000))


@dataclass
class Scene:
    """A window with trajectories whose second half came too late, beside whole ones."""

    pipeline: Pipeline
    project: str
    window: str
    late: list[str]
    n_parts: int

    def order(self, name: str) -> Order:
        return Order(name, Choice(parse_ranges([self.window]), self.project), LONGER)

    def reprocess(self, name: str) -> None:
        reprocess(self.pipeline.places, self.order(name), timeout_s=60, share=lambda _: None)

    def promote(self, name: str) -> None:
        promote(self.pipeline.places, name)

    def events_in_stores(self) -> tuple[int, int]:
        """Events of this project as readers see them, in Postgres and in Parquet."""
        postgres = self.postgres("SELECT sum(n_events) FROM trajectories WHERE project = %s")
        return postgres[0], self.parquet("sum(n_events)")[0]

    def tables(self, schema: str) -> dict[str, list[str]]:
        """Every row of the scene's trajectories, as text."""
        names = [table.name for table in (*DEPENDENT, PARTS)]
        with psycopg.connect(self.pipeline.places.postgres_dsn) as connection:
            return {
                name: [
                    row
                    for (row,) in connection.execute(
                        f"SELECT t::text FROM {schema}.{name} t"
                        " WHERE trajectory_id LIKE 'gen-%' ORDER BY 1".encode()
                    )
                ]
                for name in names
            }

    def postgres(self, query: str) -> tuple[Any, ...]:
        with psycopg.connect(self.pipeline.places.postgres_dsn) as connection:
            row = connection.execute(query.encode(), [self.project]).fetchone()
            assert row is not None
            return row

    def parquet(self, columns: str) -> tuple[Any, ...]:
        files = self.pipeline.places.parquet_path / "trajectories" / "**" / "*.parquet"
        with duckdb.connect() as connection:
            query = f"SELECT {columns} FROM read_parquet('{files}') WHERE project = ?"
            row = connection.execute(query, [self.project]).fetchone()
            assert row is not None
            return row


@pytest.fixture(scope="module")
def running(pipeline: Pipeline) -> Iterator[Pipeline]:
    limits = {**LIMITS, "projects": {"gen": SHORT}}
    own = replace(
        pipeline, environment=pipeline.environment | {"ROPEWALK_LIMITS": json.dumps(limits)}
    )
    with own.running():
        own.wait_until_owned()
        yield own


@pytest.fixture(scope="module")
def scene(running: Pipeline) -> Iterator[Scene]:
    # A window of its own: no other test's trajectories are in it.
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(days=200)
    lives = {f"gen-{n}": a_life(f"gen-{n}", begun) for n in range(N)}
    for life in lives.values():
        life[:] = [event.model_copy(update={"project": "gen"}) for event in life]
    servers, ids = running.places.bootstrap_servers, list(lives)
    first = [e for t in ids for e in (early(lives[t]) if t in ids[:N_LATE] else lives[t])]
    send_again(servers, AGENT_EVENTS.name, sent(first))
    running.wait_until_settled()
    rest = [e for t in ids[:N_LATE] for e in [*late(lives[t]), *rewards(t, begun)]]
    send_again(servers, AGENT_EVENTS.name, sent(rest))
    running.wait_until_settled()
    window = begun.replace(minute=0, second=0)
    yield Scene(running, "gen", f"{window:%Y-%m-%dT%H:%M:%SZ}/3600s", ids[:N_LATE], N)
    assert read_generations(running.places.postgres_dsn) == []
    running.verify()


OLD = (N - N_LATE) * N_EVENTS + N_LATE * 3
NEW = N * N_EVENTS


class Looking:
    """Readers of both stores in a loop: each look must find one of the two, whole."""

    def __init__(self, scene: Scene) -> None:
        self.seen: Counter[tuple[str, Any]] = Counter()
        self._scene = scene
        self._stop = threading.Event()
        looks: tuple[Callable[[], tuple[Any, ...]], ...] = (self._postgres, self._parquet)
        self._threads = [threading.Thread(target=self._loop, args=(look,)) for look in looks]

    def _postgres(self) -> tuple[Any, ...]:
        columns = "count(*), count(DISTINCT trajectory_id), sum(n_events)"
        return self._scene.postgres(f"SELECT {columns} FROM trajectories WHERE project = %s")

    def _parquet(self) -> tuple[Any, ...]:
        return self._scene.parquet("count(*), count(DISTINCT trajectory_id), sum(n_events)")

    def _loop(self, look: Callable[[], tuple[Any, ...]]) -> None:
        while not self._stop.wait(0.02):  # leaves what is looked at some of the machine
            try:
                self.seen[look.__name__, look()] += 1
            except duckdb.IOException:  # listed before, opened after: it reads again
                self.seen[look.__name__, "again"] += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            wait_for(lambda: len(self.seen) >= 2, told="readers look")
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


def killed_at(point: str, folder: Path, pipeline: Pipeline, *command: str) -> Any:
    """What a command says when it is run again after it was killed at a point."""
    (folder / point).write_text("kill")
    done = pipeline.ropewalk(*command, changes={"ROPEWALK_FAILPOINTS": str(folder)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    return pipeline.answer(*command)


def test_late_events_are_taken_in_and_the_difference_is_told_exactly(
    scene: Scene, tmp_path: Path
) -> None:
    said = killed_at(
        "generation.published", tmp_path, scene.pipeline,
        "reprocess", "--window", scene.window, "--project", "gen", "--to", "longer",
        "--limits", LONGER.model_dump_json(),
    )  # fmt: skip
    assert {k: said[k] for k in ("trajectories", "parts", "entries", "refused", "open")} == {
        "trajectories": N, "parts": N, "entries": 3 * N_LATE, "refused": {}, "open": [],
    }  # fmt: skip
    found = scene.pipeline.answer("diff", "longer", "--limit", "1")
    assert {k: found[k] for k in ("compared", "equal", "changed", "only_now", "only_rebuilt")} == {
        "compared": N, "equal": N - N_LATE, "changed": N_LATE, "only_now": 0, "only_rebuilt": 0,
    }  # fmt: skip
    assert found["gained"] == {"headless": 4 * N_LATE}
    assert found["lost"] == {}
    assert found["rewards"] == {"step": N_LATE, "placed": N_LATE, "target": N_LATE}
    (one,) = found["trajectories"]
    t = one["trajectory_id"]
    assert t in scene.late
    assert one["why"] == [
        "takes in 4 events (4 refused before as headless)",
        "closed by idle, now by ended",
    ]
    assert [(r["why"], r["what"], r["now"], r["rebuilt"]) for r in one["rewards"]] == [
        ("step", "pnl", "-", f"step {t}-w-3"),
        ("placed", f"{t}-call", "trajectory", f"step {t}-w-3"),
        ("target", f"{t}-late", "nothing stored", f"step {t}-w-4"),
    ]
    assert scene.events_in_stores() == (OLD, OLD), "nothing that readers see has changed"
    scene.pipeline.verify()
    remove(scene.pipeline.places, "longer")


def test_readers_see_one_or_the_other_while_it_is_promoted_and_withdrawn(
    scene: Scene, tmp_path: Path
) -> None:
    scene.reprocess("there")
    before, rebuilt = scene.tables("public"), scene.tables("there")
    looking = Looking(scene)
    with looking.going_on():
        killed_at("promote.postgres.after", tmp_path, scene.pipeline, "promote", "there")
        assert scene.events_in_stores() == (NEW, NEW)
        assert (scene.tables("public"), scene.tables("there_before")) == (rebuilt, before)
        with pytest.raises(CommandError, match="is what readers see: it stays"):
            remove(scene.pipeline.places, "there")
        with pytest.raises(CommandError, match="is what readers see already"):
            scene.promote("there")
        scene.pipeline.verify()
        places = scene.pipeline.places
        found = list(Comparison(places, comparable(places, "there_before")).differences())
        assert [each.kind for each in found] == ["changed"] * N_LATE
        assert {event.refused for each in found for event in each.lost} == {"headless"}
        scene.promote("there_before")
        assert scene.events_in_stores() == (OLD, OLD)
        assert (scene.tables("public"), scene.tables("there")) == (before, rebuilt)
    wholes = {(N, N, OLD), (N, N, NEW)}
    for store in ("_postgres", "_parquet"):
        assert wholes <= {what for who, what in looking.seen if who == store}, looking.seen
    assert {what for _, what in looking.seen} <= wholes | {"again"}, looking.seen
    remove(scene.pipeline.places, "there")
    with psycopg.connect(scene.pipeline.places.postgres_dsn) as connection:
        left = connection.execute(b"SELECT count(*) FROM pg_namespace WHERE nspname ~ '^there'")
        assert left.fetchone() == (0,)
    assert not list((scene.pipeline.places.parquet_path / "_ropewalk").rglob("there*"))
    servers = scene.pipeline.places.bootstrap_servers
    with LogScanner(servers) as scanner, pytest.raises(CommandError, match="does not exist"):
        scanner.partitions("trajectories.there")


class Gone(BaseException):
    """The process is gone."""


def dies_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    def reach(passed: str) -> None:
        if passed == point:
            raise Gone

    for module in (building, promoting, removing, parquet_promotion, postgres_promotion):
        monkeypatch.setattr(module, "reach", reach)


def half_done(scene: Scene) -> list[str]:
    return lines_of(read_generations(scene.pipeline.places.postgres_dsn))


def test_dead_at_any_point_the_same_command_finishes_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_each(points: str, work: Callable[[], None], *, told: str) -> None:
        for point in points.split():
            with monkeypatch.context() as patched:
                dies_at(patched, point)
                with pytest.raises(Gone):
                    work()
            assert any(told in line for line in half_done(scene)), point
            assert set(scene.events_in_stores()) <= {OLD, NEW}, point
        work()

    def rebuild() -> None:
        scene.reprocess("dying")

    at_each("generation.begun generation.stored", rebuild, told="half built")
    known = gather(scene.pipeline.places)["generations"]
    assert known == {"states": {"dying": "built"}, "half_done": []}
    at_each(
        "promote.begun promote.postgres.before promote.postgres.after promote.parquet.before "
        "promote.parquet.exchanged promote.parquet.after",
        lambda: scene.promote("dying"),
        told="half promoted: finish with `ropewalk promote dying`",
    )
    assert scene.events_in_stores() == (NEW, NEW)
    at_each(
        "promote.undoing promote.postgres.after promote.parquet.exchanged",
        lambda: scene.promote("dying_before"),
        told="half withdrawn: finish with `ropewalk promote dying_before`",
    )
    assert scene.events_in_stores() == (OLD, OLD)
    at_each(
        "generation.removing generation.removed",
        lambda: remove(scene.pipeline.places, "dying"),
        told="half removed",
    )


def test_what_the_worker_holds_open_is_left_out_and_named(scene: Scene, unique: str) -> None:
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(days=400)
    life: list[LifeEvent] = a_life(unique, begun)
    servers = scene.pipeline.places.bootstrap_servers
    send_again(servers, AGENT_EVENTS.name, sent(early(life)))
    scene.pipeline.wait_until_settled(open_too=False)
    window = f"{begun.isoformat()}/{(begun + timedelta(seconds=1)).isoformat()}"
    order = Order("open", Choice(parse_ranges([window])), LONGER)
    built = reprocess(scene.pipeline.places, order, timeout_s=60, share=lambda _: None)
    assert (built.left_out, built.trajectories) == ([unique], 0)
    remove(scene.pipeline.places, "open")
    send_again(servers, AGENT_EVENTS.name, sent(late(life)))
    scene.pipeline.wait_until_settled()
    built = reprocess(scene.pipeline.places, order, timeout_s=60, share=lambda _: None)
    assert (built.left_out, built.trajectories) == ([], 1)
    remove(scene.pipeline.places, "open")


def test_what_cannot_be_done_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Order("x", Choice(parse_ranges(["1999-01-01T00:00:00Z/3600s"])))
    with pytest.raises(CommandError, match="no trajectory has a part in these windows"):
        reprocess(scene.pipeline.places, nothing, timeout_s=60, share=lambda _: None)
    with pytest.raises(CommandError, match="there is no generation x"):
        scene.promote("x")
    with pytest.raises(CommandError, match="there is no generation x"):
        remove(scene.pipeline.places, "x")
    with pytest.raises(CommandError, match="there is no generation x"):
        comparable(scene.pipeline.places, "x")
    monkeypatch.setattr(postgres_generations, "_LOCKED_WITHIN_S", 0.2)
    with open_register(scene.pipeline.places.postgres_dsn) as register:
        with pytest.raises(GenerationError, match="another command works on the generations"):
            scene.promote("x")
        given: dict[str, Any] = dict.fromkeys(Generation._fields)
        given |= {"name": "public", "state": "building", "ranges": [], "engine_version": "1"}
        row = Generation(**given | {"log": {}})
        with pytest.raises(GenerationError, match="that is no generation"):
            register.begin(row)


def test_an_erased_subject_is_in_no_generation(scene: Scene) -> None:
    """The last one here: what is erased stays so."""
    places, gone = scene.pipeline.places, Subject("trajectory", scene.late[0])
    scene.reprocess("kept")
    erase(
        places.postgres_dsn, places.parquet_path, gone,
        reason=None, now=datetime.now(UTC), told=lambda _: None,
    )  # fmt: skip
    scene.promote("kept")
    assert scene.events_in_stores() == (NEW - N_EVENTS,) * 2
    scene.pipeline.verify()
    scene.promote("kept_before")
    remove(places, "kept")
    built = reprocess(places, scene.order("without"), timeout_s=60, share=lambda _: None)
    assert (built.erased, built.trajectories) == (1, N - 1)
    remove(places, "without")
