"""Starts a worker: checks the topics, then hands over to Faust."""

import gc
import logging
import time

from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_stream_processors.app import create_app, run_app
from ropewalk_stream_processors.checks import NEEDED, check_topics, kafka_needs
from ropewalk_stream_processors.config import WorkerSettings
from ropewalk_stream_processors.kafka import GroupBroker, Publisher, describe_topics
from ropewalk_stream_processors.partitions import Partitions
from ropewalk_stream_processors.transport import die
from ropewalk_stream_processors.watch import Watch

log = logging.getLogger(__name__)


def run_worker(settings: WorkerSettings) -> None:
    """Run one worker until a signal stops it; exits the process.

    Raises:
        WorkerError: If the broker does not answer or the topics do not fit.
    """
    names = [spec.name for spec in NEEDED]
    servers, security = settings.bootstrap_servers, settings.kafka_security
    needs = kafka_needs(settings.worker_group)
    n_partitions = check_topics(describe_topics(servers, names, security, needs))
    fields = {"name": settings.worker_name, "partitions": n_partitions}
    log.info("worker starts", extra={"fields": fields})
    publisher = Publisher(servers, timeout_s=settings.publish_timeout_s, security=security)
    partitions = Partitions(settings, publisher, n_partitions=n_partitions, clock=time.monotonic)
    broker = GroupBroker(servers, AGENT_EVENTS.name, settings.worker_group, security)
    Watch(broker, partitions, settings.session_timeout_s).start(die)
    # Open trajectories are many long-lived objects: collecting them often costs a third.
    gc.set_threshold(50_000, 50, 50)
    run_app(create_app(settings, partitions))
