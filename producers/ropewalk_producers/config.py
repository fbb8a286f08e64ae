"""The recorder's settings, and the only place this package reads the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Self

from ropewalk_producers.errors import SettingsError
from ropewalk_schemas.limits import Limits
from ropewalk_schemas.topics import AGENT_EVENTS, CLIENT_MESSAGE_BYTES

PREFIX = "ROPEWALK_"
_LIMITS = Limits()
_NAME_CHARS = 200
_HOUR_S = 3600
_FROM_ENVIRONMENT_REQUIRED = ("bootstrap_servers", "project", "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSettings:
    """How one service records.

    Attributes:
        project: Default project of its trajectories.
        service: Name of the program, written as the source of every event, with `instance` and
            `version`.
        bootstrap_servers: Kafka brokers, ``host:port,host:port``; not needed
            when a publisher is given.
        topic: Where events go.
        queue_messages: Events that may wait for the broker; more are dropped, counted.
        queue_kbytes: The same bound in KiB.
        delivery_timeout_ms: How long one event is tried before it counts as failed.
        linger_ms: How long events wait for company in a batch.
        full_every: Every n-th call of a prompt's chain is sent whole.
        idle_ms: The worker's idle gap for this project; after half of it a prompt is sent whole.
        duration_ms: The worker's maximum duration; after half of it a prompt is sent whole.
        exit_timeout_s: How long the end of the process may wait for unsent events.
        kafka_options: More librdkafka settings, such as those of TLS and SASL.
    """

    project: str
    service: str
    bootstrap_servers: str = ""
    instance: str | None = None
    version: str | None = None
    topic: str = AGENT_EVENTS.name
    queue_messages: int = 100_000
    queue_kbytes: int = 131_072
    delivery_timeout_ms: int = 300_000
    linger_ms: int = 20
    full_every: int = 50
    idle_ms: int = _LIMITS.idle_ms
    duration_ms: int = _LIMITS.duration_ms
    exit_timeout_s: float = 5.0
    kafka_options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name in ("project", "service", "topic"):
            _check_name(name, getattr(self, name))
        for name in ("instance", "version"):
            if getattr(self, name) is not None:
                _check_name(name, getattr(self, name))
        if not isinstance(self.bootstrap_servers, str):
            raise SettingsError("bootstrap_servers", "must be text, such as localhost:9092")
        for name, (low, high) in _WHOLE_NUMBERS.items():
            _check_whole(name, getattr(self, name), low, high)
        if (
            not isinstance(self.exit_timeout_s, int | float)
            or not 0 <= self.exit_timeout_s <= _HOUR_S
        ):
            problem = f"is {self.exit_timeout_s!r}; it must be 0 to {_HOUR_S} seconds"
            raise SettingsError("exit_timeout_s", problem)
        _check_options(self.kafka_options)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Settings from ``ROPEWALK_<SETTING>``: ``ROPEWALK_PROJECT``, ``ROPEWALK_LINGER_MS``, ...

        ``ROPEWALK_BOOTSTRAP_SERVERS``, ``ROPEWALK_PROJECT`` and ``ROPEWALK_SERVICE`` must be set;
        ``ROPEWALK_KAFKA_OPTIONS`` is a JSON object.

        Raises:
            SettingsError: Naming the variable.
        """
        environ = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for setting in fields(cls):
            text = environ.get(variable_of(setting.name), "")
            if text:
                given[setting.name] = _parsed(setting.name, setting.default, text)
            elif setting.name in _FROM_ENVIRONMENT_REQUIRED:
                raise SettingsError(variable_of(setting.name), "is not set; the recorder needs it")
        try:
            return cls(**given)
        except SettingsError as error:
            raise SettingsError(variable_of(error.setting), error.problem) from error


def variable_of(setting: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + setting.upper()


_WHOLE_NUMBERS = {
    "queue_messages": (1, 10_000_000),
    "queue_kbytes": (CLIENT_MESSAGE_BYTES // 1024, 2_097_151),  # room for one largest message
    "delivery_timeout_ms": (100, 2_147_483_647),
    "linger_ms": (0, 10_000),
    "full_every": (1, 50),  # the engine's contract: at least every 50 calls
    "idle_ms": (1, 366 * 86_400_000),
    "duration_ms": (1, 366 * 86_400_000),
}

PROMISED_OPTIONS = frozenset(
    {
        "acks",
        "bootstrap.servers",
        "enable.idempotence",
        "message.max.bytes",
        "metadata.broker.list",
        "partitioner",
        "request.required.acks",
    }
)


def _check_name(name: str, value: object) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= _NAME_CHARS:
        raise SettingsError(name, f"is {value!r}; it must be text of 1 to {_NAME_CHARS} characters")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SettingsError(name, f"is {value!r}; it must be a whole number from {low} to {high}")


def _check_options(options: object) -> None:
    if not isinstance(options, Mapping):
        raise SettingsError("kafka_options", "must map librdkafka's names to values")
    for name in options:
        if name in PROMISED_OPTIONS:
            raise SettingsError("kafka_options", f"may not change {name}; the recorder sets it")


def _parsed(name: str, default: object, text: str) -> object:
    if name == "kafka_options":
        return _parsed_options(text)
    if default is MISSING or not isinstance(default, int | float):
        return text
    try:
        return type(default)(text)
    except ValueError as error:
        raise SettingsError(variable_of(name), f"is {text!r}; it must be a number") from error


def _parsed_options(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        problem = 'is not JSON; write it like {"security.protocol": "SSL"}'
        raise SettingsError(variable_of("kafka_options"), problem) from error
