"""What `verify` and `status` say of erasures, and what `erase` takes for a subject."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.parquet_log import a_refused, refused_record
from tests.support.published import a_part, an_entry, content_hash, value_of

from ropewalk_deploy.__main__ import cli
from ropewalk_deploy.audit.accounts import Accounts, PartKey
from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.erased import (
    check_nothing_left,
    check_tombstones,
    split,
    unfinished,
    without,
)
from ropewalk_deploy.kafka import LogRecord
from ropewalk_schemas.topics import TRAJECTORIES
from ropewalk_sinks.erasure import Subject, erasures_of
from ropewalk_sinks.tombstones import ErasedTrajectory, Removal, Tombstone

AGENT = Subject("agent", "agent-a", "demo")
DIGEST = content_hash("t-1", 0)


def the_log() -> Accounts:
    """t-1 of the agent, t-2 of another, a reward of each before its part, a refusal of each."""
    parts = [an_entry("r-1", "t-1"), an_entry("r-2", "t-2")]
    parts += [a_part("t-1"), a_part("t-2", agent_id="agent-b")]
    accounts = Accounts()
    accounts.take_outputs(
        TRAJECTORIES.name,
        [LogRecord(0, n, 1_000, b"k", value_of(row), []) for n, row in enumerate(parts)],
    )
    refused = [
        a_refused(n, key=key.encode(), value=f'{{"agent_id": "{agent}"}}'.encode())
        for n, (key, agent) in enumerate([("t-1", "x"), ("t-2", "agent-b"), ("?", "agent-a")])
    ]
    accounts.take_quarantine(
        "quarantine",
        [
            LogRecord(0, n, 1_000, row.key, row.value, refused_record(n, row).headers)
            for n, row in enumerate(refused)
        ],
    )
    return accounts


def test_a_log_is_what_must_be_stored_and_what_is_erased() -> None:
    accounts = the_log()
    found = split(accounts, erasures_of([("agent", "agent-a", None, "e")]))
    assert (set(found.parts), set(found.erased_parts)) == (
        {PartKey("t-2", 0)},
        {PartKey("t-1", 0)},
    )
    assert (set(found.rewards), found.erased_rewards) == ({"r-2"}, {"r-1"})
    assert {place.offset for place in found.refused} == {1}
    assert {place.offset for place in found.erased_refused} == {0, 2}
    nobody = split(accounts, erasures_of([]))
    assert len(nobody.parts) == len(nobody.rewards) == 2
    assert not nobody.erased_parts


def test_a_log_without_a_trajectory_has_the_others() -> None:
    assert set(without(the_log(), {"t-1"}).parts) == {PartKey("t-2", 0)}


def a_tombstone(digest: str = DIGEST, **changes: Any) -> Tombstone:
    removed = Removal(trajectories={"t-1": ErasedTrajectory(parts={0: digest}, n_events=6)})
    given = {**AGENT._asdict(), "erased_at": datetime.now(UTC), "is_finished": True}
    return Tombstone(**given | {"removed": removed} | changes)


def failing(postgres: Sequence[Tombstone], parquet: Sequence[Tombstone]) -> list[Check]:
    erased = split(the_log(), erasures_of([("agent", "agent-a", None, "e")])).erased_parts
    checks = check_tombstones({"postgres": postgres, "parquet": parquet}, erased, whole=True)
    return [check for check in checks if not check.ok]


def test_tombstones_that_agree_with_the_log_and_each_other_hold() -> None:
    assert failing([a_tombstone()], [a_tombstone()]) == []
    assert check_tombstones({"postgres": [], "parquet": []}, {}, whole=True) == []


@pytest.mark.parametrize(
    ("postgres", "parquet"),
    [
        ([a_tombstone()], []),
        ([], [a_tombstone()]),
        ([a_tombstone(is_finished=False)], [a_tombstone()]),
        ([a_tombstone()], [a_tombstone(is_finished=False)]),
    ],
)
def test_an_erasure_that_died_on_its_way_is_named_with_what_to_do(
    postgres: list[Tombstone], parquet: list[Tombstone]
) -> None:
    (check,) = failing(postgres, parquet)
    again = "run `ropewalk erase --agent agent-a --project demo` again"
    assert check.wrong == [f"agent agent-a of project demo: {again}"]
    assert unfinished({"postgres": postgres, "parquet": parquet}) == check.wrong


def test_what_was_removed_and_is_not_what_the_log_gives_is_found() -> None:
    (check,) = failing([a_tombstone("other")], [a_tombstone()])
    assert "was removed with hash other" in check.wrong[0]
    deleted = check_tombstones({"postgres": [a_tombstone()]}, {}, whole=False)
    assert all(check.ok for check in deleted)  # retention took it from the log


def test_a_row_that_is_left_fails_and_names_itself() -> None:
    assert check_nothing_left("postgres", []).ok
    check = check_nothing_left("postgres", ["public.claims: 1 rows of t-1"])
    assert (check.ok, check.found) == (False, 1)
    assert "ropewalk erase" in check.detail


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "name one subject"),
        (["--agent", "a", "--trajectory", "t"], "name one subject"),
        (["--agent", ""], "name one subject"),
        (["--trajectory", "t", "--project", "p"], "--project is for --agent"),
    ],
)
def test_erase_wants_exactly_one_subject(given: list[str], told: str) -> None:
    done = CliRunner().invoke(cli, ["erase", *given])
    assert done.exit_code == 2
    assert told in done.output
