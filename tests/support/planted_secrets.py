"""Made-up secrets, one of each kind that the recorder's built-in patterns know."""

import random
import string

_rng = random.Random(20260301)
_WORD = string.ascii_letters + string.digits


def _word(n: int, letters: str = _WORD) -> str:
    return "".join(_rng.choices(letters, k=n))


def _header() -> str:
    return "eyJ" + _word(30)


HEX = "0123456789abcdef"
PEM = "\n".join(_word(64) for _ in range(4))
SECRETS: dict[str, list[str]] = {
    "private_key": [
        f"-----BEGIN RSA PRIVATE KEY-----\n{PEM}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{PEM}",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{PEM}\n-----END PGP PRIVATE KEY BLOCK-----",
    ],
    "jwt": [f"{_header()}.eyJ{_word(60)}.{_word(43)}", f"{_header()}.eyJ{_word(40)}."],
    "api_key": [
        f"sk-{_word(48)}",
        f"sk-proj-{_word(40)}-{_word(20)}_{_word(30)}",
        f"sk-ant-api03-{_word(60)}-{_word(20)}AA",
        f"sk-or-v1-{_word(64, HEX)}",
        f"gsk_{_word(52)}",
        f"xai-{_word(80)}",
        f"pplx-{_word(48)}",
        f"nvapi-{_word(64)}",
        f"tvly-dev-{_word(32)}",
        f"lsv2_pt_{_word(32, HEX)}_{_word(10, HEX)}",
    ],
    "aws_key": [f"AKIA{_word(16, string.ascii_uppercase)}"],
    "aws_secret": [f"aws_secret_access_key = {_word(40)}", f"SecretAccessKey: '{_word(40)}'"],
    "github_token": [f"ghp_{_word(36)}", f"github_pat_{_word(22)}_{_word(59)}"],
    "gitlab_token": [f"glpat-{_word(20)}"],
    "slack_token": [
        f"xoxb-{_word(12, string.digits)}-{_word(24)}",
        f"https://hooks.slack.com/services/T{_word(8)}/B{_word(8)}/{_word(24)}",
    ],
    "google_key": [f"AIza{_word(35)}", f"ya29.{_word(60)}", f"GOCSPX-{_word(28)}"],
    "stripe_key": [f"sk_live_{_word(24)}", f"rk_test_{_word(24)}", f"whsec_{_word(32)}"],
    "huggingface_token": [f"hf_{_word(34)}"],
    "package_token": [f"npm_{_word(36)}", f"pypi-AgEIcHlwaS5vcmc{_word(60)}"],
    "sendgrid_key": [f"SG.{_word(22)}.{_word(43)}"],
    "telegram_token": [f"{_word(10, '123456789')}:AA{_word(33)}"],
    "bearer_token": [f"Bearer {_word(20)}9{_word(10)}", f"bearer%20{_word(20)}9"],
    "authorization": [
        f"Authorization: Basic {_word(24)}==",
        f'"authorization": "Token {_word(24)}"',
    ],
    "url_password": [f"postgresql://app:{_word(12)}@db:5432/app", f"redis://:{_word(16)}@cache"],
    "url_secret": [f"https://api.example.com/v1?access_token={_word(24)}"],
    "email": ["jane.doe+agents@mail.example.co.uk", "Jürgen.Groß@straße.example"],
}
"""By the name of the pattern that finds it; what else may stand around it is part of the text."""


def all_secrets() -> list[tuple[str, str]]:
    """Name and text of each."""
    return [(name, text) for name, texts in SECRETS.items() for text in texts]


def core_of(text: str) -> str:
    """The longest run of letters and digits: what must be found nowhere."""
    runs = "".join(c if c.isalnum() else " " for c in text).split()
    return max(runs, key=len)
