"""An OpenAI-compatible endpoint on loopback that answers as a model would, or badly on purpose."""

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

Behaviour = Literal[
    "good", "fenced", "reordered", "wrong_count", "unknown_id", "out_of_range", "not_finite",
    "not_json", "no_choices", "slow", "too_many", "broken", "drops", "refuses", "no_key", "moved",
]  # fmt: skip
Choose = Callable[[str, int], Behaviour]

_TRAJECTORY = re.compile(r'<trajectory id="(\d+)">(.*?)</trajectory>', re.DOTALL)
_STATUS: dict[Behaviour, int] = {
    "too_many": 429, "broken": 500, "refuses": 400, "no_key": 401, "moved": 302,
}  # fmt: skip
INPUT_TOKENS, OUTPUT_TOKENS = 100, 20


class Asked(NamedTuple):
    """One request: what identifies its prompt, and what was sent."""

    prompt: str
    authorization: str | None
    body: dict[str, Any]


class JudgeServer:
    """A running judge; its answers differ from request to request, as a model's do."""

    def __init__(self, choose: Choose, *, slow_s: float = 30.0, retry_after: str = "0") -> None:
        self.choose, self.slow_s, self.retry_after = choose, slow_s, retry_after
        self.asked: list[Asked] = []
        self.closing = threading.Event()
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
            return Counter(asked.prompt for asked in self.asked)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request as chosen."""
        length = int(handler.headers["Content-Length"])
        body = json.loads(handler.rfile.read(length))
        text = body["messages"][-1]["content"]
        prompt = hashlib.sha256(text.encode()).hexdigest()
        with self._lock:
            nth = sum(asked.prompt == prompt for asked in self.asked)
            self.asked.append(Asked(prompt, handler.headers["Authorization"], body))
        behaviour = self.choose(text, nth)
        if behaviour == "drops":
            handler.close_connection = True
            return
        if behaviour == "slow":
            self.closing.wait(self.slow_s)
        self._reply(handler, behaviour, _said(behaviour, text, nth))

    def _reply(self, handler: BaseHTTPRequestHandler, behaviour: Behaviour, said: str) -> None:
        reply: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": said}}]}
        if behaviour == "no_choices":
            reply = {"choices": []}
        reply["usage"] = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
        status = _STATUS.get(behaviour, 200)
        data = json.dumps(reply if status == 200 else {"error": {"message": behaviour}}).encode()
        try:
            handler.send_response(status)
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
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def _said(behaviour: Behaviour, text: str, nth: int) -> str:
    scores: list[dict[str, Any]] = [
        {"trajectory_id": number, "explanation": f"answer {nth}", "score": score_of(content, nth)}
        for number, content in _TRAJECTORY.findall(text)
    ]
    match behaviour:
        case "reordered":
            scores.reverse()
        case "wrong_count":
            scores.pop()
        case "unknown_id":
            scores[0]["trajectory_id"] = "77"
        case "out_of_range":
            scores[0]["score"] = 7
        case "not_json":
            return "I think the first one is best."
    said = json.dumps({"scores": scores})
    if behaviour == "not_finite":
        said = json.dumps({"scores": [*scores[1:], {**scores[0], "score": float("nan")}]})
    return f"```json\n{said}\n```" if behaviour == "fenced" else said


def score_of(content: str, nth: int) -> float:
    """The score of a trajectory as shown, in the answer to the nth request."""
    return int(hashlib.sha256(f"{nth} {content}".encode()).hexdigest()[:4], 16) / 0xFFFF


def always(behaviour: Behaviour = "good") -> Choose:
    """The same for every request."""
    return lambda _text, _nth: behaviour


def in_turn(*behaviours: Behaviour) -> Choose:
    """One after the other for each prompt; the last one from then on."""
    return lambda _text, nth: behaviours[min(nth, len(behaviours) - 1)]


@contextmanager
def judge_server(choose: Choose, **options: Any) -> Iterator[JudgeServer]:
    """A judge that is closed at the end."""
    server = JudgeServer(choose, **options)
    server.start()
    try:
        yield server
    finally:
        server.close()
