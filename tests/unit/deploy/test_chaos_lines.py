"""The proxy between programs and servers, on real sockets; and where it cuts."""

import socket
import threading
from collections.abc import Iterator
from random import Random

import pytest

from ropewalk_deploy.audit.readers import wait_until
from ropewalk_deploy.chaos.proxy import Proxy, Weather, amid_commit_answer, amid_copy, anywhere
from ropewalk_deploy.stack import ports
from ropewalk_deploy.stack.ports import HOST

LINE = b"x" * 1000


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says again what it is told."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while told := connection.recv(4096):
                connection.sendall(told)

    with socket.create_server((HOST, 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(ports.choose(), echo, Random(1)).running() as proxy:
        yield proxy


def said_again(proxy: Proxy, told: bytes = LINE) -> bytes:
    heard = b""
    with socket.create_connection((HOST, proxy.port), timeout=10) as connection:
        connection.sendall(told)
        while len(heard) < len(told):
            try:
                more = connection.recv(4096)
            except ConnectionResetError:
                break
            if not more:
                break
            heard += more
    return heard


def test_what_passes_is_what_was_sent(proxy: Proxy) -> None:
    assert said_again(proxy) == LINE
    assert proxy.cuts == 0
    assert wait_until(lambda: proxy.passed == 2 * len(LINE), timeout_s=5)


def test_a_connection_is_cut_after_so_many_bytes_and_the_next_one_lives(proxy: Proxy) -> None:
    proxy.weather = Weather(cut_at=lambda way, _: 7 if way == "down" else None)
    assert len(said_again(proxy)) <= 7
    assert proxy.cuts == 1
    proxy.weather = Weather()
    assert said_again(proxy) == LINE


def test_a_server_that_is_away_is_away_through_the_proxy_too() -> None:
    with Proxy(ports.choose(), ports.choose(), Random(1)).running() as proxy:
        assert said_again(proxy) == b""


def test_cuts_are_somewhere_within_a_chunk() -> None:
    cut_at = anywhere(Random(3))
    cuts = [cut_at("up", LINE) for _ in range(300)]
    found = [cut for cut in cuts if cut is not None]
    assert 10 < len(found) < 60
    assert all(0 <= cut < len(LINE) for cut in found)


def test_copy_is_cut_on_its_way_up_only_and_a_commit_on_its_answer_only() -> None:
    copy, commit = amid_copy(Random(1)), amid_commit_answer(Random(1))
    answer = b"...C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I"
    assert copy("up", b"d\0\0\0\x10rows") is not None
    assert copy("down", b"d\0\0\0\x10rows") is None
    assert copy("up", b"Q\0\0\0\x0cCOMMIT\0") is None
    assert commit("up", b"Q\0\0\0\x0cCOMMIT\0") is None
    cut = commit("down", answer)
    assert cut is not None
    assert cut <= answer.index(b"COMMIT\0")
