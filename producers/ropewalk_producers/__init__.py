"""How agents speak: the recorder."""

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.counters import Counters, DeliveryReport
from ropewalk_producers.errors import RopewalkProducerError, SettingsError
from ropewalk_producers.identity import Continuation
from ropewalk_producers.ids import EventIds, derived_ids
from ropewalk_producers.publisher import Delivery, Publisher
from ropewalk_producers.recorder import Recorder
from ropewalk_producers.step import Step
from ropewalk_producers.trajectory import Trajectory
from ropewalk_schemas.kafka_security import KafkaSecurity

__all__ = [
    "Continuation",
    "Counters",
    "Delivery",
    "DeliveryReport",
    "EventIds",
    "KafkaSecurity",
    "Publisher",
    "Recorder",
    "RecorderSettings",
    "RopewalkProducerError",
    "SettingsError",
    "Step",
    "Trajectory",
    "derived_ids",
]
