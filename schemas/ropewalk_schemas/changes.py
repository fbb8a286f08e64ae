"""What a change of a JSON Schema does to those who read by the other version. Pure.

Of two versions one is the reader's: a change breaks when something the other version allows is
refused by the reader's. A removed field breaks both ways, because its readers come away empty.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Schema = Mapping[str, Any]
Reader = Literal["new", "old"]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("pattern", "format", "const")
ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two versions of one place."""

    old: Schema
    new: Schema
    old_defs: Schema
    new_defs: Schema
    reader: Reader
    path: str

    def at(self, old: Schema, new: Schema, step: str) -> "_Pair":
        return _Pair(old, new, self.old_defs, self.new_defs, self.reader, self.path + step)

    def strict_first(self, old: Any, new: Any) -> tuple[Any, Any]:
        """The reader's version of something and the other's."""
        return (new, old) if self.reader == "new" else (old, new)

    def says(self, what: str) -> str:
        return f"{self.path}: {what}"


def breaking_changes(old: Schema, new: Schema, *, reader: Reader = "new") -> list[str]:
    """Each breaking change in words, with its path.

    Args:
        old: The published schema.
        new: The schema that is to follow it.
        reader: ``new`` where documents of old producers must stay valid, ``old`` where readers of
            the old schema must understand what is written from now on.
    """
    defs = old.get("$defs", {}), new.get("$defs", {})
    return list(dict.fromkeys(_compare(_Pair(old, new, *defs, reader, "$"))))


def _compare(pair: _Pair) -> Iterator[str]:
    old = _branches(pair.old, pair.old_defs)
    new = _branches(pair.new, pair.new_defs)
    reads, writes = pair.strict_first(old, new)
    if ANYTHING in reads:
        return
    for kind in writes:
        if kind not in reads and not (kind == "integer" and "number" in reads):
            who = "is no longer accepted" if pair.reader == "new" else "is new to old readers"
            yield pair.says(f"{kind} {who}")
    for kind in old:
        if kind in new:
            yield from _compare_branch(pair.at(old[kind], new[kind], _step(kind, len(old))))


def _step(kind: str, n_branches: int) -> str:
    return f"<{kind}>" if n_branches > 1 and kind.startswith("object ") else ""


def _branches(schema: Schema, defs: Schema) -> dict[str, Schema]:
    """The alternatives a schema allows, by a name that survives the renaming of classes."""
    if "$ref" in schema:
        return _branches(defs[schema["$ref"].rsplit("/", 1)[1]], defs)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        return {k: v for one in alternatives for k, v in _branches(one, defs).items()}
    if "type" not in schema:
        return {"constant" if {"const", "enum"} & set(schema) else ANYTHING: schema}
    tag = schema.get("properties", {}).get("type", {}).get("const")
    return {f"{schema['type']} {tag}" if tag else schema["type"]: schema}


def _compare_branch(pair: _Pair) -> Iterator[str]:
    yield from _values(pair)
    yield from _bounds(pair)
    yield from _fields(pair)
    for inner in ("items", "additionalProperties", "propertyNames"):
        yield from _inner(pair, inner)
    old, new = pair.old.get("prefixItems", ()), pair.new.get("prefixItems", ())
    if len(old) != len(new):
        yield pair.says(f"has {len(new)} items instead of {len(old)}")
    for index, (was, now) in enumerate(zip(old, new, strict=False)):
        yield from _compare(pair.at(was, now, f"[{index}]"))


def _values(pair: _Pair) -> Iterator[str]:
    reads, writes = pair.strict_first(pair.old, pair.new)
    for keyword in _EXACT:
        if keyword in reads and reads[keyword] != writes.get(keyword):
            was, now = pair.old.get(keyword, "free"), pair.new.get(keyword, "free")
            yield pair.says(f"{keyword} changed from {was} to {now}")
    if "enum" in reads:
        if "enum" not in writes:
            yield pair.says(f"is one of {', '.join(map(str, reads['enum']))} for its readers only")
        for value in writes.get("enum", ()):
            if value not in reads["enum"]:
                how = (
                    "was removed" if pair.reader == "new" else "was added, which old readers refuse"
                )
                yield pair.says(f"value {value!r} {how}")


def _bounds(pair: _Pair) -> Iterator[str]:
    reads, writes = pair.strict_first(pair.old, pair.new)
    for keyword in (*_LOWER, *_UPPER):
        if keyword not in reads:
            continue
        limit, other = reads[keyword], writes.get(keyword)
        if other is None or (other < limit if keyword in _LOWER else other > limit):
            was, now = pair.old.get(keyword, "none"), pair.new.get(keyword, "none")
            how = "tightened" if pair.reader == "new" else "loosened beyond what old readers take"
            yield pair.says(f"{keyword} {how}: from {was} to {now}")


def _fields(pair: _Pair) -> Iterator[str]:
    old, new = pair.old.get("properties", {}), pair.new.get("properties", {})
    for name in old:
        if name not in new:
            yield pair.says(f"field {name!r} was removed")
            continue
        inner = pair.at(old[name], new[name], f".{name}")
        yield from _compare(inner)
        yield from _default(inner, name)
    was, now = set(pair.old.get("required", ())), set(pair.new.get("required", ()))
    if pair.reader == "new":
        for name in sorted(now - was):
            yield pair.says(f"field {name!r} is now required, and old documents may lack it")
    else:
        for name in sorted((was - now) - (set(old) - set(new))):
            yield pair.says(f"field {name!r} is no longer required, but old readers need it")


def _default(pair: _Pair, name: str) -> Iterator[str]:
    """A changed default changes what old documents say; a version is there to change."""
    was, now = pair.old.get("default"), pair.new.get("default")
    if "default" in pair.old and was != now and name != "schema_version":
        yield pair.says(f"default changed from {was!r} to {now!r}: what leaves it out says another")


def _inner(pair: _Pair, keyword: str) -> Iterator[str]:
    """The schema of list items, of other fields or of their names; True and absent allow all."""
    old, new = pair.old.get(keyword, True), pair.new.get(keyword, True)
    if isinstance(old, bool) and isinstance(new, bool):
        if pair.strict_first(old, new) == (False, True):
            yield pair.says("unknown fields are refused")
        return
    step = {"items": "[]", "additionalProperties": ".*", "propertyNames": " (names)"}[keyword]
    yield from _compare(pair.at(_as_schema(old), _as_schema(new), step))


def _as_schema(given: Any) -> Schema:
    if isinstance(given, bool):
        return {} if given else {"enum": []}
    schema: Schema = given
    return schema
