"""What `verify` and `status` make of generations."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.published import a_part, content_hash, value_of

from ropewalk_deploy.audit.accounts import Accounts, PartKey
from ropewalk_deploy.audit.erased import check_tombstones, without
from ropewalk_deploy.audit.generations import check_switches, half_done
from ropewalk_deploy.kafka import LogRecord
from ropewalk_sinks.postgres_generations import Generation
from ropewalk_sinks.tombstones import ErasedTrajectory, Removal, Tombstone


def accounts_of(topic: str, *parts: Any) -> Accounts:
    found = Accounts()
    records = [LogRecord(0, n, 0, b"k", value_of(part), []) for n, part in enumerate(parts)]
    found.take_outputs(topic, records)
    return found


LOG = accounts_of("trajectories", a_part("t-1", last=False), a_part("t-1", 1), a_part("t-2"))


def held(accounts: Accounts) -> dict[PartKey, str]:
    return {key: part.content_hash for key, part in accounts.stored_parts().items()}


def test_sinks_must_hold_what_the_newest_promoted_generation_says() -> None:
    accounts = accounts_of(
        "trajectories", a_part("t-1", last=False), a_part("t-1", 1), a_part("t-2")
    )
    first = accounts_of("trajectories.a", a_part("t-1", content_hash="a"), a_part("t-3"))
    second = accounts_of("trajectories.b", a_part("t-3", content_hash="b"))
    accounts.promoted = [
        (frozenset({"t-1", "t-3"}), first),
        (frozenset({"t-2", "t-3"}), second),
    ]
    assert held(accounts) == {PartKey("t-1", 0): "a", PartKey("t-3", 0): "b"}
    assert held(without(accounts, ["t-3"])) == {PartKey("t-1", 0): "a"}


def test_an_erased_part_may_have_had_any_hash_that_was_published() -> None:
    def checked(digest: str, **published: set[str]) -> bool:
        removed = Removal(trajectories={"t-1": ErasedTrajectory(parts={0: digest}, n_events=6)})
        tombstone = Tombstone(
            kind="trajectory", id="t-1", project=None, reason=None,
            erased_at=datetime(2026, 3, 1, tzinfo=UTC), is_finished=True, removed=removed,
        )  # fmt: skip
        hashes = {PartKey("t-1", 0): LOG.hashes()[PartKey("t-1", 0)] | set(published)}
        checks = check_tombstones(
            {"postgres": [tombstone], "parquet": [tombstone]},
            LOG.stored_parts(),
            whole=True,
            published=hashes,
        )
        return all(check.ok for check in checks)

    assert checked(content_hash("t-1", 0))
    assert checked("rebuilt", rebuilt=set())
    assert not checked("never published")


def a_generation(state: str, name: str = "g", **changes: Any) -> Generation:
    given: dict[str, Any] = dict.fromkeys(Generation._fields)
    return Generation(**given | {"name": name, "state": state} | changes)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("promoting", "g is half promoted: finish with `ropewalk promote g`"),
        ("undoing", "g is half withdrawn: finish with `ropewalk promote g_before`"),
        ("building", "run its `ropewalk reprocess` again, or `generations rm g`"),
        ("removing", "finish with `ropewalk generations rm g`"),
    ],
)
def test_what_is_half_done_is_named_with_the_command_that_finishes_it(
    state: str, says: str
) -> None:
    before = a_generation("building", "g_before", replaced_by="g")
    (line,) = half_done([a_generation(state), before])
    assert says in line
    is_switch = state in ("promoting", "undoing")
    assert check_switches([a_generation(state)]).ok is not is_switch


def test_what_is_done_is_not_named() -> None:
    done = [a_generation("built"), a_generation("promoted")]
    assert half_done(done) == []
    assert check_switches(done).ok
