from pathlib import Path

import pytest

from ropewalk_deploy.stack import jars
from ropewalk_deploy.stack.errors import MissingProgramError, ServerError

JAVA = Path("/opt/java/bin/java")


@pytest.fixture
def pom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pom.xml"
    path.write_text("<project/>")
    monkeypatch.setattr(jars, "POMS", (path,))
    return path


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Maven that notes its Java and arguments and fetches one jar; no Java beside it."""
    script = tmp_path / "bin" / "mvn"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$JAVA_HOME $@" >> {tmp_path}/calls\n'
        f"mkdir -p {tmp_path}/libs && touch {tmp_path}/libs/kafka.jar\n"
    )
    script.chmod(0o755)
    for program in ("env", "mkdir", "touch"):
        (script.parent / program).symlink_to(f"/usr/bin/{program}")
    monkeypatch.setenv("PATH", str(script.parent))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return script


def test_jars_are_fetched_once(tmp_path: Path, pom: Path, maven: Path) -> None:
    for _ in range(2):
        jars.ensure_jars(tmp_path / "libs", java=JAVA, progress=lambda _said: None)
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("/opt/java ")
    assert f"--file {pom}" in call
    assert maven.exists()


@pytest.mark.usefixtures("pom")
def test_the_machines_own_java_is_left_to_maven_to_find(tmp_path: Path, maven: Path) -> None:
    java = maven.with_name("java")
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    jars.ensure_jars(tmp_path / "libs", java=JAVA, progress=lambda _said: None)
    assert (tmp_path / "calls").read_text().startswith(" --quiet")


@pytest.mark.usefixtures("maven")
def test_a_changed_pom_fetches_again_and_drops_the_old_jars(tmp_path: Path, pom: Path) -> None:
    jars.ensure_jars(tmp_path / "libs", java=JAVA, progress=lambda _said: None)
    (tmp_path / "libs" / "old.jar").touch()
    pom.write_text("<project><!-- newer --></project>")
    said: list[str] = []
    jars.ensure_jars(tmp_path / "libs", java=JAVA, progress=said.append)
    assert {path.name for path in (tmp_path / "libs").glob("*.jar")} == {"kafka.jar"}
    assert len(said) == 1


@pytest.mark.usefixtures("pom")
def test_a_maven_that_fails_is_quoted_and_tried_again(tmp_path: Path, maven: Path) -> None:
    maven.write_text("#!/bin/sh\necho 'Could not resolve org.apache.kafka'; exit 1\n")
    for _ in range(2):
        with pytest.raises(ServerError, match=r"Could not resolve org\.apache\.kafka"):
            jars.ensure_jars(tmp_path / "libs", java=JAVA, progress=lambda _said: None)


@pytest.mark.usefixtures("pom")
def test_without_maven_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError, match="apt-get install maven"):
        jars.ensure_jars(tmp_path / "libs", java=JAVA, progress=lambda _said: None)


def test_an_installation_without_the_pom_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "POMS", (tmp_path / "none.xml",))
    with pytest.raises(MissingProgramError, match="from a checkout"):
        jars.ensure_jars(tmp_path / "libs", java=JAVA, progress=lambda _said: None)


def test_the_pom_of_a_checkout_is_found() -> None:
    assert jars.POMS[0].read_text().count("<artifactId>kafka_2.13</artifactId>") == 1
