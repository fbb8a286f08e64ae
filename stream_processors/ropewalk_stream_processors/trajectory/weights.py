"""How much an event adds to its part as published: the size of a part is bounded by it."""

from ropewalk_schemas.codec import Decoded
from ropewalk_schemas.events import LLMCall

# Bytes of one position in a call's input or output, and of one token id with its mask and its
# log-probability, as JSON.
POSITION_BYTES = 7
TOKEN_BYTES = 12
MAX_POSITIONS = 1_000_000  # what a hostile `base_messages` may claim


def weight(decoded: Decoded, n_bytes: int) -> int:
    """Bytes an event of `n_bytes` may take in a part.

    A call lists the position of every message of its prompt, however little of it was sent: a
    part of many calls grows with their square.
    """
    if decoded.type != "llm_call":
        return n_bytes
    call: LLMCall = decoded.event
    positions = call.base_messages + len(call.messages or ()) + len(call.output)
    tokens = len(call.prompt_token_ids or ()) + len(call.output_token_ids or ())
    return n_bytes + POSITION_BYTES * min(positions, MAX_POSITIONS) + TOKEN_BYTES * tokens
