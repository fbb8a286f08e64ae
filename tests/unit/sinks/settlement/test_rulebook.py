"""Which rule a claim is settled by, and how another service's rule is found."""

import sys
from pathlib import Path
from typing import Any

import pytest

from ropewalk_sinks.config import SettlementSettings
from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.settlement.rulebook import GROUP, RuleBook
from ropewalk_sinks.settlement.rules import SHIPPED, Rule, UnsettleableError

DEFAULT = SettlementSettings.model_fields["settlement_rules"].default


def chosen(book: RuleBook, key: str, terms: dict[str, Any] | None = None) -> str:
    return book.rule_for(project="market", outcome_key=key, terms=terms or {}).id


def worth(_terms: object, _values: object) -> float:
    return 0.25


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("prediction:game:1", "prediction_market@1"),
        ("price:NOVA/1h", "price_move@1"),
        ("perpetual:game:NOVA", "perpetual_position@1"),
    ],
)
def test_prefixes_of_outcome_keys_stand_for_rules(key: str, rule: str) -> None:
    assert chosen(RuleBook(SHIPPED, DEFAULT), key) == rule


def test_the_longest_prefix_counts_and_may_name_the_project() -> None:
    prefixes = {"m": "price_move", "match:": "perpetual_position", "market/match": "odd"}
    book = RuleBook((*SHIPPED, Rule("odd", "1", worth)), prefixes)
    assert chosen(book, "match:1") == "odd@1"
    assert chosen(book, "mxtch:1") == "price_move@1"
    assert chosen(RuleBook(SHIPPED, {"": "price_move"}), "anything") == "price_move@1"


def test_a_claim_names_its_rule_with_or_without_a_version() -> None:
    versions = [Rule("odd", version, worth) for version in ("10", "9", "2")]
    book = RuleBook((*SHIPPED, *versions), DEFAULT)
    assert chosen(book, "prediction:1", {"rule": "odd"}) == "odd@10"
    assert chosen(book, "prediction:1", {"rule": "odd@2"}) == "odd@2"


@pytest.mark.parametrize("rule", ["unknown", "price_move@7", None, 3, ["price_move"]])
def test_an_unknown_rule_settles_nothing(rule: object) -> None:
    with pytest.raises(UnsettleableError, match="names the unknown rule"):
        chosen(RuleBook(SHIPPED, DEFAULT), "prediction:1", {"rule": rule})


def test_without_any_rule_a_claim_is_unsettleable() -> None:
    with pytest.raises(UnsettleableError, match="ROPEWALK_SETTLEMENT_RULES"):
        chosen(RuleBook(SHIPPED, DEFAULT), "match:1")


def test_a_setting_that_names_no_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown rule 'prise_move'; known are .*price_move"):
        RuleBook(SHIPPED, {"price:": "prise_move"})


def test_two_rules_of_one_name_and_version_are_refused() -> None:
    with pytest.raises(ConfigError, match="two settlement rules are named price_move@1"):
        RuleBook((*SHIPPED, Rule("price_move", "1", worth)), {})


def test_the_fingerprint_changes_with_what_could_settle_otherwise() -> None:
    newer = Rule("price_move", "2", worth)
    books = [RuleBook(SHIPPED, {}), RuleBook((*SHIPPED, newer), {}), RuleBook(SHIPPED, DEFAULT)]
    assert len({book.fingerprint for book in books}) == 3
    assert RuleBook(SHIPPED[::-1], DEFAULT).fingerprint == books[2].fingerprint


def install(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of another service, as pip leaves it; gives its module."""
    module = f"rules_of_{folder.name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\ndraws = {module}:draws\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return module


def test_a_rule_of_another_service_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from ropewalk_sinks.settlement.rules import Rule\n"
        "draws = Rule('draws', '3', lambda terms, values: 0.5)\n"
    )
    install(tmp_path, code, monkeypatch)
    book = RuleBook.load({"match:": "draws"})
    assert chosen(book, "match:1") == "draws@3"


@pytest.mark.parametrize("code", ["draws = 5\n", "raise RuntimeError('broken')\n"])
def test_a_rule_that_cannot_be_loaded_is_named(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = install(tmp_path, code, monkeypatch)
    with pytest.raises(ConfigError, match=f"settlement rule {module}:draws"):
        RuleBook.load({})
