"""An OpenAI-compatible endpoint on loopback, with a scripted model behind it."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from ropewalk_deploy.simulation.scripted_model import STATUS, Behaviour, Choose, Score, said

INPUT_TOKENS, OUTPUT_TOKENS = 100, 20


class Asked(NamedTuple):
    """One request: what identifies its prompt, and what was sent."""

    prompt: str
    authorization: str | None
    body: dict[str, Any]


class ModelServer:
    """A running endpoint.

    Args:
        choose: How to answer each request.
        score: What each trajectory gets.
        slow_s: How long a slow answer takes.
        retry_after: What a 429 answer says.
    """

    def __init__(
        self, choose: Choose, score: Score, *, slow_s: float = 30.0, retry_after: str = "0"
    ) -> None:
        self.choose, self._score = choose, score
        self.slow_s, self.retry_after = slow_s, retry_after
        self.asked: list[Asked] = []
        self._n_by_prompt: Counter[str] = Counter()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))

    @property
    def base_url(self) -> str:
        """What ROPEWALK_JUDGE_BASE_URL must be."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def requests_by_prompt(self) -> Counter[str]:
        """How often each prompt was asked."""
        with self._lock:
            return self._n_by_prompt.copy()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request as chosen."""
        length = int(handler.headers["Content-Length"])
        body = json.loads(handler.rfile.read(length))
        text = body["messages"][-1]["content"]
        prompt = hashlib.sha256(text.encode()).hexdigest()
        with self._lock:
            nth = self._n_by_prompt[prompt]
            self._n_by_prompt[prompt] += 1
            self.asked.append(Asked(prompt, handler.headers["Authorization"], body))
        behaviour = self.choose(text, nth)
        if behaviour == "drops":
            handler.close_connection = True
            return
        if behaviour == "slow":
            self._closing.wait(self.slow_s)
        self._reply(handler, behaviour, said(behaviour, text, nth, self._score))

    def _reply(self, handler: BaseHTTPRequestHandler, behaviour: Behaviour, text: str) -> None:
        reply: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": text}}]}
        if behaviour == "no_choices":
            reply = {"choices": []}
        reply["usage"] = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
        status = STATUS.get(behaviour)
        data = json.dumps({"error": {"message": behaviour}} if status else reply).encode()
        try:
            handler.send_response(status or 200)
            handler.send_header("Content-Length", str(len(data)))
            if behaviour == "too_many":
                handler.send_header("Retry-After", self.retry_after)
            if behaviour == "moved":
                handler.send_header("Location", self.base_url)
            handler.end_headers()
            handler.wfile.write(data)
        except OSError:
            handler.close_connection = True  # who asked is gone

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and let who is slow go."""
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@contextmanager
def model_server(choose: Choose, score: Score, **options: Any) -> Iterator[ModelServer]:
    """A server that is closed at the end."""
    server = ModelServer(choose, score, **options)
    server.start()
    try:
        yield server
    finally:
        server.close()
