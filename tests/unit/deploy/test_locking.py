import threading
from pathlib import Path

import pytest

from ropewalk_deploy.stack.errors import HomeError
from ropewalk_deploy.stack.locking import exclusive


def test_the_second_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    lock_file = tmp_path / "lock"
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with exclusive(lock_file, lambda _said: waiting.set()):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive(lock_file, order.append):
        thread.start()
        assert waiting.wait(timeout=30)
        order.append("first")
    thread.join(timeout=30)
    assert order == ["first", "second"]


def test_a_lock_that_cannot_be_opened_names_the_setting(tmp_path: Path) -> None:
    with (
        pytest.raises(HomeError, match="ROPEWALK_HOME"),
        exclusive(tmp_path / "missing" / "lock", print),
    ):
        pass
