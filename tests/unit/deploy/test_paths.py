from pathlib import Path

import pytest

from ropewalk_deploy.stack.errors import HomeError
from ropewalk_deploy.stack.paths import create_home, layout_of


def test_a_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert layout_of(Path(".ropewalk")).root == tmp_path / ".ropewalk"


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\nb"])
def test_a_home_that_java_would_split_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(HomeError, match="ROPEWALK_HOME"):
        layout_of(tmp_path / name)


def test_a_home_that_cannot_be_created_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="ROPEWALK_HOME"):
        create_home(layout_of(tmp_path / "file" / "home"))


def test_data_outside_the_home_is_found_again_and_is_the_homes_own(tmp_path: Path) -> None:
    assert layout_of(tmp_path / "a").outside == layout_of(tmp_path / "a").outside
    assert layout_of(tmp_path / "a").outside != layout_of(tmp_path / "b").outside
