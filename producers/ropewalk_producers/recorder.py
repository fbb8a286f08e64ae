"""The recorder: what an agent service holds one of."""

import atexit
import os
from collections.abc import Callable
from dataclasses import fields as fields_of
from types import TracebackType
from typing import Any, Self, Unpack
from weakref import WeakSet

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.counters import Counters, DeliveryReport
from ropewalk_producers.deltas import DeltaLimits
from ropewalk_producers.errors import RefusedError
from ropewalk_producers.event_writer import EventWriter
from ropewalk_producers.events import (
    Fields,
    RewardOptions,
    TrajectoryOptions,
    canonical_messages,
    check_options,
    fields,
    instant,
    policy_fields,
)
from ropewalk_producers.identity import Continuation, Identity, continuation, text
from ropewalk_producers.ids import EventIds, FreshIds, NewId, uuid7
from ropewalk_producers.kafka import KafkaPublisher
from ropewalk_producers.outlet import Clock, OnDelivery, Outlet, utc_now
from ropewalk_producers.publisher import Publisher
from ropewalk_producers.redaction.policy import Policy, Redact, policy_of
from ropewalk_producers.rewards import RewardDraft, record_reward
from ropewalk_producers.trajectory import Trajectory
from ropewalk_schemas.events import RewardSource

_TOLD = tuple(field.name for field in fields_of(Continuation))
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
        publisher: What carries the events; Kafka when None, from memory or a spool.
        clock: Gives aware datetimes.
        new_id: Gives unique text.
        on_delivery: Hears the outcome of every accepted event, from a background thread. With
            `spool_ack` ``disk`` it hears again of an event that Kafka refuses later.
        redact_value: Given the path of each text and number an agent may choose, and the value;
            gives what is sent instead, in the agent's thread. See docs/redaction.md.

    Raises:
        SettingsError: If Kafka's client refuses the settings, the spool's folder cannot be used, or
            `redact_value` is no plain function.
    """

    def __init__(
        self,
        settings: RecorderSettings,
        *,
        publisher: Publisher | None = None,
        clock: Clock = utc_now,
        new_id: NewId = uuid7,
        on_delivery: OnDelivery | None = None,
        redact_value: Redact | None = None,
    ) -> None:
        self.settings = settings
        self._outlet = Outlet(
            _publisher(settings) if publisher is None else publisher,
            clock=clock,
            new_id=new_id,
            policy=_policy(settings, redact_value),
            on_delivery=on_delivery,
            heard_on_disk=settings.spool_ack == "disk",
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

        When there is no room for new trajectories, nothing of it is recorded, and that is counted.

        Args:
            agent_id: Who acts.
            options: See `TrajectoryOptions`.
        """
        now, own_id = self._outlet.clock(), self._outlet.new_id()

        def described() -> Continuation:
            return continuation(
                trajectory_id=_given(options.get("trajectory_id"), own_id),
                started_at=_given(options.get("started_at"), now),
                agent_id=agent_id,
                episode_id=options.get("episode_id"),
                project=_given(options.get("project"), self.settings.project),
            )

        out = self._writer(
            described, options.get("writer"), options.get("ids"), self._outlet.refusal()
        )
        trajectory = Trajectory(out, follows=False)
        mode = options.get("mode", "episode")
        bare: Fields = {"mode": mode} if type(mode) is str and mode in _MODES else {}
        trajectory.emit_start(lambda _: _started(options), bare)
        return trajectory

    def resume(
        self,
        told: Continuation,
        *,
        writer: str | None = None,
        ids: EventIds | None = None,
    ) -> Trajectory:
        """Go on with a trajectory as another writer; leaving its block closes that writer."""

        def described() -> Continuation:
            return continuation(**{name: getattr(told, name) for name in _TOLD})

        return Trajectory(self._writer(described, writer, ids), follows=True)

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
        project = _given(project, self.settings.project)
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

        What is not acknowledged by then is given up, or left in the spool. A second call gives the
        same report.
        """
        return self._outlet.close(timeout)

    def after_fork(self) -> None:
        """Start anew in a forked child; called by the interpreter."""
        self._outlet.after_fork()
        for writer in list(self._writers):
            writer.become_fresh()

    def _writer(
        self,
        described: Callable[[], Continuation],
        writer: str | None,
        ids: EventIds | None,
        refusal: RefusedError | None = None,
    ) -> EventWriter:
        new_id = self._outlet.new_id
        own_id = new_id()
        try:
            writer = text("writer", _given(writer, own_id))
            identity = Identity(described(), writer, self._source, unusable=refusal)
        except Exception as cause:
            now = instant(self._outlet.clock())
            nobody = Continuation(new_id(), now, "", None, self.settings.project)
            identity = Identity(nobody, own_id, self._source, unusable=cause)
        out = EventWriter(self._outlet, identity, self._limits, _given(ids, FreshIds(new_id)))
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


def _publisher(settings: RecorderSettings) -> Publisher:
    kafka = KafkaPublisher(settings)
    if settings.durability == "memory":
        return kafka
    # Locks of files are not on every system that a recorder runs on.
    from ropewalk_producers.spool.publisher import SpoolPublisher  # noqa: PLC0415

    return SpoolPublisher(settings, kafka)


def _policy(settings: RecorderSettings, function: Redact | None) -> Policy:
    return policy_of(settings.redact, settings.redact_patterns, settings.redact_paths, function)


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


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
        # A spool is closed in any case: what is left of it would look like a dead process's.
        if recorder.counters.in_flight or recorder.settings.durability == "spool":
            recorder.close(recorder.settings.exit_timeout_s)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
