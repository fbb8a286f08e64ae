"""What travels through Ropewalk: events, trajectories, accounts, and the topics they are in."""

from ropewalk_schemas.errors import ContractError, DecodeError, RopewalkSchemaError
from ropewalk_schemas.events import (
    Action,
    Claim,
    Decision,
    LLMCall,
    Policy,
    Read,
    Reward,
    Source,
    TrajectoryEnded,
    TrajectoryStarted,
    Usage,
    WriterClosed,
)
from ropewalk_schemas.messages import Message, canonical_message, message_digest
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory

__all__ = [
    "Action",
    "Claim",
    "ContractError",
    "Decision",
    "DecodeError",
    "LLMCall",
    "LedgerEntry",
    "Message",
    "Policy",
    "Read",
    "Reward",
    "RopewalkSchemaError",
    "Source",
    "Trajectory",
    "TrajectoryEnded",
    "TrajectoryStarted",
    "Usage",
    "WriterClosed",
    "canonical_message",
    "message_digest",
]
