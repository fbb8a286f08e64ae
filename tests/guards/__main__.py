"""`python -m tests.guards`: remove each guard and see that its test fails; 0 if all do."""

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import click
from tests.guards.page import PAGE, page
from tests.guards.runs import UnsoundError, run_all
from tests.guards.table import GuardMovedError, guards
from tests.guards.verdicts import Verdict


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--only", default="", help="Only guards whose name holds this text.")
@click.option(
    "--jobs",
    default=2,
    type=click.IntRange(1),
    show_default=True,
    help="How many tests run at a time.",
)
@click.option("--write-page", is_flag=True, help="Only write docs/guards.md from the table.")
def main(as_json: bool, only: str, jobs: int, write_page: bool) -> None:
    """Remove each guard from a copy of the tree, and see that its named test fails."""
    if write_page:
        PAGE.write_text(page(), encoding="utf-8")
        return
    chosen = [guard for guard in guards() if only in guard.name]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ropewalk-guards-") as home:
        Path(home).chmod(0o755)  # the database server's user must get in when this runs as root
        try:
            width = max((len(guard.name) for guard in chosen), default=0)
            told = (lambda _: None) if as_json else partial(_tell, width=width)
            verdicts = run_all(chosen, Path(home), jobs=jobs, told=told)
        except (GuardMovedError, UnsoundError) as error:
            sys.exit(f"{type(error).__name__}: {error}")
    seconds = round(time.monotonic() - begun, 1)
    bad = [verdict for verdict in verdicts if verdict.result != "noticed"]
    if as_json:
        found = [verdict.model_dump() for verdict in verdicts]
        click.echo(json.dumps({"guards": found, "seconds": seconds, "ok": not bad}, indent=2))
    else:
        click.echo(f"{len(verdicts) - len(bad)} of {len(verdicts)} noticed, {seconds:.0f} s")
    sys.exit(1 if bad or not verdicts else 0)


def _tell(verdict: Verdict, *, width: int) -> None:
    """One row, as soon as it is known."""
    where, test = verdict.file.rpartition("/")[2], verdict.test.rpartition("::")[2]
    click.echo(
        f"{verdict.result:<9} {verdict.seconds:5.1f} s  {verdict.guard:<{width}} {where:<22} {test}"
    )
    if verdict.result != "noticed":
        click.echo(f"          {verdict.says}")


if __name__ == "__main__":
    main()
