"""Every guard is still where the table of guards says; `make guards` shows that each guards."""

import ast
from collections import Counter

import pytest
from tests.guards.page import PAGE, page
from tests.guards.table import ROOT, Guard, GuardMovedError, guards
from tests.guards.verdicts import Ended, Seen, judge

GUARDS = guards()
MINIMAL = Guard(
    name="g", protects="p", file="sinks/ropewalk_sinks/a.py", removes="if x:", puts="if True:",
    test="tests/unit/test_a.py::test_a",
)  # fmt: skip


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_its_text_is_there_once_and_what_is_left_without_it_is_a_program(guard: Guard) -> None:
    left = guard.without((ROOT / guard.file).read_text(encoding="utf-8"))
    if guard.module is not None:
        ast.parse(left)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_its_test_is_there(guard: Guard) -> None:
    tree = ast.parse((ROOT / guard.test_file).read_text(encoding="utf-8"))
    name = guard.test.partition("::")[2].partition("[")[0]
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_names_differ() -> None:
    assert [name for name, n in Counter(guard.name for guard in GUARDS).items() if n > 1] == []


def test_the_page_says_what_the_table_says() -> None:
    message = "run `.venv/bin/python -m tests.guards --write-page`"
    assert PAGE.read_text(encoding="utf-8") == page(), message


@pytest.mark.parametrize("text", ["", "if x: pass", "if x: if x:"])
def test_a_guard_that_moved_is_named(text: str) -> None:
    if text.count("if x:") == 1:
        assert MINIMAL.without(text) == "if True: pass"
        return
    with pytest.raises(GuardMovedError, match=r"guard 'g': its text is \d times in .*a\.py"):
        MINIMAL.without(text)


def seen(*ended: Ended, module: str = "/copy/sinks/ropewalk_sinks/a.py") -> Seen:
    return Seen.model_validate(
        {"ended": list(ended), "imported": {"ropewalk_sinks.a": module}, "root": "/copy"}
    )


def ended(outcome: str, error: str = "", phase: str = "call", says: str = "") -> Ended:
    return Ended(test=MINIMAL.test, phase=phase, outcome=outcome, error=error, says=says)


@pytest.mark.parametrize(
    ("what", "result"),
    [
        (seen(ended("failed", "AssertionError")), "noticed"),
        (seen(ended("passed"), ended("failed", "Failed", says="DID NOT RAISE")), "noticed"),
        (seen(ended("passed")), "survived"),
        (seen(), "unclear"),
        (seen(ended("skipped", "Skipped")), "unclear"),
        (seen(ended("failed", "Failed", says="Timeout >120s")), "unclear"),
        (seen(ended("failed", "ImportError")), "unclear"),
        (seen(ended("failed", "AssertionError", phase="setup")), "unclear"),
        (seen(ended("failed", "", phase="collection", says="ImportError")), "unclear"),
        (seen(ended("failed", "AssertionError"), ended("failed", "KeyError")), "unclear"),
        (seen(ended("failed", "AssertionError"), module="/installed/a.py"), "unclear"),
    ],
)
def test_only_a_failure_of_the_test_itself_counts(what: Seen, result: str) -> None:
    assert judge(MINIMAL, what)[0] == result


def test_a_run_that_never_imported_the_guard_proves_nothing() -> None:
    other = MINIMAL.model_copy(update={"file": "sinks/ropewalk_sinks/b.py"})
    what = seen(ended("failed", "AssertionError"))
    assert judge(other, what) == ("unclear", "ropewalk_sinks.b was never imported")
