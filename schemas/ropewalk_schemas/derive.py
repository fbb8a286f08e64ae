"""Decoder types derived from the pydantic models, so that no contract is written twice."""

import types
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Derivation:
    """msgspec structs that accept what the models accept.

    Args:
        free_form: The type of free-form JSON: `Any` to check it, `msgspec.Raw` to pass it on.
        strict: Whether an unknown field is refused.
    """

    def __init__(self, *, free_form: Any = Any, strict: bool = True) -> None:
        self._free_form = free_form
        self._strict = strict
        self._structs: dict[type[BaseModel], type[msgspec.Struct]] = {}

    def struct(self, model: type[BaseModel]) -> type[msgspec.Struct]:
        """The struct of a model; a `type` literal becomes the union's tag."""
        if model not in self._structs:
            self._structs[model] = self._define(model)
        return self._structs[model]

    def _define(self, model: type[BaseModel]) -> type[msgspec.Struct]:
        tag, fields = None, []
        for name, info in model.model_fields.items():
            if name == "type" and get_origin(info.annotation) is Literal:
                tag = get_args(info.annotation)[0]
                continue
            kind = self._constrained(info.annotation, _bounds(info.metadata))
            fields.append((name, kind, self._default(info)))
        return msgspec.defstruct(
            model.__name__,
            fields,
            namespace={"type": tag} if tag else None,  # as the models have it
            tag_field="type" if tag else None,
            tag=tag,
            kw_only=True,
            forbid_unknown_fields=self._strict,
            omit_defaults=True,
            gc=False,
            module=model.__module__,
        )

    def _type(self, kind: Any) -> Any:
        origin, args = get_origin(kind), get_args(kind)
        if kind is Any:
            return self._free_form
        if origin is Annotated:
            return self._constrained(args[0], _bounds(args[1:]))
        if origin in (Union, types.UnionType):
            return self._union(args)
        if origin is list:
            return list[self._type(args[0])]  # type: ignore[misc]
        if origin is tuple:
            return tuple[tuple(self._type(arg) for arg in args)]  # type: ignore[misc]
        if origin is dict:
            if args[1] is Any and self._free_form is not Any:
                return self._free_form
            return dict[self._type(args[0]), self._type(args[1])]  # type: ignore[misc]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return self.struct(kind)
        return kind

    def _union(self, args: tuple[Any, ...]) -> Any:
        if Any in args:  # Json | None: free-form JSON may be null already
            return self._free_form
        return Union[tuple(self._type(arg) for arg in args)]  # noqa: UP007 - built from values

    def _constrained(self, kind: Any, bounds: Mapping[str, Any]) -> Any:
        derived = self._type(kind)
        if kind is datetime:
            return Annotated[datetime, msgspec.Meta(tz=True)]
        return Annotated[derived, msgspec.Meta(**bounds)] if bounds else derived

    def _default(self, info: FieldInfo) -> Any:
        """The field's default; mutable defaults become factories, as msgspec wants them."""
        if info.is_required():
            return msgspec.NODEFAULT
        value = info.get_default(call_default_factory=False)
        if value == {} and info.annotation == dict[str, Any] and self._free_form is msgspec.Raw:
            return msgspec.Raw(b"{}")
        return msgspec.field(default_factory=type(value)) if value in ([], {}) else value


def _bounds(metadata: Any) -> dict[str, Any]:
    """What msgspec checks of a field's constraints."""
    bounds: dict[str, Any] = {}
    for item in _flat(metadata):
        if isinstance(item, at.Ge):
            bounds["ge"] = item.ge
        elif isinstance(item, at.Le):
            bounds["le"] = item.le
        elif isinstance(item, at.MinLen):
            bounds["min_length"] = item.min_length
        elif isinstance(item, at.MaxLen):
            bounds["max_length"] = item.max_length
    return bounds


def _flat(metadata: Any) -> list[Any]:
    return [
        part
        for item in metadata
        for part in (_flat(item.metadata) if isinstance(item, FieldInfo) else [item])
    ]
