"""Pools the messages of a part: each once, in order of first appearance.

Two messages are one when they agree in (digest, which occurrence inside their prompt).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ropewalk_schemas.messages import Message
from ropewalk_stream_processors.trajectory.prompts import Prompt

MAIN = "main"


class _Said(NamedTuple):
    """A conversation: digests in order, and their positions in the pool."""

    digests: tuple[bytes, ...]
    positions: list[int]


_NOTHING = _Said((), [])


class MessagePool:
    """The pooled messages of one part.

    Args:
        texts: The message of each digest.

    Attributes:
        messages: The pooled messages; calls list positions in it.
    """

    def __init__(self, texts: Mapping[bytes, Message]) -> None:
        self.messages: list[Message] = []
        self._texts = texts
        self._positions: dict[tuple[bytes, int], int] = {}
        # What each thread has said so far, as far as it is known, and where that is pooled. An
        # output whose prompt is not known counts its occurrence here; a prompt that extends it
        # need not be looked up again, message by message.
        self._said: dict[str, _Said] = {}
        self._main: list[int] = []  # the last known conversation of the main thread
        self._extends = True
        self._aside: set[int] = set()

    def say(self, digests: Sequence[bytes]) -> None:
        """Add messages of the main thread that no call produced: its opening or its closing."""
        self._said[MAIN] = self._extend(self._said.get(MAIN, _NOTHING), digests)

    def call(self, thread: str, prompt: Prompt) -> tuple[list[int] | None, list[int]]:
        """Add a call; gives the positions of its input (None when not known) and its output."""
        said = self._said.get(thread, _NOTHING)
        if prompt.input is not None:
            n = len(said.digests)
            begins = said if prompt.input[:n] == said.digests else _NOTHING
            said = self._extend(begins, prompt.input[len(begins.digests) :])
        after = self._said[thread] = self._extend(said, prompt.output)
        output = after.positions[len(said.positions) :]
        if prompt.input is None:
            return None, output
        if thread == MAIN:
            self._extends &= said.positions[: len(self._main)] == self._main
            self._main = after.positions
        else:
            self._aside.update(after.positions)
        return said.positions, output

    def _extend(self, said: _Said, digests: Sequence[bytes]) -> _Said:
        """`said` and then `digests`; messages that are new are appended to the pool."""
        if not digests:
            return said
        occurrences: dict[bytes, int] = {}
        positions = said.positions.copy()
        for digest in digests:
            nth = occurrences.get(digest)
            if nth is None:
                nth = said.digests.count(digest)
            occurrences[digest] = nth + 1
            at = self._positions.setdefault((digest, nth), len(self.messages))
            if at == len(self.messages):
                self.messages.append(self._texts[digest])
            positions.append(at)
        return _Said(said.digests + tuple(digests), positions)

    def linear(self) -> bool:
        """Whether `messages` in order is the chat.

        Each known prompt of the main thread extends the one before, its messages first appear in
        its order, and no other thread's prompt brought messages of its own.
        """
        in_order = all(a < b for a, b in pairwise(self._main))
        return self._extends and in_order and self._aside <= set(self._main)
