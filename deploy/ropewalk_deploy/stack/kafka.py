"""One Kafka broker on this machine."""

import base64
import subprocess
import uuid
from pathlib import Path
from signal import SIGTERM

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ropewalk_deploy.stack import jars
from ropewalk_deploy.stack.errors import ServerError
from ropewalk_deploy.stack.kafka_config import (
    JVM_FLAGS,
    LOG4J2,
    BrokerExtras,
    server_properties,
    to_properties,
)
from ropewalk_deploy.stack.paths import Layout
from ropewalk_deploy.stack.ports import HOST, accepts
from ropewalk_deploy.stack.processes import Daemon, Progress, await_ready, launch

START_WITHIN_S = 90
STOP_WITHIN_S = 45
FORMAT_TIMEOUT_S = 120


def daemon(layout: Layout) -> Daemon:
    """How to recognise the broker of this home."""
    return Daemon("Kafka", "java", _home_flag(layout), layout.kafka_log, SIGTERM)


def start(
    layout: Layout,
    *,
    port: int,
    controller_port: int,
    java: Path,
    progress: Progress,
    extras: BrokerExtras | None = None,
) -> psutil.Process:
    """Launch the broker on the data that is there, or on none; does not wait until it answers."""
    jars.ensure_jars(layout.kafka / "libs", java=java, progress=progress)
    config = layout.kafka / "config"
    config.mkdir(parents=True, exist_ok=True)
    data = layout.kafka / "data"
    settings = server_properties(
        data=data, port=port, controller_port=controller_port, extras=extras
    )
    (config / "server.properties").write_text(to_properties(settings))
    (config / "log4j2.properties").write_text(LOG4J2)
    if not (data / "meta.properties").exists():
        progress("Kafka: formatting its storage (once)")
        _format(layout, java=java)
    progress(f"Kafka: starting on {HOST}:{port}")
    java_command = _java_command(layout, java, extras or BrokerExtras())
    command = [*java_command, "kafka.Kafka", str(config / "server.properties")]
    return launch(daemon(layout), command)


def await_answer(layout: Layout, process: psutil.Process, *, port: int) -> None:
    """Return once the broker answers a metadata request as the broker of this home.

    Raises:
        ServerError: If it ends first, or does not answer in time.
    """
    expected = _cluster_id(layout.kafka / "data" / "meta.properties")
    await_ready(
        daemon(layout),
        process,
        # A client that meets a closed port backs off before it tries again: look first.
        lambda: accepts(port) and _answers(port, cluster_id=expected),
        within_s=START_WITHIN_S,
    )


def _answers(port: int, *, cluster_id: str) -> bool:
    # Level 0: a broker that is not up yet is no news to a person.
    client = AdminClient({"bootstrap.servers": f"{HOST}:{port}", "log_level": 0})
    try:
        metadata = client.list_topics(timeout=2)
    except KafkaException:
        return False
    return bool(metadata.brokers) and metadata.cluster_id == cluster_id


def _home_flag(layout: Layout) -> str:
    return f"-Dropewalk.home={layout.root}"


def _java_command(layout: Layout, java: Path, extras: BrokerExtras) -> list[str]:
    return [
        # Java opens files with other than ASCII letters in their names only under such a locale.
        *("env", "LC_ALL=C.UTF-8"),
        *(f"{name}={value}" for name, value in extras.environment.items()),
        *(str(java), *JVM_FLAGS, *extras.jvm_flags, _home_flag(layout)),
        *("-cp", f"{layout.kafka / 'config'}:{layout.kafka / 'libs'}/*"),
    ]


def _format(layout: Layout, *, java: Path) -> None:
    command = [
        *_java_command(layout, java, BrokerExtras()),
        *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
        *("--cluster-id", _new_cluster_id()),
        *("--config", str(layout.kafka / "config" / "server.properties")),
    ]
    run = subprocess.run(  # noqa: S603 - the arguments are paths of our own
        command, check=False, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S
    )
    if run.returncode != 0:
        printed = (run.stdout + run.stderr)[-2000:]
        msg = (
            f"Kafka could not format its storage in {layout.kafka / 'data'}. Check that there is "
            f"room on the disk and that you own the directory.\n  {printed}"
        )
        raise ServerError(msg)


def _new_cluster_id() -> str:
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # The tool would take it for an option.
    return "A" + text[1:] if text.startswith("-") else text


def _cluster_id(meta: Path) -> str:
    entries = (line.partition("=") for line in meta.read_text().splitlines())
    return next(value for key, _, value in entries if key == "cluster.id")
