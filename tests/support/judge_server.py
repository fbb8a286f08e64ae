"""The scripted model with scores that differ from request to request, as a model's do."""

import hashlib
from contextlib import AbstractContextManager
from typing import Any

from ropewalk_deploy.simulation.model_server import ModelServer, model_server
from ropewalk_deploy.simulation.scripted_model import Choose


def score_of(_context: str, content: str, nth: int) -> float:
    """The score of a trajectory as shown, in the answer to the nth request."""
    return int(hashlib.sha256(f"{nth} {content}".encode()).hexdigest()[:4], 16) / 0xFFFF


def judge_server(choose: Choose, **options: Any) -> AbstractContextManager[ModelServer]:
    """A judge that is closed at the end."""
    return model_server(choose, score_of, **options)
