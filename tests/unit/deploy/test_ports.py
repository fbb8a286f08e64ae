import socket
from collections.abc import Iterator

import pytest

from ropewalk_deploy.stack import ports
from ropewalk_deploy.stack.errors import ServerError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)
    assert ports.accepts(taken)


def test_a_chosen_port_is_free_and_has_no_listener() -> None:
    port = ports.choose()
    assert ports.is_free(port)
    assert not ports.accepts(port)


def test_ports_to_avoid_are_never_chosen() -> None:
    only = ports.choose()
    everything_else = set(ports.CANDIDATES) - {only}
    assert ports.choose(avoid=everything_else) == only


def test_running_out_of_ports_says_which_ones() -> None:
    with pytest.raises(ServerError, match="between 20000 and 29999"):
        ports.choose(avoid=ports.CANDIDATES)
