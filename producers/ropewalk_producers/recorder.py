"""The recorder: what an agent service holds one of."""

import atexit
import os
from types import TracebackType
from typing import Self, Unpack
from uuid import UUID
from weakref import WeakSet

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.continuation import Continuation
from ropewalk_producers.counters import Counters, DeliveryReport
from ropewalk_producers.deltas import DeltaLimits
from ropewalk_producers.event_writer import EventWriter, Identity
from ropewalk_producers.events import (
    Fields,
    RewardOptions,
    TrajectoryOptions,
    canonical_messages,
    check_options,
    fields,
    policy_fields,
)
from ropewalk_producers.ids import EventIds, FreshIds, NewId, uuid7
from ropewalk_producers.kafka import KafkaPublisher
from ropewalk_producers.outlet import Clock, OnDelivery, Outlet, utc_now
from ropewalk_producers.publisher import Publisher
from ropewalk_producers.rewards import RewardDraft, record_reward
from ropewalk_producers.trajectory import Trajectory
from ropewalk_schemas.events import RewardSource

_MODES = ("episode", "continuous")


class Recorder:
    """Records the trajectories of a service; never blocks, never raises into the agent.

    What cannot be recorded is counted in `counters`, explained by `last_error`, and logged once
    per kind. At the end of the process unsent events get `settings.exit_timeout_s`; `close` says
    what was delivered. In a forked child the recorder starts anew, with its own connection and
    counts, and must be closed there (`os._exit`, as multiprocessing ends its children, waits for
    nothing).

    Args:
        settings: Checked when made.
        publisher: What carries the events; Kafka when None.
        clock: Gives aware datetimes.
        new_id: Gives unique text.
        on_delivery: Hears the outcome of every accepted event, from a background thread.

    Raises:
        SettingsError: If Kafka's client refuses the settings.
    """

    def __init__(
        self,
        settings: RecorderSettings,
        *,
        publisher: Publisher | None = None,
        clock: Clock = utc_now,
        new_id: NewId = uuid7,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        self.settings = settings
        self._outlet = Outlet(
            KafkaPublisher(settings) if publisher is None else publisher,
            clock=clock,
            new_id=new_id,
            on_delivery=on_delivery,
        )
        self._writers: WeakSet[EventWriter] = WeakSet()
        self._limits = DeltaLimits(
            full_every=settings.full_every,
            idle_s=settings.idle_ms / 2000,
            full_for_s=settings.duration_ms / 2000,
        )
        source = {"service": settings.service}
        source |= {"instance": settings.instance} if settings.instance else {}
        source |= {"version": settings.version} if settings.version else {}
        self._source = source
        _recorders.add(self)

    def trajectory(self, *, agent_id: str, **options: Unpack[TrajectoryOptions]) -> Trajectory:
        """Begin a trajectory; its start is sent at once.

        Args:
            agent_id: Who acts.
            options: See `TrajectoryOptions`.
        """
        new_id = self._outlet.new_id
        given_id = options.get("trajectory_id")
        started_at = options.get("started_at")
        identity = Identity(
            trajectory_id=str(given_id)
            if isinstance(given_id, UUID)
            else new_id()
            if given_id is None
            else given_id,
            agent_id=agent_id,
            project=options.get("project") or self.settings.project,
            started_at=self._outlet.clock() if started_at is None else started_at,
            episode_id=options.get("episode_id"),
            source=self._source,
        )
        out = self._writer(identity, options.get("writer"), options.get("ids"))
        trajectory = Trajectory(out, follows=False)
        mode = options.get("mode", "episode")
        bare: Fields = {"mode": mode} if mode in _MODES else {}
        trajectory.emit_start(lambda _: _started(options), bare)
        return trajectory

    def resume(
        self,
        continuation: Continuation,
        *,
        writer: str | None = None,
        ids: EventIds | None = None,
    ) -> Trajectory:
        """Go on with a trajectory as another writer; leaving its block closes that writer."""
        identity = Identity(
            trajectory_id=getattr(continuation, "trajectory_id", ""),
            agent_id=getattr(continuation, "agent_id", ""),
            project=getattr(continuation, "project", ""),
            started_at=getattr(continuation, "started_at", ""),
            episode_id=getattr(continuation, "episode_id", None),
            source=self._source,
        )
        return Trajectory(self._writer(identity, writer, ids), follows=True)

    def reward(
        self,
        trajectory_id: str,
        name: str,
        value: float,
        *,
        source: RewardSource,
        project: str | None = None,
        **options: Unpack[RewardOptions],
    ) -> str:
        """Record a ledger entry of any trajectory, at any time; returns its reward_id."""
        project = project or self.settings.project
        draft = RewardDraft(project, trajectory_id, name, value, source, options)
        return record_reward(self._outlet, draft, self._outlet.new_id)

    @property
    def counters(self) -> Counters:
        """What became of all events so far."""
        return self._outlet.counters

    @property
    def last_error(self) -> str | None:
        """The newest problem, in one sentence."""
        return self._outlet.last_error

    def close(self, timeout: float = 10.0) -> DeliveryReport:
        """Send what is waiting, for at most `timeout` seconds; later events are refused.

        What is not acknowledged by then is given up. A second call gives the same report.
        """
        return self._outlet.close(timeout)

    def after_fork(self) -> None:
        """Start anew in a forked child; called by the interpreter."""
        self._outlet.after_fork()
        for writer in list(self._writers):
            writer.become_fresh()

    def _writer(self, identity: Identity, writer: str | None, ids: EventIds | None) -> EventWriter:
        new_id = self._outlet.new_id
        out = EventWriter(
            self._outlet,
            identity,
            self._limits,
            writer=writer or new_id(),
            ids=ids or FreshIds(new_id),
        )
        self._writers.add(out)
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _started(options: TrajectoryOptions) -> Fields:
    check_options(options, TrajectoryOptions)
    mode = options.get("mode")
    return fields(
        scenario=options.get("scenario"),
        policy=policy_fields(options.get("policy")),
        goal=options.get("goal"),
        seed=options.get("seed"),
        group_key=options.get("group_key"),
        mode=None if mode == "episode" else mode,
        metadata=options.get("metadata"),
        messages=canonical_messages(options.get("messages") or ()),
    )


_recorders: WeakSet[Recorder] = WeakSet()


def _after_fork() -> None:
    for recorder in list(_recorders):
        recorder.after_fork()


def _at_exit() -> None:
    for recorder in list(_recorders):
        recorder.close(recorder.settings.exit_timeout_s)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
