"""The recorder's settings, and the only place this package reads the environment."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

from ropewalk_producers.errors import SettingsError
from ropewalk_producers.redaction.policy import policy_of
from ropewalk_schemas.errors import KafkaSecurityError
from ropewalk_schemas.kafka_security import KafkaSecurity
from ropewalk_schemas.limits import Limits
from ropewalk_schemas.topics import AGENT_EVENTS, CLIENT_MESSAGE_BYTES

PREFIX = "ROPEWALK_"
_LIMITS = Limits()
_NAME_CHARS = 200
_HOUR_S = 3600
Durability = Literal["memory", "spool"]
Fsync = Literal["always", "interval", "never"]
Acknowledged = Literal["kafka", "disk"]
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
        kafka_security: TLS and SASL; in the environment, ``ROPEWALK_KAFKA_...``.
        kafka_options: More librdkafka settings, which win over `kafka_security`. Never shown, for
            they may hold a secret.
        durability: Where events wait for Kafka: in ``memory``, or on disk in a ``spool``. Then
            `delivery_timeout_ms` does not hold, and `queue_messages` and `queue_kbytes` bound what
            waits for the disk.
        spool_path: The spool's folder, which processes may share; needed for ``spool``.
        spool_max_bytes: What the folder may take, all processes together.
        spool_fsync: When the disk must have an event: ``always`` at once (one fsync for all that
            wait), ``interval`` every `spool_fsync_ms`, ``never`` when the system likes.
        spool_fsync_ms: See `spool_fsync`.
        spool_ack: When `on_delivery` hears of an event and what `Recorder.close` waits for:
            ``kafka`` or ``disk``.
        redact: Built-in patterns whose findings are replaced, and sets of them: ``secrets``,
            ``secrets,email``, ``jwt,aws_key``; ``none`` for none.
        redact_patterns: Patterns of your own, as Python's regular expressions by name.
        redact_paths: Fields that are replaced whatever they hold, such as
            ``decision.state.user.phone``.
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
    kafka_security: KafkaSecurity = field(default_factory=KafkaSecurity)
    kafka_options: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )
    durability: Durability = "memory"
    spool_path: str = ""
    spool_max_bytes: int = 1024 * 1024 * 1024
    spool_fsync: Fsync = "always"
    spool_fsync_ms: int = 100
    spool_ack: Acknowledged = "kafka"
    redact: str = "secrets"
    redact_patterns: Mapping[str, str] = field(default_factory=dict)  # travels by pickle
    redact_paths: Sequence[str] = ()

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
        if not isinstance(self.kafka_security, KafkaSecurity):
            raise SettingsError("kafka_security", "must be a KafkaSecurity")
        _check_options(self.kafka_options)
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        _check_spool(self)
        _check_redaction(self)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **otherwise: Any) -> Self:
        """Settings from ``ROPEWALK_<SETTING>``: ``ROPEWALK_PROJECT``, ``ROPEWALK_LINGER_MS``, ...

        ``ROPEWALK_BOOTSTRAP_SERVERS``, ``ROPEWALK_PROJECT`` and ``ROPEWALK_SERVICE`` must be set;
        ``ROPEWALK_KAFKA_OPTIONS`` and ``ROPEWALK_REDACT_PATTERNS`` are JSON objects,
        ``ROPEWALK_REDACT_PATHS`` a JSON list. `otherwise` is taken for variables not set.

        Raises:
            SettingsError: Naming the variable.
        """
        environ = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for setting in fields(cls):
            if setting.name == "kafka_security":
                given[setting.name] = _security_of(environ, otherwise)
                continue
            text = environ.get(variable_of(setting.name), "")
            if text:
                given[setting.name] = _parsed(setting.name, setting.default, text)
            elif setting.name in otherwise:
                given[setting.name] = otherwise[setting.name]
            elif setting.name in _FROM_ENVIRONMENT_REQUIRED:
                raise SettingsError(variable_of(setting.name), "is not set; the recorder needs it")
        try:
            return cls(**given)
        except SettingsError as error:
            raise SettingsError(variable_of(error.setting), error.problem) from error


def variable_of(setting: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + setting.upper()


def _security_of(environ: Mapping[str, str], otherwise: Mapping[str, Any]) -> object:
    """What the environment says of TLS and SASL; what was given, when it says nothing."""
    try:
        found = KafkaSecurity.from_environment(environ)
    except KafkaSecurityError as error:
        raise SettingsError(error.setting, error.problem) from error
    return otherwise.get("kafka_security", found) if found == KafkaSecurity() else found


_WHOLE_NUMBERS = {
    "queue_messages": (1, 10_000_000),
    "queue_kbytes": (CLIENT_MESSAGE_BYTES // 1024, 2_097_151),  # room for one largest message
    "delivery_timeout_ms": (100, 2_147_483_647),
    "linger_ms": (0, 10_000),
    "full_every": (1, 50),  # the engine's contract: at least every 50 calls
    "idle_ms": (1, 366 * 86_400_000),
    "duration_ms": (1, 366 * 86_400_000),
    "spool_max_bytes": (1024 * 1024, 2**50),
    "spool_fsync_ms": (1, 60_000),
}
_CHOICES = {
    "durability": get_args(Durability),
    "spool_fsync": get_args(Fsync),
    "spool_ack": get_args(Acknowledged),
}

_JSON = {
    "kafka_options": '{"security.protocol": "SSL"}',
    "redact_patterns": '{"customer": "C-[0-9]{8}"}',
    "redact_paths": '["decision.state.user.phone"]',
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


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(name, f"is {value!r}; it must be one of {', '.join(choices)}")


def _check_spool(settings: RecorderSettings) -> None:
    if not isinstance(settings.spool_path, str):
        raise SettingsError("spool_path", "must be text, the path of a folder")
    if settings.durability != "spool":
        return
    if not settings.spool_path:
        raise SettingsError("spool_path", "is empty; name the folder where events wait")
    if "/" in settings.topic or settings.topic in {".", ".."}:  # it is a folder's name there
        raise SettingsError("topic", f"is {settings.topic!r}, which is no name of a Kafka topic")


def _check_redaction(settings: RecorderSettings) -> None:
    if not isinstance(settings.redact, str):
        raise SettingsError("redact", 'must be text, such as "secrets,email"')
    if not isinstance(settings.redact_patterns, Mapping):
        raise SettingsError("redact_patterns", "must map names to regular expressions")
    if isinstance(settings.redact_paths, str) or not isinstance(settings.redact_paths, Sequence):
        raise SettingsError("redact_paths", "must be a list of paths")
    policy_of(settings.redact, settings.redact_patterns, settings.redact_paths)


def _check_options(options: object) -> None:
    if not isinstance(options, Mapping):
        raise SettingsError("kafka_options", "must map librdkafka's names to values")
    for name in options:
        if name in PROMISED_OPTIONS:
            raise SettingsError("kafka_options", f"may not change {name}; the recorder sets it")


def _parsed(name: str, default: object, text: str) -> object:
    if name in _JSON:
        return _parsed_json(name, text)
    if default is MISSING or not isinstance(default, int | float):
        return text
    try:
        return type(default)(text)
    except ValueError as error:
        raise SettingsError(variable_of(name), f"is {text!r}; it must be a number") from error


def _parsed_json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(
            variable_of(name), f"is not JSON; write it like {_JSON[name]}"
        ) from error
