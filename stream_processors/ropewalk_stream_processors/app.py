"""The Faust app: process, group membership, rebalancing. Records go to `Partitions` in batches."""

import logging
import os
import signal
import threading
from collections.abc import AsyncIterator
from tempfile import gettempdir
from typing import Any

import faust
from faust.auth import Credentials, SASLCredentials, SSLCredentials

from ropewalk_schemas.kafka_security import KafkaSecurity
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_stream_processors.config import WorkerSettings
from ropewalk_stream_processors.partitions import Partitions
from ropewalk_stream_processors.transport import FAUST_LOG, BatchTransport

log = logging.getLogger(__name__)
STOP_WITHIN_S = 10.0
MAX_FETCH_BYTES = 4 * 1024 * 1024  # a larger record still comes, alone


class WorkerApp(faust.App):
    """A Faust app that owns the engines of its partitions."""

    logger = FAUST_LOG
    mundane_level = "debug"  # mode's own starting and stopping lines say nothing to an operator
    partitions: Partitions


def credentials(security: KafkaSecurity) -> Credentials | None:
    """TLS and SASL as Faust takes them; None for an open broker."""
    context = security.ssl_context()
    if security.uses_sasl:
        return SASLCredentials(
            username=security.username,
            password=security.password.get_secret_value(),
            mechanism=security.sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None


def create_app(settings: WorkerSettings, partitions: Partitions) -> WorkerApp:
    """The app of one worker; nothing is connected before it runs."""
    app = WorkerApp(
        settings.worker_group,
        broker=";".join(f"kafka://{host}" for host in settings.bootstrap_servers.split(",")),
        broker_credentials=credentials(settings.kafka_security),
        broker_commit_interval=settings.commit_interval_s,
        broker_heartbeat_interval=settings.session_timeout_s / 5,
        broker_max_poll_records=10_000,
        broker_rebalance_timeout=settings.session_timeout_s,
        broker_session_timeout=settings.session_timeout_s,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.instance_id,
        consumer_max_fetch_size=MAX_FETCH_BYTES,
        datadir=f"{gettempdir()}/ropewalk-faust",
        reply_create_topic=False,
        stream_recovery_delay=0.0,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.partitions = partitions
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    topic = app.topic(
        AGENT_EVENTS.name,
        key_serializer="raw",
        key_type=bytes,
        value_serializer="raw",
        value_type=bytes,
    )

    @app.agent(topic)
    async def subscribe(stream: Any) -> AsyncIterator[None]:
        """Keeps the topic subscribed; the batch consumer never lets a record get here."""
        async for _ in stream:
            msg = "a record came through Faust's own path: its hooks have changed"
            raise RuntimeError(msg)
            yield

    return app


class Shell(faust.Worker):
    """Faust's worker, which a signal ends in any case: state is the log, so nothing is lost.

    Faust's own shutdown can wait for ever when a rebalance is under way.
    """

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        deadline = threading.Timer(STOP_WITHIN_S, _leave)
        deadline.daemon = True
        deadline.start()
        super()._schedule_shutdown(signal)


def _leave() -> None:
    log.warning("shutdown took too long; leaving", extra={"fields": {"after_s": STOP_WITHIN_S}})
    logging.shutdown()
    os._exit(0)


def run_app(app: WorkerApp) -> None:
    """Run until a signal stops it; exits the process."""
    worker = Shell(
        app,
        quiet=True,
        loglevel=logging.WARNING,
        logging_config={"version": 1, "disable_existing_loggers": False},
        redirect_stdouts=False,
        override_logging=False,
    )
    worker.spinner = None  # it writes control characters, also into files
    worker.execute_from_commandline()
