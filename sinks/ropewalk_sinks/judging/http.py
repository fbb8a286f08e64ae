"""One request to an OpenAI-compatible endpoint.

The only module that speaks HTTP. Redirects are not followed, so that the key goes nowhere else.
"""

import logging
import re
import ssl
import time
from typing import NamedTuple

import httpx

from ropewalk_schemas.encoding import to_json
from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.judging.config import JudgeSettings

MAX_BODY_BYTES = 16 * 1024 * 1024
_PORTS = range(65_536)
_KEY = re.compile(r"[!-~]+")
_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")

# It logs every request at INFO; what there is to say of one, `asking` says.
logging.getLogger("httpx").setLevel(logging.WARNING)


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
        ConfigError: If the base URL or the key is not one, or a proxy of the environment is not.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self._timeout_s = settings.judge_timeout_s
        self._model, self._json_mode = settings.judge_model, settings.judge_json_mode
        self._key = _key(settings)
        self.url = _checked(settings.judge_base_url.rstrip("/") + "/chat/completions")
        self._client = _client(self._key, self._timeout_s, settings.judge_concurrency)

    def ask(self, messages: list[dict[str, str]]) -> Reply:
        """Send a chat, and give the answer whatever its status.

        Raises:
            EndpointError: If there is none in time.
        """
        asked: dict[str, object] = {"model": self._model, "messages": messages}
        if self._json_mode:
            asked["response_format"] = {"type": "json_object"}
        until = time.monotonic() + self._timeout_s
        try:
            with self._client.stream("POST", self.url, content=to_json(asked)) as response:
                body = _read(response, until)
        except httpx.HTTPError as error:
            msg = f"no answer from {self.url}: {str(error) or type(error).__name__}"
            raise EndpointError(msg) from error
        if self._key and not response.is_success:
            # Some servers repeat the key they refuse, and this text is logged and stored.
            body = body.replace(self._key.encode(), b"***")
        return Reply(response.status_code, body, response.headers.get("Retry-After"))

    def close(self) -> None:
        """Close the connections; nothing can be asked any more."""
        self._client.close()


def _client(key: str, timeout_s: float, n_connections: int) -> httpx.Client:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    headers["Accept-Encoding"] = "identity"  # so that no small body unpacks to a huge one
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        return httpx.Client(
            headers=headers,
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=n_connections),
            # The machine's certificates: a company's own authority is installed there.
            verify=ssl.create_default_context(),
            # HTTPS_PROXY and NO_PROXY count, as for every other client of the machine: often a
            # proxy is the only way out. What is on this machine is never asked through one.
            trust_env=True,
            mounts=dict.fromkeys(_LOOPBACK),
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        msg = f"HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY cannot be used: {error}"
        raise ConfigError(msg) from error


def _read(response: httpx.Response, until: float) -> bytes:
    """The whole body; a server that trickles does not get more time than one that is silent.

    Headers came before it: for them the client has a limit per read, and one of size.
    """
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            msg = f"its answer is longer than {MAX_BODY_BYTES} bytes"
            raise httpx.ReadError(msg)
        if time.monotonic() > until:
            msg = "timed out"
            raise httpx.ReadTimeout(msg)
    return bytes(body)


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url)
        # As the resolver does it, which fails at what is no name.
        host = parsed.host and parsed.raw_host.decode().encode("idna")
    except (ValueError, httpx.InvalidURL):
        parsed, host = httpx.URL(""), ""
    known = parsed.scheme in ("http", "https") and (parsed.port or 0) in _PORTS
    if not known or not host or parsed.userinfo or parsed.query:
        msg = (
            "setting ROPEWALK_JUDGE_BASE_URL must be a URL such as http://localhost:8000/v1, "
            "without user, password or query"
        )
        raise ConfigError(msg)
    return url


def _key(settings: JudgeSettings) -> str:
    """The key, "" for none; checked here, for the client's complaint would quote it."""
    key = settings.judge_api_key.get_secret_value() if settings.judge_api_key else ""
    if key and not _KEY.fullmatch(key):
        msg = (
            "setting ROPEWALK_JUDGE_API_KEY holds a character that no key has, such as a space or "
            "a line break"
        )
        raise ConfigError(msg)
    return key
