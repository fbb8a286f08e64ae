"""Removes each guard in a copy of its own and sees whether its test notices."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from shutil import rmtree

from tests.guards.copies import RunError, copy_tree, copy_without, run_tests
from tests.guards.postgres import a_postgres
from tests.guards.table import Guard
from tests.guards.verdicts import Result, Seen, Verdict, judge, sound

Told = Callable[[Verdict], None]


class UnsoundError(Exception):
    """A guard's test fails on the tree as it is, so that its failure would prove nothing."""


def run_all(guards: Sequence[Guard], home: Path, *, jobs: int, told: Told) -> list[Verdict]:
    """Try all guards, `jobs` at a time; `told` hears of each as it comes.

    Raises:
        GuardMovedError: If a guard is not where the table says. Nothing was run.
        UnsoundError: If a test fails with its guard in place.
    """
    original = home / "original"
    copy_tree(original)
    for guard in guards:
        guard.without((original / guard.file).read_text(encoding="utf-8"))
    needs_postgres = any(guard.postgres for guard in guards)
    with a_postgres(home / "postgres") if needs_postgres else nullcontext("") as dsn:
        require_sound(guards, original, jobs=jobs, dsn=dsn)
        with ThreadPoolExecutor(jobs) as pool:
            numbered = enumerate(guards)
            return list(
                pool.map(lambda g: _tried(g[1], original, home / str(g[0]), dsn, told), numbered)
            )


def require_sound(guards: Sequence[Guard], original: Path, *, jobs: int, dsn: str) -> None:
    """Run every named test on the unchanged copy; this also compiles it, for all copies of it.

    Raises:
        UnsoundError: Naming guards whose tests do not pass.
    """
    tests = sorted({guard.test for guard in guards})
    shares = [share for share in (tests[n::jobs] for n in range(jobs)) if share]
    with ThreadPoolExecutor(jobs) as pool:
        numbered = enumerate(shares)
        runs = list(pool.map(lambda s: run_tests(original, s[1], dsn=dsn, run=s[0]), numbered))
    merged = Seen(
        ended=[ended for seen in runs for ended in seen.ended],
        imported={name: file for seen in runs for name, file in seen.imported.items()},
        root=original,
    )
    wrong = [f"{guard.name}: {why}" for guard in guards if (why := sound(guard, merged))]
    if wrong or merged.foreign():
        raise UnsoundError("\n".join([*wrong, *merged.foreign()]))


def _tried(guard: Guard, original: Path, copy: Path, dsn: str, told: Told) -> Verdict:
    begun = time.monotonic()
    result: Result
    try:
        copy_without(guard, original, copy)
        result, says = judge(
            guard, run_tests(copy, [guard.test], dsn=dsn if guard.postgres else "")
        )
    except RunError as error:
        result, says = "unclear", str(error)
    seconds = round(time.monotonic() - begun, 1)
    rmtree(copy, ignore_errors=True)
    verdict = Verdict(
        guard=guard.name, file=guard.file, test=guard.test,
        result=result, says=says, seconds=seconds,
    )  # fmt: skip
    told(verdict)
    return verdict
