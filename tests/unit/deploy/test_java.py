import importlib.util
from pathlib import Path

import pytest

from ropewalk_deploy.stack.errors import MissingProgramError
from ropewalk_deploy.stack.java import find_java, major_version


def a_java(home: Path, version: str) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    return java


@pytest.fixture
def no_java_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


@pytest.mark.parametrize(
    ("printed", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16 LTS', 25),
        ('java version "1.8.0_402"', 8),
        ("No Java runtime present", None),
    ],
)
def test_the_major_version_is_read_from_what_java_prints(printed: str, major: int | None) -> None:
    assert major_version(printed) == major


def test_the_java_home_comes_first(tmp_path: Path) -> None:
    java = a_java(tmp_path, "21.0.1")
    assert find_java(tmp_path) == java


@pytest.mark.usefixtures("no_java_on_the_machine")
def test_a_java_that_is_too_old_gives_way_to_the_wheel(tmp_path: Path) -> None:
    a_java(tmp_path, "11.0.2")
    assert "java-runtime" in find_java(tmp_path).parts


@pytest.mark.usefixtures("no_java_on_the_machine")
def test_without_any_java_the_error_says_what_was_seen_and_how_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    java = a_java(tmp_path, "11.0.2")
    with pytest.raises(MissingProgramError) as caught:
        find_java(tmp_path)
    assert f"{java} (is Java 11)" in str(caught.value)
    assert "apt-get install openjdk-17-jre-headless" in str(caught.value)
