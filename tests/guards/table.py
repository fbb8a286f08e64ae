"""The table of guards: what each protects, how to take it away, and the test that must notice."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("guards.toml")
Text = Annotated[str, Field(min_length=1)]


class GuardMovedError(Exception):
    """The text that a guard consists of is not where the table says; the message says what is."""


class Guard(BaseModel):
    """One line, or a few, without which a promise does not hold.

    Attributes:
        name: How a person calls it; unique.
        protects: What goes wrong without it, in one sentence.
        file: Where it is, below the root.
        removes: Its exact text.
        puts: What stands there once it is gone.
        test: The test that fails then, as pytest names it.
        failure: The types of exception by which that test may fail; anything else proves nothing.
        postgres: Whether the test needs a Postgres.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    protects: Text
    file: Text
    removes: Text
    puts: str
    test: Annotated[str, Field(pattern=r"^tests/.*\.py::test_\w+(\[.*\])?$")]
    failure: tuple[str, ...] = ("AssertionError", "Failed")
    postgres: bool = False

    @property
    def test_file(self) -> str:
        """The file of the test, below the root."""
        return self.test.partition("::")[0]

    @property
    def module(self) -> str | None:
        """The name by which the guard's file is imported; None if it is no Python."""
        path = Path(self.file)
        if path.suffix != ".py":
            return None
        return ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__")

    def without(self, text: str) -> str:
        """The file's text with the guard removed.

        Raises:
            GuardMovedError: If the guard's text is not there exactly once.
        """
        n_found = text.count(self.removes)
        if n_found != 1:
            message = (
                f"guard {self.name!r}: its text is {n_found} times in {self.file}, not once. "
                f"If the guard moved, follow it in {TABLE.relative_to(ROOT)}; if it is gone, "
                f"bring it back:\n{self.removes}"
            )
            raise GuardMovedError(message)
        return text.replace(self.removes, self.puts)


def guards() -> list[Guard]:
    """All guards, in the order of the table."""
    found = tomllib.loads(TABLE.read_text(encoding="utf-8"))["guard"]
    return [Guard.model_validate(entry) for entry in found]
