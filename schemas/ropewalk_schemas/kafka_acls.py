"""What Kafka must allow a user, and the line a person reads when it does not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ADVICE = "add the ACL, see docs/security.md"


@dataclass(frozen=True, slots=True)
class Need:
    """Operations on a topic or a group, in Kafka's words: ``Read``, ``Write``, ..."""

    kind: str
    name: str
    operations: Sequence[str]


def topics(names: Iterable[str], *operations: str) -> list[Need]:
    """The same on several topics."""
    return [Need("topic", name, operations) for name in names]


def group(name: str, operation: str = "Read") -> Need:
    """Membership of a consumer group, or only being told of it (``Describe``)."""
    return Need("group", name, (operation,))


def refusal(needs: Iterable[Need], described: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What a person reads when the broker does not allow all of it; None when it does.

    Args:
        needs: What is needed.
        described: By ``topic`` and ``group``, and by name: futures of what the Kafka client's
            descriptions say with `include_authorized_operations`. What fails for another reason
            than authorization counts as allowed; whoever uses it is told the reason.
    """
    missing = [
        f"{operation} on {need.kind} {need.name}"
        for need in needs
        for operation in _missing(need, described[need.kind][need.name])
    ]
    return f"Kafka does not allow us {', '.join(missing)}: {ADVICE}" if missing else None


def denied(operation: str, topic: str, why: str) -> str:
    """What a person reads when a broker refused one operation."""
    return f"Kafka does not allow us {operation} on topic {topic} ({why}): {ADVICE}"


def _missing(need: Need, future: Any) -> Sequence[str]:
    try:
        allowed = future.result().authorized_operations
    except Exception as error:
        is_denied = "AUTHORIZATION_FAILED" in repr(error)
        return need.operations if is_denied else ()
    names = {operation.name.replace("_", "").lower() for operation in allowed or ()}
    return [operation for operation in need.operations if operation.lower() not in names]
