"""One request to an OpenAI-compatible endpoint, with the standard library's client.

The only module that speaks HTTP. Redirects are not followed, so that the key goes nowhere else.
"""

import http.client
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from ropewalk_schemas.encoding import to_json
from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.judging.config import JudgeSettings

MAX_BODY_BYTES = 16 * 1024 * 1024
_CHUNK = 65_536


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    retry_after: str | None = None


class EndpointError(Exception):
    """No whole answer came: refused, dropped, too slow or too long. Asking again may help."""


class Endpoint:
    """Where the judge is asked; may be used by several threads at once.

    Raises:
        ConfigError: If the base URL is not one.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self._timeout_s = settings.judge_timeout_s
        self._model, self._json_mode = settings.judge_model, settings.judge_json_mode
        self.url = settings.judge_base_url.rstrip("/") + "/chat/completions"
        self._secure, self._host, self._port, self._path = _parsed(self.url)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if settings.judge_api_key is not None:
            self._headers["Authorization"] = f"Bearer {settings.judge_api_key.get_secret_value()}"

    def ask(self, messages: list[dict[str, str]]) -> Reply:
        """Send a chat, and give the answer whatever its status.

        Raises:
            EndpointError: If there is none in time.
        """
        asked: dict[str, object] = {"model": self._model, "messages": messages}
        if self._json_mode:
            asked["response_format"] = {"type": "json_object"}
        connection = self._connection()
        until = time.monotonic() + self._timeout_s
        try:
            connection.request("POST", self._path, to_json(asked), self._headers)
            response = connection.getresponse()
            body = _read(response, until)
        except (OSError, http.client.HTTPException) as error:
            msg = f"no answer from {self.url}: {error or type(error).__name__}"
            raise EndpointError(msg) from error
        finally:
            connection.close()
        return Reply(response.status, body, response.headers.get("Retry-After"))

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout_s)


def _read(response: http.client.HTTPResponse, until: float) -> bytes:
    """The whole body; a server that trickles does not get more time than one that is silent."""
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            msg = f"its answer is longer than {MAX_BODY_BYTES} bytes"
            raise http.client.HTTPException(msg)
        if time.monotonic() > until:
            raise TimeoutError("timed out")
    return bytes(body)


def _parsed(url: str) -> tuple[bool, str, int | None, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        msg = (
            "setting ROPEWALK_JUDGE_BASE_URL must be a URL such as http://localhost:8000/v1, "
            "without user or password"
        )
        raise ConfigError(msg)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return parts.scheme == "https", parts.hostname, port, path
