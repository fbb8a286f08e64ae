"""Names the breaking changes between the exported schemas and those of a git ref.

Run ``python -m ropewalk_schemas.compatibility [DIR] [--against REF]``: exit status 0 when nothing
breaks, 1 when something does, 2 when the comparison could not be made.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ropewalk_schemas.changes import Reader, breaking_changes
from ropewalk_schemas.errors import ContractError
from ropewalk_schemas.export import SUFFIX

__all__ = ["breaking_changes", "compare", "main"]

# Who must understand whom. What we publish is read by programs that are older than we are, and
# topics keep what older producers and engines wrote.
PUBLISHED = frozenset({"trajectory", "ledger_entry"})
# No document but a list of what there must be: one more is not missing from what was stored.
TABLES = frozenset({"topics"})

Schemas = dict[str, dict[str, Any]]


def compare(old: Schemas, new: Schemas) -> list[str]:
    """The breaking changes of all contracts, each beginning with the contract's name."""
    found = [f"{name}: the contract was removed" for name in sorted(set(old) - set(new))]
    for name in sorted(set(old) & set(new)):
        for reader in _readers(name):
            found += [
                f"{name}: {change}"
                for change in breaking_changes(old[name], new[name], reader=reader)
            ]
    return list(dict.fromkeys(found))


def _readers(name: str) -> tuple[Reader, ...]:
    if name in TABLES:
        return ("old",)
    return ("new", "old") if name in PUBLISHED else ("new",)


def schemas_in(folder: Path) -> Schemas:
    """The exported schemas of a folder by name."""
    found = sorted(folder.glob("*" + SUFFIX))
    if not found:
        msg = f"{folder} holds no *{SUFFIX}; name the folder of the exported schemas"
        raise ContractError(msg)
    return {path.name.removesuffix(SUFFIX): json.loads(path.read_bytes()) for path in found}


def schemas_at(ref: str, folder: Path) -> Schemas:
    """The same folder's schemas as of a git ref."""
    listed = _git(folder, "ls-tree", "--name-only", ref, "./").split()
    return {
        name.removesuffix(SUFFIX): json.loads(_git(folder, "show", f"{ref}:./{name}"))
        for name in listed
        if name.endswith(SUFFIX)
    }


def default_ref(folder: Path) -> str:
    """The newest tag; in a clone without tags where this branch left main; on main its HEAD."""
    tags = _git(folder, "tag", "--sort=-creatordate", "--merged", "HEAD").split()
    if tags:
        return tags[0]
    for main_branch in ("origin/main", "main"):
        try:
            return _git(folder, "merge-base", main_branch, "HEAD").strip()
        except ContractError:  # this clone has no such branch
            continue
    return "HEAD"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - no shell
    except FileNotFoundError as error:
        msg = "git is not installed or not on PATH, so there is nothing to compare with"
        raise ContractError(msg) from error
    except subprocess.CalledProcessError as error:
        msg = f"`{' '.join(command)}` failed: {error.stderr.decode(errors='replace').strip()}"
        raise ContractError(msg) from error
    return done.stdout.decode()


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ropewalk_schemas.compatibility", description=__doc__
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("schemas/json"), metavar="DIR")
    parser.add_argument("--against", metavar="REF", help="default: the newest tag, else main")
    asked = parser.parse_args(arguments)
    try:
        new = schemas_in(asked.folder)
        ref = asked.against or default_ref(asked.folder)
        old = schemas_at(ref, asked.folder)
    except ContractError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    found = compare(old, new)
    sys.stdout.write(f"{len(new)} contracts against {len(old)} at {ref}: {len(found)} breaking\n")
    sys.stdout.writelines(f"  {change}\n" for change in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
