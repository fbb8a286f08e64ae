"""docs/guards.md, made from the table, so that the two say the same."""

from tests.guards.table import ROOT, Guard, guards

PAGE = ROOT / "docs" / "guards.md"
HEAD = """# Guards

A guard is a line, or a few, without which a promise does not hold: a condition in an `UPDATE`, an
`fsync`, the order of two calls. Nothing looks wrong while one is missing: every test of the happy
path passes, and what it prevented happens weeks later, once. So a guard needs a test that fails
without it, and that has to be tried: a test that was written for a guard need not notice its loss.
`make guards` copies the working tree, removes exactly one guard from the copy, runs the one test
that is named here, and wants it to fail by an assertion of its own. It does so for each of them, in
a few minutes. The same tests must pass with their guards in place. A test that fails by an import,
a fixture or a deadline counts as unclear, which fails the run as a survivor does.

```sh
make guards                                          # all of them
.venv/bin/python -m tests.guards --only murmur2      # those whose name holds a text
.venv/bin/python -m tests.guards --json
```

The guards are in [guards.toml](../tests/guards/guards.toml): the exact text of each, and what
stands there once it is gone. `make test` notices a guard that moved: its text is no longer found
once. Then follow it there, run `make guards`, and write this page anew with
`.venv/bin/python -m tests.guards --write-page`. A new guard gets an entry in the same way.

| guard | without it | where | the test that fails |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(map(_row, guards()))


def _row(guard: Guard) -> str:
    file, _, test = guard.test.partition("::")
    words = test.removeprefix("test_").partition("[")[0].replace("_", " ")
    return f"| {guard.name} | {guard.protects} | {_link(guard.file)} | [{words}](../{file}) |\n"


def _link(file: str) -> str:
    return f"[{file.rpartition('/')[2]}](../{file})"
