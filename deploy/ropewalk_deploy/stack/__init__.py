"""Kafka and Postgres on this machine without Docker, kept under one home directory."""

from ropewalk_deploy.stack.errors import HomeError, MissingProgramError, ServerError, StackError
from ropewalk_deploy.stack.local import describe, down, up
from ropewalk_deploy.stack.model import Stack

__all__ = [
    "HomeError",
    "MissingProgramError",
    "ServerError",
    "Stack",
    "StackError",
    "describe",
    "down",
    "up",
]
