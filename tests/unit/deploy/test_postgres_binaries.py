import importlib.util
from pathlib import Path

import pytest

from ropewalk_deploy.stack import postgres_binaries
from ropewalk_deploy.stack.errors import MissingProgramError
from ropewalk_deploy.stack.postgres_binaries import Binaries, find_binaries


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with versions 14, 16 and 17, none on the PATH, and without the wheel."""
    for version in (14, 16, 17):
        directory = tmp_path / str(version) / "bin"
        directory.mkdir(parents=True)
        for program in ("initdb", "postgres"):
            (directory / program).write_text(
                f"#!/bin/sh\necho '{program} (PostgreSQL) {version}.4'"
            )
            (directory / program).chmod(0o755)
    pattern = str(tmp_path.relative_to("/") / "*" / "bin")
    monkeypatch.setattr(postgres_binaries, "INSTALL_PATTERNS", (pattern,))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    return tmp_path


def test_the_newest_is_taken_for_new_data(installed: Path) -> None:
    found = find_binaries(None, major=None, copies=())
    assert found == Binaries(installed / "17" / "bin", 17)


def test_data_is_opened_by_the_version_that_wrote_it(installed: Path) -> None:
    found = find_binaries(None, major=16, copies=())
    assert found == Binaries(installed / "16" / "bin", 16)


@pytest.mark.usefixtures("installed")
def test_data_of_a_version_that_is_gone_is_not_opened() -> None:
    with pytest.raises(MissingProgramError, match="15, which wrote the data"):
        find_binaries(None, major=15, copies=())


def test_a_directory_without_initdb_is_passed_over(installed: Path) -> None:
    (installed / "17" / "bin" / "initdb").unlink()
    assert find_binaries(None, major=None, copies=()).major == 16
