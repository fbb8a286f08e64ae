"""Token sequences: what a model saw and wrote, with what it wrote marked for training."""

from dataclasses import dataclass, field

from ropewalk_schemas.events import LLMCall
from ropewalk_schemas.published import SequenceRow
from ropewalk_schemas.trajectory import BreakReason, TokenSequence


@dataclass(slots=True)
class _Growing:
    thread: str
    policy_version: str | None
    break_reason: BreakReason | None
    token_ids: list[int] = field(default_factory=list)
    loss_mask: list[bool] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)

    def grow(self, ids: list[int], *, written: bool, logprobs: list[float] | None) -> None:
        self.token_ids += ids
        self.loss_mask += [written] * len(ids)
        self.logprobs += logprobs if logprobs is not None else [None] * len(ids)


@dataclass(frozen=True, slots=True)
class Span:
    """Where a call's output lies: ``sequences[sequence].token_ids[start:end]``."""

    sequence: int
    start: int
    end: int


class Sequences:
    """The token sequences of one part, in order of first appearance.

    A call extends its thread's newest sequence if its prompt ids continue it under the same policy
    version; else it starts another and says why.
    """

    def __init__(self) -> None:
        self._all: list[_Growing] = []
        self._newest: dict[str, int] = {}

    def call(self, event: LLMCall) -> Span | None:
        """Add a call; None when its output tokens are not known."""
        output = event.output_token_ids
        if output is None:
            return None
        at = self._continue_or_start(event)
        sequence = self._all[at]
        sequence.grow((event.prompt_token_ids or [])[len(sequence.token_ids) :], written=False,
                      logprobs=None)  # fmt: skip
        start = len(sequence.token_ids)
        known = event.output_logprobs
        aligned = known if known is not None and len(known) == len(output) else None
        sequence.grow(output, written=True, logprobs=aligned)
        return Span(at, start, start + len(output))

    def _continue_or_start(self, event: LLMCall) -> int:
        at = self._newest.get(event.thread)
        reason = None if at is None else _break(self._all[at], event)
        if at is None or reason is not None:
            at = len(self._all)
            self._all.append(_Growing(event.thread, event.policy_version, reason))
            self._newest[event.thread] = at
        return at

    def rows(self) -> list[TokenSequence]:
        """The sequences as published."""
        return [
            SequenceRow(
                token_ids=s.token_ids,
                loss_mask=s.loss_mask,
                logprobs=s.logprobs,
                policy_version=s.policy_version,
                break_reason=s.break_reason,
            )
            for s in self._all
        ]


def _break(sequence: _Growing, event: LLMCall) -> BreakReason | None:
    """Why a call does not continue a sequence; None when it does."""
    prompt = event.prompt_token_ids
    if prompt is None:
        return "prompt_unknown"
    if event.policy_version != sequence.policy_version:
        return "policy_changed"
    if prompt[: len(sequence.token_ids)] != sequence.token_ids:
        return "prompt_diverged"
    return None
