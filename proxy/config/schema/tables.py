"""Tables of keys, as the JSON Schema and the reference show them; job files are read by them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Concatenate, Final, ParamSpec, TypeVar

from ..yaml.nodes import Mapping as MappingNode
from ..yaml.nodes import Place, Problems, show, suggest
from ..yaml.scalars import expected

P = ParamSpec("P")
T = TypeVar("T")

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One key: how its value is written, what it means, and whether it is required.

    `syntax` and `doc` are for the reference page, `schema` is the JSON Schema of the value.
    """

    name: str
    syntax: str
    doc: str
    schema: Schema
    default: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one mapping; `name` is its name in the schema, `title` in the reference.

    Of `alternatives`, a mapping has exactly one: a key, with the keys that it needs beside it; of
    `any_of`, at least one. Of a pair of `needs`, the first key needs the second.
    """

    name: str
    title: str
    keys: tuple[TableRow, ...]
    alternatives: tuple[tuple[str, ...], ...] = ()
    any_of: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()

    @property
    def by_name(self) -> dict[str, TableRow]:
        """Return the keys by their names."""
        return {key.name: key for key in self.keys}


def listed(names: Iterable[str]) -> str:
    """Return two or more names of keys as a text lists them: `a`, `b` and `c`."""
    *before, last = (f"`{name}`" for name in names)
    return f"{', '.join(before)} and {last}"


class Members:
    """The members of one mapping, by its table; unknown and missing keys are reported."""

    __slots__ = ("_alternatives", "_members", "place", "whole")

    def __init__(self, place: Place, keys: Table, problems: Problems) -> None:
        """Check the mapping at `place`; `whole` is False if it is none or lacks a required key."""
        self.place = place
        self._alternatives = tuple(names[0] for names in keys.alternatives)
        self._members: dict[str, Place] = {}
        self.whole = isinstance(place.node, MappingNode)
        if isinstance(place.node, MappingNode):
            self._take(place.node, keys, problems)
        else:
            expected(place, "a mapping", problems)

    def get(self, name: str) -> Place | None:
        """Return the place of a member, or None if it is not given."""
        return self._members.get(name)

    def read(
        self, name: str, reader: Callable[Concatenate[Place, P], T], *args: P.args, **more: P.kwargs
    ) -> T | None:
        """Return what a reader makes of a member, or None if it is not given."""
        place = self.get(name)
        return None if place is None else reader(place, *args, **more)

    def __getitem__(self, name: str) -> Place:
        """Return the place of a member that is given; raise KeyError for another."""
        return self._members[name]

    def alternative(self, problems: Problems) -> str | None:
        """Return the one alternative of the table that is given, or None after reporting."""
        given = [name for name in self._alternatives if name in self._members]
        if len(given) == 1:
            return given[0]
        if isinstance(self.place.node, MappingNode):
            words = listed(self._alternatives)
            problems.add(self.place, f"{'give only' if given else 'needs'} one of {words}")
        return None

    def _take(self, node: MappingNode, keys: Table, problems: Problems) -> None:
        known = keys.by_name
        for key, value in node.entries:
            member = self.place.member(key.text, value)
            if key.text not in known:
                problems.at(
                    key.position,
                    self.place.path,
                    f"the key {show(key.text)} is unknown; {suggest(key.text, known)}",
                )
            else:
                self._members[key.text] = member
        for one in keys.keys:
            if one.required and one.name not in self._members:
                self.whole = False
                only = one.schema.get("const")
                what = f" ({one.syntax})" if only is None else f"; write `{one.name}: {only}`"
                problems.add(self.place, f"lacks the key `{one.name}`{what}")


REFERENCE: Final = r"\$\{env:"
TEXT: Final[Schema] = {"type": "string", "pattern": r"\S"}
_FROM_ENVIRONMENT: Final[Schema] = {"type": "string", "pattern": REFERENCE}
SWITCH: Final[Schema] = {"anyOf": [{"type": "boolean"}, _FROM_ENVIRONMENT]}
SHARE: Final[Schema] = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, _FROM_ENVIRONMENT]
}
DURATION: Final[Schema] = {
    "type": "string",
    "pattern": rf"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$|{REFERENCE}",
}
SIZE: Final[Schema] = {"type": "string", "pattern": rf"^[0-9]+(B|KiB|MiB|GiB)$|{REFERENCE}"}


def number(low: int, high: int) -> Schema:
    """Return the schema of a whole number."""
    return {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, _FROM_ENVIRONMENT]}


def choice(options: Collection[str]) -> Schema:
    """Return the schema of one of several words."""
    return {"anyOf": [{"enum": list(options)}, _FROM_ENVIRONMENT]}


def table(name: str) -> Schema:
    """Return a reference to the table of that name."""
    return {"$ref": f"#/$defs/{name}"}


def many(one: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": one, "minItems": 1}


def one_or_more(one: Schema) -> Schema:
    """Return the schema of one value or a list of them."""
    return {"anyOf": [one, many(one)]}


def by_name(one: Schema) -> Schema:
    """Return the schema of a mapping whose keys are names."""
    return {"type": "object", "additionalProperties": one}


SOURCE: Final = table("source")
