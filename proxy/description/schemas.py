"""Schemas of a description: the shapes that a value may have, whatever composes them.

A value is subject to several schemas at once (`allOf`, what stands beside a `$ref`), and to one of
several (`oneOf`, `anyOf`, several types). A shape is one choice of all these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from .document import Documents, Mistakes, Spot
from .policy import CHOICES, REFERENCES

MARK: Final = "x-sensitive-data"
WISHES: Final = "x-sealyard"
Type = Literal["object", "array", "string", "number", "integer", "boolean", "null", "any"]
Schemas = tuple[Spot, ...]
"""Schemas that all apply to one value."""

_BESIDE: Final = frozenset({"$ref", "summary", "description", "title"})
_TYPES: Final[tuple[Type, ...]] = (
    *("object", "array", "string", "number", "integer", "boolean", "null"),
)
_OF_OBJECTS: Final = ("properties", "additionalProperties", "patternProperties", "required")
_OF_ARRAYS: Final = ("items", "prefixItems", "minItems")
_OF_TEXTS: Final = ("pattern", "minLength", "maxLength", "format", "contentEncoding")
_NOT_READ: Final = ("not", "contains", "propertyNames", "dependencies")
_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")


@dataclass(frozen=True)
class ValueShape:
    """One way in which a value may be valid: its type, and the plain schemas that apply to it."""

    type: Type
    schemas: Schemas

    @cached_property
    def mark(self) -> Spot | None:
        """The spot that marks it as sensitive, if one does."""
        found = (one.get(MARK) for one in self.schemas)
        return next((one for one in found if one is not None and is_mark(one)), None)

    @property
    def unmarked(self) -> bool:
        """Whether it says that it is not sensitive, where that around it is."""
        return any((one := each.get(MARK)) is not None and one.is_false for each in self.schemas)

    @cached_property
    def wishes(self) -> Mapping[str, Spot]:
        """What `x-sealyard` says of it."""
        return {name: one for each in self.schemas for name, one in each.named(WISHES).items()}

    @property
    def accepts_tokens(self) -> bool:
        """Whether the backend takes a token here, whatever the schema says."""
        found = self.wishes.get("accepts")
        return found is not None and found.text == "token"

    @cached_property
    def properties(self) -> Mapping[str, Schemas]:
        """The schemas of each property that is named."""
        found: dict[str, Schemas] = {}
        for one in self.schemas:
            for name, spot in one.named("properties").items():
                found[name] = (*found.get(name, ()), spot)
        return {name: one for name, one in found.items() if not any(map(_is_never, one))}

    @property
    def required(self) -> frozenset[str]:
        """The names of the properties that must be there."""
        return frozenset(name for one in self.schemas for name in one.texts("required"))

    @property
    def others(self) -> Sequence[Schemas]:
        """The schemas of properties that are not named; none where nothing is said of them."""
        patterns = (one.named("patternProperties") for one in self.schemas)
        found = [(one,) for each in patterns for one in each.values()]
        for name in ("additionalProperties", "unevaluatedProperties"):
            found += [(one,) for each in self.schemas if (one := each.get(name)) is not None]
        return [each for each in found if not _is_never(each[0])]

    @property
    def first_elements(self) -> Sequence[Schemas]:
        """The schemas of the elements that have their own."""
        return [(one,) for each in self.schemas for one in each.each("prefixItems")]

    @property
    def elements(self) -> Schemas:
        """The schemas of the other elements."""
        found = (each.get(name) for each in self.schemas for name in ("items", "unevaluatedItems"))
        return tuple(one for one in found if one is not None)

    @property
    def inner(self) -> Schemas:
        """The schemas of the JSON that the text holds; none where it holds none."""
        if not any("json" in one.text for one in self._all("contentMediaType")):
            return ()
        return tuple(self._all("contentSchema"))

    def least(self, name: str) -> int:
        """Return the largest of the lower limits of that name; 0 without one."""
        return max((one.number or 0 for one in self._all(name)), default=0)

    def most(self, name: str) -> int | None:
        """Return the smallest of the upper limits of that name, or None."""
        found = [one.number for one in self._all(name) if one.number is not None]
        return min(found, default=None)

    def text(self, name: str) -> str:
        """Return the first text of that name, or an empty one."""
        return next((one.text for one in self._all(name)), "")

    @property
    def constants(self) -> Sequence[Spot]:
        """The only values that it may have; none where any is allowed."""
        found = list(self._all("const"))
        return found or [one for each in self.schemas for one in each.each("enum")]

    def says(self, name: str) -> bool:
        """Whether one of the schemas says that it is so."""
        return any(one.is_true for one in self._all(name))

    def _all(self, name: str) -> Iterator[Spot]:
        for one in self.schemas:
            found = one.get(name)
            if found is not None:
                yield found


class SchemaReader:
    """Reads the schemas of a description."""

    def __init__(self, documents: Documents, mistakes: Mistakes, root: Spot) -> None:
        """Find out which parts of the description lead to a mark."""
        self._documents = documents
        self._mistakes = mistakes
        self._shapes: dict[Schemas, tuple[ValueShape, ...]] = {}
        self._marking = _leading_to_marks(documents, root, mistakes)

    def may_mark(self, schemas: Iterable[Spot]) -> bool:
        """Return whether something in the schemas, or in what they refer to, is marked."""
        return any(one in self._marking or _marks(one) for one in schemas)

    def resolved(self, schemas: Schemas) -> Schemas:
        """Return schemas, in place of a lone `$ref` what it refers to."""
        return tuple(self._target(one) for one in schemas)

    def _target(self, spot: Spot) -> Spot:
        for _ in range(REFERENCES):
            reference = spot.get("$ref")
            if reference is None or not spot.members.keys() <= _BESIDE:
                break
            target = self._documents.target(reference)
            if target is None:
                break
            spot = target
        return spot

    def shapes(self, schemas: Schemas) -> tuple[ValueShape, ...]:
        """Return the shapes that a value of all these schemas may have; none: there is no value."""
        made = self._shapes.get(schemas)
        if made is None:
            choices = self._choices_of(schemas, ())
            made = tuple(dict.fromkeys(one for each in choices for one in _typed(each)))
            self._shapes[schemas] = made
        return made

    def _choices_of(self, schemas: Iterable[Spot], seen: Schemas) -> list[Schemas]:
        found: list[Schemas] = [()]
        for one in schemas:
            found = self._each_with(found, self._choices(one, seen), one)
        return found

    def _choices(self, spot: Spot, seen: Schemas) -> list[Schemas]:
        """Return the plain schemas of each choice of branches."""
        if spot in seen:
            self._mistakes.add(spot, "the schema consists of itself", "take it from its `allOf`")
            return [()]
        if _is_never(spot):
            return []
        seen = (*seen, spot)
        self._refuse(spot)
        found: list[Schemas] = [(spot,)]
        reference = spot.get("$ref")
        if reference is not None and reference.kind == "text":
            target = self._documents.target(reference)
            if target is not None:
                found = self._each_with(found, self._choices(target, seen), spot)
        found = self._each_with(found, self._choices_of(spot.each("allOf"), seen), spot)
        for name in ("oneOf", "anyOf"):
            branches = [one for each in spot.each(name) for one in self._choices(each, seen)]
            if spot.each(name):
                found = self._each_with(found, branches, spot)
        branches = [
            one
            for name in ("then", "else")
            if (each := spot.get(name)) is not None
            for one in self._choices(each, seen)
        ]
        if branches:
            found = self._each_with(found, [*branches, ()], spot)
        for each in spot.named("dependentSchemas").values():
            found = self._each_with(found, [*self._choices(each, seen), ()], spot)
        return found

    def _each_with(self, one: list[Schemas], other: list[Schemas], spot: Spot) -> list[Schemas]:
        found = [(*first, *second) for first in one for second in other]
        if len(found) > CHOICES:
            text = f"more than {CHOICES} combinations of `oneOf` and `anyOf`"
            self._mistakes.add(spot, text, "describe fewer variants in one schema")
        return found[:CHOICES]

    def _refuse(self, spot: Spot) -> None:
        """Report what is not read, if it has a mark."""
        for name in _NOT_READ:
            inner = spot.get(name)
            if inner is not None and inner in self._marking:
                text = f"a mark inside `{name}` has no one place in a message"
                self._mistakes.add(inner, text, "mark the property itself")
        for name in _DYNAMIC:
            if name in spot.members:
                self._mistakes.add(spot.members[name], f"`{name}` is not followed", "write `$ref`")


def is_mark(spot: Spot) -> bool:
    """Return whether the value of `x-sensitive-data` marks: true, or how it is masked."""
    return spot.is_true or (spot.kind is None and bool(spot.members))


def _marks(spot: Spot) -> bool:
    mark = spot.get(MARK)
    return mark is not None and is_mark(mark)


def constant(spot: Spot) -> object:
    """Return the value that a spot spells."""
    if spot.members:
        return {name: constant(one) for name, one in spot.members.items()}
    if spot.kind == "number":
        return _number(spot.text)
    simple = {None: [constant(one) for one in spot.elements], "null": None}
    return simple.get(spot.kind, spot.is_true if spot.kind == "boolean" else spot.text)


def _number(text: str) -> object:
    try:
        found: object = json.loads(text)
    except ValueError:
        return float(text)
    return found


def _is_never(spot: Spot) -> bool:
    """Return whether it is the schema `false`, which no value meets."""
    return spot.is_false


def _typed(schemas: Schemas) -> Iterator[ValueShape]:
    """Yield a shape for each type that all of the schemas allow."""
    allowed: set[Type] | None = None
    nullable = False
    for one in schemas:
        nullable = nullable or ((null := one.get("nullable")) is not None and null.is_true)
        named = one.texts("type")
        if named:
            types = {each for each in _TYPES if each in named}
            if "number" in types:
                types.add("integer")
            allowed = types if allowed is None else allowed & types
    if allowed is None:
        yield ValueShape(_likely(schemas), schemas)
    else:
        if {"number", "integer"} <= allowed:
            allowed.discard("integer")
        yield from (ValueShape(each, schemas) for each in _TYPES if each in allowed)
    if nullable and "null" not in (allowed or ()):
        yield ValueShape("null", schemas)


def _likely(schemas: Schemas) -> Type:
    """Return the type of which schemas speak that name none."""
    found = {name for one in schemas for name in one.members}
    if found.intersection(_OF_OBJECTS):
        return "object"
    if found.intersection(_OF_ARRAYS):
        return "array"
    return "string" if found.intersection(_OF_TEXTS) else "any"


def _leading_to_marks(documents: Documents, root: Spot, mistakes: Mistakes) -> set[Spot]:
    """Return the spots that hold a mark, or refer to one that does.

    Reports marks that say neither that a value is sensitive nor that it is not.
    """
    holders: dict[Spot, list[Spot]] = {}
    marked: list[Spot] = []
    seen, waiting = {root}, [root]
    while waiting:
        spot = waiting.pop()
        inner = [*spot.members.values(), *spot.elements]
        reference = spot.get("$ref")
        if reference is not None and reference.kind == "text":
            target = documents.find(reference)
            inner += [target] if isinstance(target, Spot) else []
        mark = spot.get(MARK)
        if mark is not None and is_mark(mark):
            marked.append(spot)
        elif mark is not None and not mark.is_false and mark.kind != "null":
            hint = "write `true`, `false` or a mapping"
            mistakes.add(mark, f"`{MARK}` has no meaning that is known", hint)
        for one in inner:
            holders.setdefault(one, []).append(spot)
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    found, waiting = set(marked), marked
    while waiting:
        for one in holders.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found
