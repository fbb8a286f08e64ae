"""Which rule a claim is settled by. Rules of other services come as Python entry points."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import entry_points
from typing import Self

from ropewalk_schemas.encoding import canonical_json
from ropewalk_sinks.errors import ConfigError
from ropewalk_sinks.settlement.rules import SHIPPED, Rule, UnsettleableError, Values

GROUP = "ropewalk.settlement_rules"


class RuleBook:
    """Rules by name, and which of them prefixes of outcome keys stand for.

    Args:
        rules: All known ones, each name and version once.
        prefixes: The rule of claims that name none, by a prefix of ``OUTCOME_KEY`` or of
            ``PROJECT/OUTCOME_KEY``; the longest that fits counts.

    Raises:
        ConfigError: If two rules have one name and version, or a prefix names no known rule.
    """

    def __init__(self, rules: Iterable[Rule], prefixes: Mapping[str, str]) -> None:
        self._rules: dict[str, Rule] = {}
        for rule in sorted(rules, key=lambda rule: _order(rule.version)):
            if rule.id in self._rules:
                message = f"two settlement rules are named {rule.id}: give one another version"
                raise ConfigError(message)
            # The name alone stands for the newest version.
            self._rules[rule.id] = self._rules[rule.name] = rule
        unknown = sorted(set(prefixes.values()) - set(self._rules))
        if unknown:
            message = (
                f"setting ROPEWALK_SETTLEMENT_RULES names the unknown rule {unknown[0]!r}; "
                f"known are {', '.join(sorted(self._rules))}"
            )
            raise ConfigError(message)
        self._prefixes = sorted(prefixes.items(), key=lambda item: -len(item[0]))

    @classmethod
    def load(cls, prefixes: Mapping[str, str]) -> Self:
        """The rules that ship and those that installed packages register.

        Raises:
            ConfigError: If one of them cannot be loaded.
        """
        return cls((*SHIPPED, *_registered()), prefixes)

    @property
    def fingerprint(self) -> str:
        """Changes when a claim might be settled by another rule than before."""
        known = [sorted((name, rule.id) for name, rule in self._rules.items()), self._prefixes]
        return sha256(canonical_json(known)).hexdigest()[:16]

    def rule_for(self, *, project: str, outcome_key: str, terms: Values) -> Rule:
        """The rule that ``terms["rule"]`` names, else the one of the longest prefix.

        Raises:
            UnsettleableError: If there is none.
        """
        if "rule" in terms:
            named = terms["rule"]
            if isinstance(named, str) and named in self._rules:
                return self._rules[named]
            reason = f"the claim names the unknown rule {named!r}"[:500]
            raise UnsettleableError(reason)
        for prefix, name in self._prefixes:
            if outcome_key.startswith(prefix) or f"{project}/{outcome_key}".startswith(prefix):
                return self._rules[name]
        reason = "no rule: name one in the claim's terms, or in ROPEWALK_SETTLEMENT_RULES"
        raise UnsettleableError(reason)


def _order(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() else -1, version)


def _registered() -> list[Rule]:
    rules = []
    for entry in entry_points(group=GROUP):
        try:
            rule = entry.load()
        except Exception as error:
            message = f"settlement rule {entry.value} cannot be loaded: {error!r}"
            raise ConfigError(message) from error
        if not isinstance(rule, Rule):
            message = f"settlement rule {entry.value} is a {type(rule).__name__}, not a Rule"
            raise ConfigError(message)
        rules.append(rule)
    return rules
