from concurrent.futures import Future
from enum import Enum
from types import SimpleNamespace
from typing import Any

from ropewalk_schemas.kafka_acls import denied, group, refusal, topics


class Operation(Enum):
    READ = 3
    DESCRIBE_CONFIGS = 10


def told(*allowed: Operation) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(SimpleNamespace(authorized_operations=list(allowed)))
    return future


def failed(text: str) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(RuntimeError(text))
    return future


NEEDS = [*topics(["a", "b"], "Read", "DescribeConfigs"), group("g")]


def test_what_is_allowed_is_no_refusal() -> None:
    full = told(Operation.READ, Operation.DESCRIBE_CONFIGS)
    assert refusal(NEEDS, {"topic": {"a": full, "b": full}, "group": {"g": full}}) is None


def test_all_that_is_missing_is_named() -> None:
    described = {
        "topic": {"a": told(Operation.READ), "b": failed("code=TOPIC_AUTHORIZATION_FAILED")},
        "group": {"g": told()},
    }
    assert refusal(NEEDS, described) == (
        "Kafka does not allow us DescribeConfigs on topic a, Read on topic b, "
        "DescribeConfigs on topic b, Read on group g: add the ACL, see docs/security.md"
    )


def test_another_failure_is_told_by_whoever_meets_it() -> None:
    gone = failed("code=UNKNOWN_TOPIC_OR_PART")
    busy = failed("code=NOT_COORDINATOR")
    assert refusal(NEEDS, {"topic": {"a": gone, "b": gone}, "group": {"g": busy}}) is None


def test_one_operation_that_was_refused() -> None:
    line = "Kafka does not allow us Write on topic a (no): add the ACL, see docs/security.md"
    assert denied("Write", "a", "no") == line
