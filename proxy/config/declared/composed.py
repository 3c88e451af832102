"""Kinds that are made of others: lists, mappings by name, one of several shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..yaml.nodes import Mapping as MappingNode
from ..yaml.nodes import Place, Problems, Scalar, Sequence, show
from ..yaml.scalars import elements, expected, is_bare, one_or_more
from .kinds import Kind


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; it may not be empty unless `empty`, nor have more than `most` elements (`what`).

    Of no two elements may `distinct` return the same. `make` returns the value from the elements
    that are right; without it, it is a tuple of them.
    """

    each: Kind
    syntax: str = "list"
    empty: bool = False
    most: int | None = None
    what: str = "elements"
    distinct: Callable[[Any], object] | None = None
    make: Callable[[tuple[Any, ...]], Any] = tuple

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - what `make` returns
        """Return the elements that are right; each of the others is reported."""
        node = place.node
        if not isinstance(node, Sequence):
            expected(place, f"a {self.syntax}", problems)
            return None
        places = [] if self.empty and not node.items else elements(place, problems)
        if self.most is not None and len(places) > self.most:
            told = f"{len(places)} {self.what} are too many; the limit is {self.most}"
            problems.add(place, told)
            return None
        found = {at: self.each.read(one, problems) for at, one in enumerate(places)}
        right = {at: one for at, one in found.items() if one is not None}
        if self.distinct is not None:
            seen: set[object] = set()
            for at, one in right.items():
                said = self.distinct(one)
                if said in seen:
                    _report_twice(places[at], problems)
                seen.add(said)
        return self.make(tuple(right.values()))


@dataclass(frozen=True, slots=True)
class ByName:
    """A mapping whose keys are names that the file chooses, or what `name` reads of them.

    `make` returns the value from the pairs that are right; without it, it is a dict of them.
    """

    each: Kind
    syntax: str
    name: Kind | None = None
    make: Callable[[list[tuple[Any, Any]]], Any] = dict

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - what `make` returns
        """Return the values that are right by their names; each of the others is reported."""
        node = place.node
        if not isinstance(node, MappingNode):
            expected(place, "a mapping", problems)
            return None
        found = []
        for key, inner in node.entries:
            member = place.member(key.text, inner)
            name = self.name.read(Place(key, member.path), problems) if self.name else key.text
            value = self.each.read(member, problems)
            if name is not None and value is not None:
                found.append((name, value))
        return self.make(found)


@dataclass(frozen=True, slots=True)
class Words:
    """A word that stands for a value, or else a value of another kind: a duration, or `never`."""

    values: Mapping[str, Any]
    other: Kind

    @property
    def syntax(self) -> str:
        """The other kind, and the words."""
        return ", ".join((self.other.syntax, *(f"`{word}`" for word in self.values)))

    def written(self, value: object) -> str:
        """Return the word for a value, or what the other kind writes."""
        words = (word for word, meant in self.values.items() if meant == value)
        return next(words, None) or str(getattr(self.other, "written", str)(value))

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - by its kinds
        """Return what the word stands for, or what the other kind reads."""
        if isinstance(place.node, Scalar) and place.node.text in self.values:
            return self.values[place.node.text]
        return self.other.read(place, problems)


@dataclass(frozen=True, slots=True)
class ByShape:
    """One kind for a single value, another for a list or a mapping; None: not allowed."""

    scalar: Kind
    sequence: Kind | None = None
    mapping: Kind | None = None
    how: str = ""

    @property
    def syntax(self) -> str:
        """How each shape is written."""
        kinds = (self.scalar, self.sequence, self.mapping)
        return self.how or ", ".join(one.syntax for one in kinds if one is not None)

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - by its kinds
        """Return what the kind of the node's shape reads; `{id}` is a text without its quotes."""
        node, kind = place.node, None
        if isinstance(node, Sequence):
            kind = self.sequence
        elif isinstance(node, MappingNode) and not is_bare(node):
            kind = self.mapping
        return (kind or self.scalar).read(place, problems)


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """One value, or a list of them that is not empty; a tuple either way."""

    each: Kind
    how: str = ""

    @property
    def syntax(self) -> str:
        """One, or a list."""
        return self.how or f"{self.each.syntax} or a list of them"

    def read(self, place: Place, problems: Problems) -> tuple[Any, ...]:
        """Return those that are right; each of the others is reported."""
        found = (self.each.read(one, problems) for one in one_or_more(place, problems))
        return tuple(one for one in found if one is not None)


@dataclass(frozen=True, slots=True)
class WithPlace:
    """A value together with its place, for checks that must tell where it is written.

    `make` returns what is made of both; without it, it is a pair.
    """

    of: Kind
    make: Callable[[Any, Place], Any] = lambda value, place: (value, place)

    @property
    def syntax(self) -> str:
        """That of the value."""
        return self.of.syntax

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - what `make` returns
        """Return the value with its place."""
        found = self.of.read(place, problems)
        return None if found is None else self.make(found, place)


@dataclass(frozen=True, slots=True)
class Named:
    """A kind with a name in the JSON Schema, so that it can be a part of itself."""

    name: str
    of: Callable[[], Kind]
    syntax: str

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - by its kind
        """Return what the kind reads."""
        return self.of().read(place, problems)


def _report_twice(place: Place, problems: Problems) -> None:
    if isinstance(place.node, Scalar):
        problems.add(place, f"{show(place.node.text)} is listed twice", "delete one")
    else:
        problems.add(place, "is listed twice", "delete one")
