"""Texts that are secrets by their looks, by name.

Each is linear: what repeats without a bound is possessive or cannot fail after it, the rest is
bounded. `anchors` keep most texts from being searched at all.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ropewalk_producers.errors import SettingsError

NONE = "none"
MAX_NAME_CHARS = 40
_NAME = re.compile(rf"[a-z][a-z0-9_]{{0,{MAX_NAME_CHARS - 1}}}", re.ASCII)
_RESERVED = frozenset({"error", "path", NONE})


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of secret.

    Attributes:
        name: What is put in its place is ``[redacted:NAME]``.
        regex: A group named `keep`, if it has one, is left in front of that.
        anchors: A text in which it finds something holds one of them; ``""``: not known.
        guard: Such a text holds this character; ``""``: not known.
    """

    name: str
    regex: re.Pattern[str]
    anchors: tuple[str, ...] = ("",)
    guard: str = ""

    @property
    def replacement(self) -> str:
        """As `re.sub` takes it."""
        kept = r"\g<keep>" if "keep" in self.regex.groupindex else ""
        return kept + marker(self.name)


def marker(name: str) -> str:
    """What stands where something was."""
    return f"[redacted:{name}]"


def _of(name: str, regex: str, *anchors: str, guard: str = "") -> Pattern:
    return Pattern(name, re.compile(regex, re.ASCII | re.DOTALL), anchors or ("",), guard)


def _begins(*words: str) -> str:
    """One of these, not inside of a longer word; an escape left as it is ends a word, too.

    The word comes first and is looked at again, so that the search can look for its letters.
    """
    ends = (r"\\[nrt]", "%[0-9A-F]{2}", r"\[[0-9]m", r"\[[0-9]{2}m")
    looks = (
        f"{word}(?:(?<![A-Za-z0-9]{word})|{'|'.join(f'(?<={end}{word})' for end in ends)})"
        for word in words
    )
    return f"(?:{'|'.join(looks)})"


_W = "[A-Za-z0-9_-]"
_SETTER = r"""["'\\]{0,4}\s{0,4}[=:]\s{0,4}["'\\]{0,4}"""
_PEM = r"PRIVATE KEY(?: BLOCK)?-----"

SECRETS = (
    _of(
        "private_key",
        rf"-----BEGIN [A-Z0-9 ]{{0,30}}{_PEM}.*?(?:-----END [A-Z0-9 ]{{0,30}}{_PEM}|\Z)",
        "PRIVATE KEY",
        guard="-",
    ),
    _of("jwt", rf"eyJ{_W}{{8,500}}\.{_W}{{8,}}+\.(?:{_W}++\.?){{0,3}}", "eyJ", guard="."),
    _of(
        "api_key",
        _begins("sk-") + rf"(?:(?:proj|svcacct|admin|ant|or-v1|lf|litellm)-{_W}{{16,}}+"
        r"|[A-Za-z0-9]{32,}+)"
        rf"|{_begins('gsk_', 'pplx-', 'xai-', 'csk-', 'fw_', 'r8_')}[A-Za-z0-9]{{22,}}+"
        rf"|{_begins('nvapi-', 'tvly-')}{_W}{{20,}}+"
        r"|lsv2_[a-z]{2}_[0-9a-f]{32}_[0-9a-f]{6,}+",
        *("sk-", "gsk_", "pplx-", "xai-", "fw_", "r8_", "nvapi-", "tvly-", "lsv2_"),
    ),
    _of(
        "aws_key",
        r"(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Z0-9])",
        *("AKIA", "ASIA", "ABIA", "ACCA"),
    ),
    _of(
        "aws_secret",
        rf"(?P<keep>(?:(?i:secret_?access_?key)){_SETTER})[A-Za-z0-9/+]{{40}}(?![A-Za-z0-9/+])",
        *("ecret_access_key", "ECRET_ACCESS_KEY", "ecretAccessKey"),
    ),
    _of("github_token", r"gh[oprsu]_[A-Za-z0-9]{36,}+|github_pat_[A-Za-z0-9_]{40,}+",
        *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), guard="_"),
    _of("gitlab_token", rf"gl(?:pat|dt|rt|ptt|oas|cbt)-{_W}{{20,}}+",
        *("glpat-", "gldt-", "glrt-", "glptt-", "gloas-", "glcbt-"), guard="-"),
    _of(
        "slack_token",
        r"xox[a-z]-[A-Za-z0-9-]{10,}+|xapp-[0-9]-[A-Za-z0-9-]{10,}+"
        r"|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}+",
        *("xox", "xapp-", "hooks.slack.com"),
    ),
    _of("google_key", rf"AIza{_W}{{35}}|ya29\.{_W}{{20,}}+|GOCSPX-{_W}{{20,}}+",
        *("AIza", "ya29.", "GOCSPX-")),
    _of("stripe_key", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}+|whsec_[A-Za-z0-9+/]{24,}+",
        *("k_live_", "k_test_", "whsec_"), guard="_"),
    _of("huggingface_token", rf"{_begins('hf_')}[A-Za-z0-9]{{30,}}+", "hf_", guard="_"),
    _of("package_token", rf"npm_[A-Za-z0-9]{{36,}}+|pypi-AgE{_W}{{50,}}+",
        *("npm_", "pypi-AgE")),
    _of("sendgrid_key", rf"SG\.{_W}{{16,40}}\.{_W}{{30,}}+", "SG.", guard="."),
    _of("telegram_token", rf"(?<![0-9])[0-9]{{8,10}}:AA{_W}{{32,}}+", ":AA", guard=":"),
    _of(
        "bearer_token",
        r"(?P<keep>(?:[Bb]earer|BEARER)(?:\s|%20){1,4})(?=[A-Za-z._~+/=-]{0,200}[0-9])"
        r"[A-Za-z0-9._~+/=-]{12,}+",
        *("bearer", "Bearer", "BEARER"),
    ),
    _of(
        "authorization",
        rf"(?P<keep>(?i:authorization){_SETTER}(?:(?i:basic|token|apikey|digest)\s{{1,4}}))"
        r"[A-Za-z0-9._~+/=-]{8,}+",
        *("uthorization", "UTHORIZATION"),
    ),
    _of(
        "url_password",
        r"""(?P<keep>://[^\s/?\#:@"'<>\\]{0,200}:)[^\s/?\#@"'<>\\]{1,200}(?=@)""",
        "://",
        guard="@",
    ),
    _of(
        "url_secret",
        r"(?P<keep>[?&](?:access_token|refresh_token|id_token|api_key|apikey|client_secret"
        r"""|password|sig|signature|X-Amz-Signature|X-Amz-Security-Token)=)[^\s&"'<>\#\\]{8,}+""",
        *("_token=", "api_key=", "apikey=", "client_secret=", "password=", "sig=", "ignature="),
        *("-Token=",),
        guard="=",
    ),
)  # fmt: skip

_LOCAL = r"""\w.+%'&!#$*?^~-"""
_EMAIL = Pattern(
    "email",
    re.compile(rf"(?<![{_LOCAL}])[{_LOCAL}]++@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,8}}"),
    ("@",),
    "@",
)
SHORTEST = dict.fromkeys((pattern.name for pattern in SECRETS), 8) | {"email": 5}
"""No shorter text holds what these patterns find."""
BUILT_IN: Mapping[str, tuple[Pattern, ...]] = {
    "secrets": SECRETS,
    **{pattern.name: (pattern,) for pattern in (*SECRETS, _EMAIL)},
}


def chosen(names: str) -> list[Pattern]:
    """The built-in patterns that a list such as ``secrets, email`` names, in the order of the sets.

    Raises:
        SettingsError: Naming what does not exist.
    """
    given = [name.strip() for name in names.split(",")]
    if given == [NONE]:
        return []
    for name in given:
        if name not in BUILT_IN:
            known = f"{NONE} alone, or some of {', '.join(BUILT_IN)}"
            raise SettingsError("redact", f"names {name!r}; known are {known}")
    wanted = {pattern.name for name in given for pattern in BUILT_IN[name]}
    return [pattern for pattern in (*SECRETS, _EMAIL) if pattern.name in wanted]


def own(given: Mapping[str, str]) -> list[Pattern]:
    """The user's patterns, by name.

    Raises:
        SettingsError: If one is no regular expression, or fits the empty text.
    """
    return [_own(name, regex) for name, regex in given.items()]


def _own(name: object, regex: object) -> Pattern:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in {*BUILT_IN, *_RESERVED}:
        problem = f"names {name!r}; a name is new, of a-z, 0-9 and _, at most {MAX_NAME_CHARS}"
        raise SettingsError("redact_patterns", problem)
    try:
        compiled = re.compile(str(regex))
    except (re.error, RecursionError, OverflowError) as error:
        problem = f"has {name!r}, which is no regular expression: {error}"
        raise SettingsError("redact_patterns", problem) from error
    if compiled.search("") is not None:
        raise SettingsError("redact_patterns", f"has {name!r}, which fits even an empty text")
    return Pattern(name, compiled)


def search_order(patterns: Iterable[Pattern]) -> list[tuple[str, list[Pattern]]]:
    """Patterns under the character each needs, those that need none under ``""``."""
    out: dict[str, list[Pattern]] = {}
    for pattern in patterns:
        out.setdefault(pattern.guard, []).append(pattern)
    return list(out.items())
