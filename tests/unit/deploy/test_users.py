import os
import pwd
from pathlib import Path

import pytest

from ropewalk_deploy.stack.users import ServerUser, as_user, can_enter, server_user

as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


def test_ourselves_needs_no_arguments() -> None:
    assert as_user(None) == {}


def test_another_user_keeps_none_of_our_groups() -> None:
    assert as_user(ServerUser("nobody", 1, 2)) == {"user": 1, "group": 2, "extra_groups": ()}


def test_we_enter_our_own_directories_and_none_that_is_missing(tmp_path: Path) -> None:
    assert can_enter(tmp_path, None)
    assert not can_enter(tmp_path / "missing", None)


@pytest.mark.skipif(os.geteuid() == 0, reason="is about ordinary users")
def test_an_ordinary_user_runs_postgres_as_themselves() -> None:
    assert server_user() is None


@as_root_only
def test_a_closed_directory_above_keeps_another_user_out(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    user = ServerUser("nobody", nobody.pw_uid, nobody.pw_gid)
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    assert not can_enter(inner, user)


@as_root_only
def test_root_has_somebody_else_run_postgres() -> None:
    user = server_user()
    assert user is not None
    assert user.uid != 0
