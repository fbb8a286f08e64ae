"""Pools the messages of a part: each once, in order of first appearance.

Two messages are one when they agree in (digest, which occurrence inside their prompt).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ropewalk_schemas.messages import Message
from ropewalk_stream_processors.trajectory.prompts import Prompt

MAIN = "main"


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
        # What each thread has said so far, as far as it is known: an output whose prompt is
        # not known counts its occurrence here.
        self._said: dict[str, tuple[bytes, ...]] = {}
        self._main: list[int] = []  # the last known conversation of the main thread
        self._extends = True
        self._aside: set[int] = set()

    def say(self, digests: Sequence[bytes]) -> None:
        """Add messages of the main thread that no call produced: its opening or its closing."""
        said = self._said.get(MAIN, ())
        self._place(said, digests)
        self._said[MAIN] = said + tuple(digests)

    def call(self, thread: str, prompt: Prompt) -> tuple[list[int] | None, list[int]]:
        """Add a call; gives the positions of its input (None when not known) and its output."""
        before = self._said.get(thread, ()) if prompt.input is None else prompt.input
        inputs = None if prompt.input is None else self._place((), prompt.input)
        output = self._place(before, prompt.output)
        self._said[thread] = before + prompt.output
        if inputs is not None and thread == MAIN:
            self._extends &= inputs[: len(self._main)] == self._main
            self._main = inputs + output
        elif inputs is not None:
            self._aside.update(inputs, output)
        return inputs, output

    def linear(self) -> bool:
        """Whether `messages` in order is the chat.

        Each known prompt of the main thread extends the one before, its messages first appear in
        its order, and no other thread's prompt brought messages of its own.
        """
        in_order = all(a < b for a, b in pairwise(self._main))
        return self._extends and in_order and self._aside <= set(self._main)

    def _place(self, before: tuple[bytes, ...], digests: Sequence[bytes]) -> list[int]:
        """Positions of `digests` said after `before`, new messages appended to the pool."""
        occurrences: dict[bytes, int] = {}
        positions = []
        for digest in digests:
            nth = occurrences.get(digest)
            if nth is None:
                nth = before.count(digest)
            occurrences[digest] = nth + 1
            at = self._positions.setdefault((digest, nth), len(self.messages))
            if at == len(self.messages):
                self.messages.append(self._texts[digest])
            positions.append(at)
        return positions
