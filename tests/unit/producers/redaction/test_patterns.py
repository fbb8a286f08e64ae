import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.planted_secrets import SECRETS, all_secrets, core_of

from ropewalk_producers import RecorderSettings, SettingsError
from ropewalk_producers.redaction.anchors import Anchors
from ropewalk_producers.redaction.patterns import BUILT_IN, Pattern, chosen, own
from ropewalk_producers.redaction.policy import policy_of
from ropewalk_producers.redaction.redactor import Redactor

EVERY = chosen("secrets,email")
LINEAR_S = 3.0  # for a megabyte, on a busy machine; what is quadratic takes minutes


def told(text: str, names: str = "secrets,email") -> str:
    return redactor(names).told(text)


def redactor(names: str) -> Redactor:
    return Redactor(policy_of(names, {}, ()), redacted=lambda: None, failed=lambda *_: None)


@pytest.mark.parametrize(("name", "secret"), all_secrets())
@pytest.mark.parametrize(
    "around", ["{}", "use {} now", "\n{}\n", "k={};", '{{"a": "{}"}}', "\\n{}"]
)
def test_each_kind_is_found_whatever_is_around_it(name: str, secret: str, around: str) -> None:
    out = told(around.format(secret))
    assert core_of(secret) not in out
    assert "[redacted:" in out
    if name not in {"bearer_token", "authorization"}:  # what these carry may be another kind
        assert f"[redacted:{name}]" in out


def test_every_pattern_has_an_example_here() -> None:
    assert set(SECRETS) == {pattern.name for pattern in EVERY}


def test_what_is_around_a_secret_stays() -> None:
    password = "Hq7pWz12"
    assert told(f"dsn postgres://app:{password}@db:5432/x?y=1") == (
        "dsn postgres://app:[redacted:url_password]@db:5432/x?y=1"
    )
    assert told("Authorization: Bearer abcdefghijkl0123") == (
        "Authorization: Bearer [redacted:bearer_token]"
    )


@pytest.mark.parametrize(
    "harmless",
    [
        "task-0123456789abcdef0123456789abcdef is done",
        "the disk-space-and-risk-management-overview",
        "sk-estimator-doc-link and sk-toggleable__content",
        "bearer of responsibilities, bearer representatives",
        "Bearer authentication-mechanisms are explained",
        "see http://example.com:8080/path?key=value&sort=name",
        "git@ and @jane and a@b",
        "my password is on paper",
        "019a2f7e-7d4c-7000-8000-0123456789ab",
        "https://user@host/",
        "AKIAs and ASIAN MARKETS",
        "2026-03-01T12:00:00.000000Z",
        "pplx-70b-online and xai-grok-2-vision-latest",
        "hf_transfer and gsk_plc",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_what_only_looks_alike_stays(harmless: str) -> None:
    assert told(harmless) == harmless


@pytest.mark.parametrize(("name", "secret"), all_secrets())
def test_what_is_redacted_once_stays_as_it_is(name: str, secret: str) -> None:
    once = told(f"a {secret} b")
    assert told(once) == once


@pytest.mark.parametrize("pattern", EVERY, ids=lambda pattern: pattern.name)
def test_anchors_and_guards_are_in_all_that_a_pattern_finds(pattern: Pattern) -> None:
    anchors = Anchors(pattern.anchors)
    for secret in SECRETS[pattern.name]:
        assert pattern.regex.search(secret)
        assert pattern.guard in secret
        assert any(anchor in secret for anchor in pattern.anchors)
        assert anchors.may_be_in(secret)
        assert anchors.may_be_in_any_of({"a": [f"x{secret}x"]})


@given(
    st.lists(st.text("ab_-/", min_size=1, max_size=4), min_size=1), st.text("ab_-/", max_size=20)
)
def test_anchors_say_what_a_plain_search_says(anchors: list[str], text: str) -> None:
    assert Anchors(anchors).may_be_in(text) == any(anchor in text for anchor in anchors)


# -- a megabyte of what a backtracking search could drown in

HARD = [
    *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN A PRIVATE KEY-----\n-----END "),
    *("eyJ", "eyJaaaaaaaaaaaa.", "eyJaaaaaaaaaaaa.aaaaaaaaaaaaa", "sk-", "sk-proj-a", "tvly-"),
    *("://", "://a:", "://a:b", "@", "a@a.", "Bearer aaaaaaaaaaaa ", "&password=a", "_token="),
    *("authorization:   ", "Authorization: Basic ", "AKIAA", "SG.aaaaaaaaaaaaaaaa.", "xoxb-"),
    *("123456789:AA", "secret_access_key  =  ", "ghp_", "AIza", "k_live_"),
]


@pytest.mark.parametrize("piece", HARD)
def test_a_hard_megabyte_takes_no_longer_than_another(piece: str) -> None:
    begin = time.process_time()
    redactor("secrets,email").message({"role": "user", "content": piece * (2**20 // len(piece))})
    assert time.process_time() - begin < LINEAR_S


@pytest.mark.parametrize("piece", ["a", "1", ".", '{"a":', "[", '"', "\\u0061"])
def test_nor_when_every_pattern_has_to_look(piece: str) -> None:
    begin = time.process_time()
    for pattern in EVERY:
        pattern.regex.sub("", piece * (2**17 // len(piece)))
    redactor("secrets,email").message({"role": "user", "content": piece * (2**20 // len(piece))})
    assert time.process_time() - begin < LINEAR_S


# -- settings


def test_sets_and_names_choose() -> None:
    assert [p.name for p in chosen("email, jwt")] == ["jwt", "email"]
    assert chosen("none") == []
    assert {p.name for p in chosen("secrets")} == set(SECRETS) - {"email"}
    assert RecorderSettings(project="p", service="s").redact == "secrets"


@pytest.mark.parametrize("names", ["", "secret", "secrets,none", "secrets,,email", "Email"])
def test_an_unknown_name_is_told_with_the_known_ones(names: str) -> None:
    with pytest.raises(
        SettingsError, match=r"^redact names '.*'; known are none alone.*jwt.*email"
    ):
        RecorderSettings(project="p", service="s", redact=names)


@pytest.mark.parametrize(
    ("name", "regex", "problem"),
    [
        ("customer", "C-[", "is no regular expression"),
        ("customer", "C?", "fits even an empty text"),
        ("customer", "", "fits even an empty text"),
        ("jwt", "x", "a name is new"),
        ("error", "x", "a name is new"),
        ("Customer Id", "x", "a name is new"),
        ("x" * 41, "x", "a name is new"),
    ],
)
def test_a_wrong_pattern_of_ones_own_is_told_at_the_start(
    name: str, regex: str, problem: str
) -> None:
    with pytest.raises(SettingsError, match=f"^redact_patterns.*{problem}"):
        RecorderSettings(project="p", service="s", redact_patterns={name: regex})


def test_ones_own_patterns_are_searched_like_ours() -> None:
    policy = policy_of("none", {"customer": "C-[0-9]{8}"}, ())
    out = Redactor(policy, redacted=lambda: None, failed=lambda *_: None)
    assert out.told("of C-12345678.") == "of [redacted:customer]."
    assert set(BUILT_IN) >= {"secrets", "email"}
    assert [p.name for p in own({"b": "x", "a": "y"})] == ["b", "a"]
