"""What the client promises, against servers on loopback that would have it broken."""

import gzip
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.judging.http import MAX_BODY_BYTES, Endpoint, EndpointError, Reply

KEY = "sk-not-to-be-seen"
MESSAGES = [{"role": "user", "content": "Which?"}]
DEADLINE_S = 10.0

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Tells its server of each connection and request, and answers as that wants."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers)))
        try:
            self.server.answer(self)
        except OSError:
            self.close_connection = True

    def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def setup(self) -> None:
        super().setup()
        self.server.opened.release()

    def finish(self) -> None:
        self.server.closed.release()
        super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """What it was asked, and how many connections were opened and closed."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.opened, self.closed = threading.Semaphore(0), threading.Semaphore(0)
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    server = Server(answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def endpoint(base_url: str, **changes: Any) -> Endpoint:
    given = {"bootstrap_servers": "b:1", "postgres_dsn": "d", "judge_model": "m",
             "judge_base_url": base_url, "judge_api_key": KEY,
             "judge_timeout_s": DEADLINE_S}  # fmt: skip
    return Endpoint(JudgeSettings.load(**given | changes))


def asked(base_url: str, **changes: Any) -> Reply:
    with closing(endpoint(base_url, **changes)) as asking:
        return asking.ask(MESSAGES)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def trickle(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(MAX_BODY_BYTES))
    handler.end_headers()
    while not handler.server.closing.wait(0.01):
        handler.wfile.write(b" ")


def trickle_chunks(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while not handler.server.closing.wait(0.01):
        handler.wfile.write(b"1\r\n \r\n")


def silent(handler: Handler) -> None:
    handler.server.closing.wait(DEADLINE_S)


@pytest.mark.parametrize("answer", [trickle, trickle_chunks, silent])
def test_no_server_gets_more_time_than_the_setting(answer: Answer) -> None:
    with serving(answer) as server:
        began = time.monotonic()
        with pytest.raises(EndpointError, match="timed out"):
            asked(server.url, judge_timeout_s=0.2)
        assert time.monotonic() - began < DEADLINE_S / 2


def test_the_largest_body_is_taken_whole() -> None:
    with serving(lambda handler: handler.reply(b"x" * MAX_BODY_BYTES)) as server:
        assert len(asked(server.url).body) == MAX_BODY_BYTES


def test_a_larger_body_is_not_taken() -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65_536)

    with serving(endless) as server, pytest.raises(EndpointError, match="is longer than"):
        asked(server.url)


def test_a_body_is_never_unpacked() -> None:
    packed = gzip.compress(b"x" * 1_000_000)
    with serving(lambda handler: handler.reply(packed, Content_Encoding="gzip")) as server:
        assert asked(server.url).body == packed
    assert server.asked[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    with (
        serving(lambda handler: handler.reply(b"{}")) as elsewhere,
        serving(lambda h: h.reply(b"moved", status, Location=elsewhere.url)) as server,
    ):
        assert asked(server.url) == Reply(status, b"moved")
        assert len(server.asked) == 1
    assert elsewhere.asked == []


def test_an_answer_comes_with_its_status_and_when_to_ask_again() -> None:
    with serving(lambda handler: handler.reply(b"busy", 429, Retry_After="7")) as server:
        assert asked(server.url + "/v1/") == Reply(429, b"busy", "7")
    path, headers = server.asked[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_none_is_sent(key: str | None) -> None:
    with serving(lambda handler: handler.reply(b"{}")) as server:
        asked(server.url, judge_api_key=key)
    assert "Authorization" not in server.asked[0][1]


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def half_an_answer(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


def no_http(handler: Handler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("answer", [hang_up, half_an_answer, no_http])
def test_an_error_names_the_endpoint_and_not_the_key(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(answer) as server, pytest.raises(EndpointError) as raised:
        asked(server.url)
    assert str(raised.value).startswith(f"no answer from {server.url}/chat/completions: ")
    assert KEY not in f"{raised.value} {raised.value!r} {caplog.text}"


def test_nobody_listening_is_an_endpoint_error() -> None:
    with serving(hang_up) as server:
        pass
    with pytest.raises(EndpointError, match="refused"):
        asked(server.url)


def test_a_server_that_repeats_the_key_does_not_give_it_away() -> None:
    said = f"no such key: {KEY}!".encode()
    with serving(lambda handler: handler.reply(said, 401)) as server:
        assert asked(server.url) == Reply(401, b"no such key: ***!")


def test_a_request_is_not_logged_by_the_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(lambda handler: handler.reply(b"{}")) as server:
        asked(server.url)
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []
    assert KEY not in caplog.text


@pytest.mark.parametrize("end", ["\n", " ", "\r\nX-Other: 1", "\0", "é"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(end: str) -> None:
    with pytest.raises(ConfigError, match="ROPEWALK_JUDGE_API_KEY") as raised:
        endpoint("http://localhost:1", judge_api_key=KEY + end)
    assert KEY not in repr(raised.value)


@pytest.mark.parametrize(
    "url",
    ["http://:p@x/", "http://u@x/", "http://x:99999/", "http://..", "http://x\0y/", "http:///v1",
     "http://xn--/", f"http://{'a' * 64}/", "http://[::1/"],
)  # fmt: skip
def test_a_base_url_that_nothing_can_be_at_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="ROPEWALK_JUDGE_BASE_URL"):
        endpoint(url)


def test_connections_are_used_again_and_closed_in_the_end() -> None:
    with serving(lambda handler: handler.reply(b"{}")) as server:
        with closing(endpoint(server.url)) as asking:
            for _ in range(3):
                asking.ask(MESSAGES)
            assert server.opened.acquire(timeout=DEADLINE_S)
            assert not server.opened.acquire(blocking=False)
            assert not server.closed.acquire(blocking=False)
        assert server.closed.acquire(timeout=DEADLINE_S)


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda handler: handler.reply(b"{}")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        asked("http://judge.invalid/v1")
    assert [path for path, _ in proxy.asked] == ["http://judge.invalid/v1/chat/completions"]


def test_this_machine_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with serving(lambda handler: handler.reply(b"{}")) as server:
        assert asked(server.url).status == 200


@pytest.mark.parametrize("proxy", ["gopher://x:1", "socks5://x:1", "http://x:y"])
def test_a_proxy_that_cannot_be_used_is_named(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigError, match="ALL_PROXY"):
        endpoint("http://localhost:1")
