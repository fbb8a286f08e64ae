"""Reward specifications: how rewards become numbers; named, versioned, from files.

An amount is an immediate reward component of a step, or a ledger entry. It counts as

    weight(name) * clip(value) * place * judge

where `place` is `step_weight` or, for an entry about the whole trajectory, `terminal_weight`, and
`judge` is `judge_weight` for entries from judges, else 1.
"""

import json
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ropewalk_schemas.errors import SpecError
from ropewalk_schemas.events import RewardSource

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        msg = f"must be [low, high] with low <= high, not {list(bounds)}"
        raise ValueError(msg)
    return bounds


Clip = Annotated[tuple[float, float], AfterValidator(_ascending)]
# No "@", which parts name and version in an id.
Label = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]


@dataclass(frozen=True, slots=True, config=_STRICT)
class ComponentRule:
    """How rewards of one name count.

    Attributes:
        clip: Bounds of each single value, before its weight.
    """

    weight: float = 1.0
    clip: Clip | None = None

    def amount(self, value: float) -> float:
        """What a value of this name counts as."""
        return self.weight * clipped(value, self.clip)


@dataclass(frozen=True, slots=True, config=_STRICT)
class RewardSpec:
    """How rewards become numbers.

    Attributes:
        discount: Weight of the next step in returns, in [0, 1].
        components: Rules by the name of the component or ledger entry.
        default_weight: Of every name without a rule.
        step_weight: Of immediate components and of entries that name a step or a call.
        terminal_weight: Of entries for the whole trajectory, and of those whose step is not there.
        sources: Ledger sources that count; None for all. Immediate components always count.
        judge_weight: Of entries whose source is a judge, on top.
        clip: Bounds of the total. Step rewards and returns are not bounded by it.
    """

    name: Label
    version: Label
    discount: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    components: Mapping[str, ComponentRule] = Field(default_factory=dict)
    default_weight: float = 1.0
    step_weight: float = 1.0
    terminal_weight: float = 1.0
    sources: frozenset[RewardSource] | None = None
    judge_weight: float = 1.0
    clip: Clip | None = None

    @property
    def id(self) -> str:
        """Name and version, as rows refer to it."""
        return f"{self.name}@{self.version}"

    @property
    def content(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON has it; equal for equal meaning."""
        plain: dict[str, Any] = _SPEC.dump_python(self, mode="json", exclude_defaults=True)
        return plain | ({} if self.sources is None else {"sources": sorted(self.sources)})

    @property
    def digest(self) -> str:
        """Of the content, in 64 hex digits: one id must never stand for two of them."""
        return sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()

    def counts(self, source: str) -> bool:
        """Whether ledger entries of a source count."""
        return self.sources is None or source in self.sources

    def immediate(self, name: str, value: float) -> float:
        """What an immediate component counts as."""
        return self._named(name, value) * self.step_weight

    def later(self, name: str, value: float, *, source: str, terminal: bool) -> float:
        """What a ledger entry counts as."""
        place = self.terminal_weight if terminal else self.step_weight
        judge = self.judge_weight if source == "judge" else 1.0
        return self._named(name, value) * place * judge

    def _named(self, name: str, value: float) -> float:
        rule = self.components.get(name)
        return self.default_weight * value if rule is None else rule.amount(value)


_SPEC = TypeAdapter(RewardSpec)
DEFAULT_SPEC = RewardSpec(name="default", version="1")


def clipped(value: float, bounds: tuple[float, float] | None) -> float:
    """The value, moved into its bounds.

    >>> clipped(7.0, (-5.0, 5.0))
    5.0
    """
    return value if bounds is None else min(max(value, bounds[0]), bounds[1])


def load_spec(path: Path) -> RewardSpec:
    """The specification in a TOML or JSON file, told apart by its suffix.

    Raises:
        SpecError: Naming the file, and the field that is wrong.
    """
    try:
        found = _parsed(path)
        return _SPEC.validate_json(json.dumps(found, default=str), strict=True)
    except ValidationError as error:
        msg = f"{path}: {_told(error)}"
        raise SpecError(msg) from error
    except OSError as error:
        msg = f"cannot read the specification {path}: {error.strerror}"
        raise SpecError(msg) from error
    except (ValueError, RecursionError) as error:  # of both parsers, and of bytes that are no UTF-8
        msg = f"{path} is not valid {path.suffix.lstrip('.').upper()}: {error}"
        raise SpecError(msg) from error


def require_same(spec: RewardSpec, digest: str, content: Mapping[str, Any]) -> None:
    """Refuse a specification whose id is known with another content.

    Raises:
        SpecError: Naming the fields that differ.
    """
    if spec.digest == digest:
        return
    own = spec.content
    differing = sorted(k for k in own.keys() | content.keys() if own.get(k) != content.get(k))
    msg = (
        f"specification {spec.id} is known with another content (differs in: "
        f"{', '.join(differing)}): give the changed one a new version"
    )
    raise SpecError(msg)


def _parsed(path: Path) -> object:
    text = path.read_bytes().decode()
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix == ".json":
        return json.loads(text)
    msg = f"{path}: a specification is a .toml or a .json file"
    raise SpecError(msg)


def _told(error: ValidationError) -> str:
    return "; ".join(
        f"field {'.'.join(map(str, one['loc'])) or '(the file)'}: {one['msg']}"
        for one in error.errors(include_url=False)
    )
