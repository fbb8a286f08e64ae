"""A chat that grows call by call, with the token ids a local model would report."""

from dataclasses import dataclass, field
from random import Random
from typing import Any
from zlib import crc32

from ropewalk_schemas.encoding import to_json

CHARS_PER_TOKEN = 4
# Token ids are for the trainer's path, not for realism: few, so that events stay small.
CHARS_PER_TOKEN_ID = 24
VOCABULARY = 32_000
COMPACT_AT = 24


@dataclass(slots=True)
class Chat:
    """Messages in order. `token_ids` is the whole chat as the model saw it."""

    system: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    n_chars: int = 0

    def __post_init__(self) -> None:
        self.add({"role": "system", "content": self.system})

    def add(self, message: dict[str, Any]) -> list[int]:
        """Append a message; returns its token ids."""
        self.messages.append(message)
        text = message.get("content") or to_json(message.get("tool_calls")).decode()
        self.n_chars += len(text)
        ids = _token_ids(text)
        self.token_ids += ids
        return ids

    def compact(self, summary: str) -> None:
        """Replace the history by a summary once it is long, as agents do: no longer linear."""
        if len(self.messages) < COMPACT_AT:
            return
        self.messages, self.token_ids, self.n_chars = [], [], 0
        self.add({"role": "system", "content": self.system})
        self.add({"role": "user", "content": summary})
        self.add({"role": "assistant", "content": "Understood. I continue from this summary."})

    @property
    def n_tokens(self) -> int:
        """Tokens of the whole chat, roughly."""
        return self.n_chars // CHARS_PER_TOKEN


def _token_ids(text: str) -> list[int]:
    return [
        crc32(text[at : at + CHARS_PER_TOKEN_ID].encode()) % VOCABULARY
        for at in range(0, len(text), CHARS_PER_TOKEN_ID)
    ]


def draw_logprobs(rng: Random, n: int) -> list[float]:
    """One natural logarithm of a probability per token."""
    return [round(-rng.expovariate(2.0), 4) for _ in range(n)]
