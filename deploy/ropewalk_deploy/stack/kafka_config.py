"""PURE. What a single Kafka broker for one machine is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ropewalk_deploy.stack.ports import HOST

NODE_ID = 1
MIB = 1024 * 1024
FIRST_NON_ASCII = 0x80

# Trajectory records reach 40 MB; framing and batches of several need some room above it.
# Only a ceiling: every topic sets its own, smaller max.message.bytes.
LARGEST_MESSAGE_BYTES = 48 * MIB

JVM_FLAGS = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError")

LOG4J2 = """\
status = warn
# Else the last words of a broker that stops are lost.
shutdownHook = disable
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
rootLogger.appenderRef.console.ref = console
rootLogger.appenderRef.console.level = warn

appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601}{UTC}Z %p %m (%c)%n

appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${sys:ropewalk.home}/kafka/log/server.log
appender.file.filePattern = ${sys:ropewalk.home}/kafka/log/server.%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601}{UTC}Z %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
"""


@dataclass(frozen=True, slots=True)
class BrokerExtras:
    """What a test adds to a broker.

    Args:
        jvm_flags: After our own.
        environment: Of its process, beside ours.
        led: A second listener: its port, and the port that its clients are told to connect to,
            where whoever reads along leads them back to the first.
    """

    jvm_flags: tuple[str, ...] = ()
    led: tuple[int, int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def properties(self) -> dict[str, str]:
        """The second listener's settings, to be appended to those of the first."""
        if self.led is None:
            return {}
        port, told = self.led
        return {
            "listeners": f",LED://{HOST}:{port}",
            "advertised.listeners": f",LED://{HOST}:{told}",
            "listener.security.protocol.map": ",LED:PLAINTEXT",
        }


def server_properties(
    *, data: Path, port: int, controller_port: int, extras: BrokerExtras | None = None
) -> dict[str, str | int]:
    """Settings of a broker that is its own controller, reachable from this machine only."""
    settings = _alone(data, port, controller_port)
    for name, more in (extras or BrokerExtras()).properties().items():
        settings[name] = f"{settings[name]}{more}"
    return settings


def _alone(data: Path, port: int, controller_port: int) -> dict[str, str | int]:
    return {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        # Static: kept in this file and not in the log, so that the port may change.
        "controller.quorum.voters": f"{NODE_ID}@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        # 9 s by default, which a broker started again after a kill waits for its former self.
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 500,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # 50 each by default; one machine waits for their files at every start.
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.num.partitions": 8,
        "message.max.bytes": LARGEST_MESSAGE_BYTES,
        "replica.fetch.max.bytes": LARGEST_MESSAGE_BYTES,
        "socket.request.max.bytes": 2 * LARGEST_MESSAGE_BYTES,
        # 128 MiB by default, a quarter of the heap.
        "log.cleaner.dedupe.buffer.size": 32 * MIB,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 4,
    }


def to_properties(settings: Mapping[str, str | int]) -> str:
    r"""A Java properties file: Latin-1 with escapes, so that any path survives.

    >>> to_properties({"log.dirs": "/home/zoë"})
    'log.dirs=/home/zo\\u00eb\n'
    """
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in settings.items())


def _escaped(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < FIRST_NON_ASCII else f"\\u{code:04x}" for code in codes)
