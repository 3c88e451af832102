"""What the JSON Schema and the reference say of sections and keys, from their declarations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ..declared.addresses import PORT, SECRET, SecretSource
from ..declared.composed import ByName, ByShape, ListOf, Named, OneOrMore, WithPlace, Words
from ..declared.kinds import (
    Choice,
    Duration,
    Kind,
    Portion,
    Size,
    Switch,
    Version,
    WholeNumber,
    duration,
    size,
)
from ..declared.section import Key, LazySection, Section
from . import patterns

Schema = Mapping[str, object]

_REFERENCE: Final = r"\$\{env:"
_FROM_ENVIRONMENT: Final[Schema] = {"type": "string", "pattern": _REFERENCE}
_TEXT: Final[Schema] = {"type": "string", "pattern": r"\S"}
_GROUP: Final = re.compile(r"\(\?P<\w+>")


def sections_of(root: Section[Any]) -> tuple[Section[Any], ...]:
    """Return a file and all sections in it, each once."""
    return tuple(one for one in _found(root).values() if isinstance(one, Section))


def named_of(root: Section[Any]) -> dict[str, Schema]:
    """Return the schemas of the kinds in a file that have a name and are no section."""
    found = _found(root).values()
    return {one.name: schema_of(one.of()) for one in found if isinstance(one, Named)}


def schema_of(kind: Kind) -> Schema:
    """Return the JSON Schema of a kind, with its bounds."""
    made = _SCHEMAS.get(type(kind))
    if made is not None:
        return made(kind)
    if (like := getattr(kind, "like", None)) is not None:
        return schema_of(like)
    own: Schema | None = getattr(kind, "schema", None)
    if own is not None:
        return own
    form = getattr(kind, "form", None)
    pattern = form.pattern if form is not None else getattr(kind, "pattern", None)
    return _TEXT if pattern is None else _matching(pattern)


def bounds_of(kind: Kind) -> str:
    """Return the sentence that says the bounds of a kind; empty if it has none to say."""
    said = ""
    match kind:
        case Duration():
            high = duration(kind.high)
            said = f"{duration(kind.low)} to {high}." if kind.low else f"At most {high}."
        case Size() if kind.high is not None:
            said = f"At most {size(kind.high)}."
        case WholeNumber():
            said = f"{kind.low} to {kind.high:,}."
        case ListOf() if kind.most is not None:
            said = f"At most {kind.most:,}."
        case WithPlace() | Words() | ByShape():
            said = bounds_of(next(_inner(kind)))
    return said


def _inner(kind: Kind) -> Iterator[Kind]:
    """Yield the kinds that a kind is made of."""
    match kind:
        case LazySection():
            yield kind.section
        case SecretSource():
            yield SECRET
        case ListOf() | OneOrMore():
            yield kind.each
        case ByName():
            yield kind.each
        case Named():
            yield kind.of()
        case WithPlace():
            yield kind.of
        case Words():
            yield kind.other
        case ByShape():
            yield from (one for one in (kind.scalar, kind.sequence, kind.mapping) if one)
        case _ if hasattr(kind, "like"):
            yield kind.like


def _found(root: Section[Any]) -> dict[str, Section[Any] | Named]:
    """Return the kinds of a file that have a name."""
    found: dict[str, Section[Any] | Named] = {}
    _find(root, found)
    return found


def _find(kind: Kind, found: dict[str, Section[Any] | Named]) -> None:
    if isinstance(kind, Section | Named):
        if kind.name in found:
            return
        found[kind.name] = kind
    inner = (one.kind for one in kind.keys) if isinstance(kind, Section) else _inner(kind)
    for one in inner:
        _find(one, found)


def doc_of(key: Key) -> str:
    """Return what a key means, with its bounds."""
    restart = "A change takes a restart." if key.restart else ""
    return " ".join(filter(None, (key.doc, bounds_of(key.kind), restart)))


def default_of(key: Key) -> str:
    """Return what a key that is not given means; empty if there is nothing to say."""
    return key.absent or ("" if key.required else _written(key.kind, key.default))


def _written(kind: Kind, value: Any) -> str:  # noqa: ANN401 - what the kind reads
    if value is None or value in ((), {}) or isinstance(kind, Section):
        return ""
    if isinstance(value, bool) and isinstance(kind, Switch):
        return f"`{str(value).lower()}`"
    text = getattr(kind, "written", str)(value)
    return text if isinstance(kind, Duration | Size | WholeNumber | Portion) else f"`{text}`"


def _of_list(kind: ListOf) -> Schema:
    found: dict[str, object] = {"type": "array", "items": schema_of(kind.each)}
    if not kind.empty:
        found["minItems"] = 1
    if kind.most is not None:
        found["maxItems"] = kind.most
    return found


def _matching(pattern: str) -> Schema:
    """Return the schema of a text that matches as a whole, or is read from the environment."""
    bounded = pattern.replace(PORT, patterns.at_most(65535))
    plain = _GROUP.sub("(?:", bounded)
    return {"type": "string", "pattern": f"^(?:{plain})$|{_REFERENCE}"}


def _named(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _or_environment(schema: Schema) -> Schema:
    return {"anyOf": [schema, _FROM_ENVIRONMENT]}


def _of_secret(kind: SecretSource) -> Schema:
    found = _named(SECRET.name)
    return {**found, "required": ["file"]} if kind.in_file else found


def _of_one_or_more(kind: OneOrMore) -> Schema:
    one = schema_of(kind.each)
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _of_mapping(kind: ByName) -> Schema:
    found = {"type": "object", "additionalProperties": schema_of(kind.each)}
    return found if kind.name is None else {**found, "propertyNames": schema_of(kind.name)}


def _of_words(kind: Words) -> Schema:
    return {"anyOf": [{"enum": [*kind.values]}, schema_of(kind.other)]}


def _of_shapes(kind: ByShape) -> Schema:
    shapes = (kind.scalar, kind.sequence, kind.mapping)
    return {"anyOf": [schema_of(one) for one in shapes if one is not None]}


_SCHEMAS: Final[dict[type, Callable[[Any], Schema]]] = {
    Section: lambda kind: _named(kind.name),
    LazySection: lambda kind: schema_of(kind.section),
    SecretSource: _of_secret,
    Duration: lambda kind: _matching(patterns.of_duration(kind)),
    Size: lambda kind: _matching(patterns.of_size(kind)),
    WholeNumber: lambda kind: _or_environment(
        {"type": "integer", "minimum": kind.low, "maximum": kind.high}
    ),
    Version: lambda kind: {"const": kind.known},
    Portion: lambda _: _or_environment({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
    Switch: lambda _: _or_environment({"type": "boolean"}),
    Choice: lambda kind: _or_environment({"enum": [*kind.values]}),
    ListOf: _of_list,
    OneOrMore: _of_one_or_more,
    ByName: _of_mapping,
    Named: lambda kind: _named(kind.name),
    WithPlace: lambda kind: schema_of(kind.of),
    Words: _of_words,
    ByShape: _of_shapes,
}
