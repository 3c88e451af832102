"""Sections of a file: dataclasses whose fields declare the keys of a mapping.

A field is declared by one of three functions: `setting` is one key; `one_of` are several keys of
which a mapping has exactly one, all for this field; `inline` are the keys of another dataclass, in
the same mapping.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import Any, Final, Generic, TypeVar

from ..yaml.nodes import Mapping as MappingNode
from ..yaml.nodes import Place, Problems, show, suggest
from ..yaml.scalars import expected
from .kinds import Kind, Version

T = TypeVar("T")
_DECLARED: Final = "declared"
REQUIRED: Final = object()
"""The default of a key that a mapping must have."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its name in the file, its kind, and what it means in one sentence or more.

    `default` is what the field has if the key is not given; `absent` says for the reference what
    that means, where the value itself does not. Bounds are not in `doc`: they are the kind's.
    `restart`: a reload cannot apply a change.
    """

    name: str
    kind: Kind
    doc: str
    default: Any = REQUIRED
    absent: str = ""
    restart: bool = False

    @property
    def required(self) -> bool:
        """Whether a mapping without the key is a mistake."""
        return self.default is REQUIRED


def setting(  # noqa: PLR0913 - what a key has
    kind: Kind,
    doc: str,
    *,
    default: object = MISSING,
    make: Callable[[], object] | None = None,
    absent: str = "",
    name: str = "",
    restart: bool = False,
) -> Any:  # noqa: ANN401 - as dataclasses.field, so that the field has its own type
    """Declare a field of a section as one key.

    Args:
        kind: How the value is written and read.
        doc: What the key means, without its bounds and default.
        default: What the field has if the key is not given; without one, and without `absent` and
            `make`, the key is required.
        make: Makes the default, as `default_factory`.
        absent: What a missing key means, for the reference, where the default does not show it; the
            field then has None, unless another default is given.
        name: The key in the file, if it is not the name of the field.
        restart: A reload cannot apply a change of it.

    """
    if default is MISSING and absent and make is None:
        default = None
    said = make() if make is not None else (REQUIRED if default is MISSING else default)
    part = FieldKeys((Key(name, kind, doc, said, absent, restart),), lambda _, value: value)
    if make is not None:
        return field(default_factory=make, metadata={_DECLARED: part})
    return field(default=default, metadata={_DECLARED: part})


def one_of(*keys: Key, make: Callable[[str, Any], object] = lambda _, value: value) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a field of a section as several keys, of which a mapping has exactly one.

    `make` returns the field's value, if it is not that of the key, from the key's name and value.
    """
    optional = tuple(replace(one, default=None) for one in keys)
    alternatives = tuple(one.name for one in keys)
    return field(metadata={_DECLARED: FieldKeys(optional, make, alternatives)})


def inline(section: type, *, of: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a field of a section as the keys of another dataclass, in the same mapping.

    In what they say for the reference, each `{name}` of `of` is replaced.
    """
    return field(default_factory=section, metadata={_DECLARED: Inline(section, of or {})})


@dataclass(frozen=True, slots=True)
class FieldKeys:
    """What a field of a section is made from: the keys, and what makes its value."""

    keys: tuple[Key, ...]
    make: Callable[[str, Any], object]
    alternatives: tuple[str, ...] = ()

    def named(self, name: str) -> FieldKeys:
        """Return it with the name of its field for a key that has none."""
        return replace(self, keys=tuple(replace(one, name=one.name or name) for one in self.keys))

    def take(self, fields: Fields, problems: Problems) -> object:
        """Return the value for the field: MISSING if nothing is given, None if it is wrong."""
        found: object = MISSING
        for one in self.keys:
            place = fields.get(one.name)
            if place is not None:
                value = one.kind.read(place, problems)
                found = None if value is None else self.make(one.name, value)
                if value is None:
                    fields.wrong.add(one.name)
        return found


@dataclass(frozen=True, slots=True)
class Inline:
    """A field whose keys are those of a dataclass."""

    section: type
    of: Mapping[str, str]

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys of the dataclass."""
        return tuple(
            replace(one, doc=self._filled(one.doc), absent=self._filled(one.absent))
            for one in keys_of(self.section)
        )

    @property
    def alternatives(self) -> tuple[str, ...]:
        """Those of the dataclass."""
        return tuple(name for _, part in parts_of(self.section) for name in part.alternatives)

    def _filled(self, text: str) -> str:
        for name, words in self.of.items():
            text = text.replace(f"{{{name}}}", words)
        return text

    def take(self, fields: Fields, problems: Problems) -> object:
        """Return the dataclass, with its defaults for what is not given or wrong."""
        return self.section(**taken(self.section, fields, problems))


_PARTS: Final[dict[type, tuple[tuple[str, FieldKeys | Inline], ...]]] = {}


def parts_of(section: type) -> tuple[tuple[str, FieldKeys | Inline], ...]:
    """Return the declared fields of a dataclass, each with its name."""
    if section not in _PARTS:
        _PARTS[section] = tuple(_parts(section))
    return _PARTS[section]


def _parts(section: type) -> Iterator[tuple[str, FieldKeys | Inline]]:
    for one in dataclasses.fields(section):
        part = one.metadata.get(_DECLARED)
        if isinstance(part, FieldKeys):
            yield one.name, part.named(one.name)
        elif isinstance(part, Inline):
            yield one.name, part


def keys_of(section: type) -> tuple[Key, ...]:
    """Return the keys that the fields of a dataclass declare."""
    return tuple(one for _, part in parts_of(section) for one in part.keys)


def taken(section: type, fields: Fields, problems: Problems) -> dict[str, Any]:
    """Return by field what the mapping gives; report what is wrong with it, and leave it out."""
    found = {name: part.take(fields, problems) for name, part in parts_of(section)}
    return {name: one for name, one in found.items() if one is not MISSING and one is not None}


class Fields:
    """The members of one mapping, by a section; unknown and missing keys are reported."""

    __slots__ = ("_members", "place", "whole", "wrong")

    def __init__(self, place: Place, section: Section[Any], problems: Problems) -> None:
        """Check the mapping at `place`; `whole` is False if it is none or lacks a required key.

        `wrong` are the keys whose values were read, and reported.
        """
        self.place = place
        self.wrong: set[str] = set()
        self._members: dict[str, Place] = {}
        self.whole = isinstance(place.node, MappingNode)
        if isinstance(place.node, MappingNode):
            self._take(place.node, section.by_name, problems)
            self._choose(section, problems)
        else:
            expected(place, "a mapping", problems)

    def get(self, name: str) -> Place | None:
        """Return the place of a member, or None if it is not given."""
        return self._members.get(name)

    def __getitem__(self, name: str) -> Place:
        """Return the place of a member that is given; raise KeyError for another."""
        return self._members[name]

    def _choose(self, section: Section[Any], problems: Problems) -> None:
        names = section.alternatives
        given = [name for name in names if name in self._members]
        if names and len(given) != 1:
            self.whole = False
            if given:
                problems.add(self.place, f"has {listed(given)}", "give only one of them")
            else:
                problems.add(self.place, "lacks a key", f"write one of {listed(names)}")
        if section.any_of and not any(name in self._members for name in section.any_of):
            self.whole = False
            problems.add(
                self.place, "lacks a key", f"write at least one of {listed(section.any_of)}"
            )
        for name, needed in section.needs:
            if name in self._members and needed not in self._members:
                hint = f"add `{needed}` ({section.by_name[needed].kind.syntax})"
                problems.add(self.place, f"`{name}` needs `{needed}`", hint)

    def _take(self, node: MappingNode, known: Mapping[str, Key], problems: Problems) -> None:
        for name, value in node.entries:
            if name.text in known:
                self._members[name.text] = self.place.member(name.text, value)
            else:
                hint = suggest(name.text, known)
                told = f"the key {show(name.text)} is unknown; {hint}"
                problems.at(name.position, self.place.path, told, name.text)
        for one in known.values():
            if one.required and one.name not in self._members:
                self.whole = False
                what = f" ({one.kind.syntax})"
                if isinstance(one.kind, Version):
                    what = f"; write `{one.name}: {one.kind.known}`"
                problems.add(self.place, f"lacks the key `{one.name}`{what}")


def listed(names: Iterable[str]) -> str:
    """Return two or more names of keys as a text lists them: `a`, `b` and `c`."""
    *before, last = (f"`{name}`" for name in names)
    return f"{', '.join(before)} and {last}"


@dataclass(frozen=True)
class Section(Generic[T]):
    """A mapping that is read to a dataclass; a kind, so that a section can be a key of another.

    Args:
        of: The dataclass.
        name: Its name in the JSON Schema.
        title: Its title in the reference.
        one_of: Of these keys a mapping has exactly one; `one_of` of a field needs no mention here.
        any_of: Of these keys a mapping has at least one.
        needs: Pairs of keys: a mapping that has the first has the second.
        check: Reports what is wrong between keys, by the value, and the places in `fields`. It is
            called where all required keys are right; for others that are wrong, the value has the
            defaults.
        make: Makes the value in place of the dataclass and `check`, from what is right by field;
            `fields.whole` tells whether a required key is missing. None: after reporting.
        syntax: How it is written, for the reference.

    """

    of: type[T]
    name: str
    title: str
    one_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()
    check: Callable[[T, Fields, Problems], None] | None = None
    make: Callable[[dict[str, Any], Fields, Problems], Any] | None = None
    syntax: str = "mapping"

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """The keys, in the order of the fields."""
        return keys_of(self.of)

    @cached_property
    def by_name(self) -> dict[str, Key]:
        """The keys by their names."""
        return {one.name: one for one in self.keys}

    @cached_property
    def alternatives(self) -> tuple[str, ...]:
        """Keys of which a mapping has exactly one."""
        own = (name for _, part in parts_of(self.of) for name in part.alternatives)
        return (*self.one_of, *own)

    def read(self, place: Place, problems: Problems) -> T | None:
        """Return the value at a place, or None after reporting what is wrong."""
        fields = Fields(place, self, problems)
        values = taken(self.of, fields, problems)
        if self.make is not None:
            found: T | None = self.make(values, fields, problems)
            return found
        if not fields.whole or fields.wrong & self._needed:
            return None
        made: T = self.of(**values)
        if self.check is not None:
            self.check(made, fields, problems)
        return made

    @cached_property
    def _needed(self) -> set[str]:
        """The keys without which there is no value."""
        return {*self.alternatives, *(one.name for one in self.keys if one.required)}


@dataclass(frozen=True, slots=True)
class LazySection:
    """A section in a module that is imported only where a file has it, or by documents.

    `where` is `module:NAME`, the module relative to `proxy.config`.
    """

    where: str
    syntax: str = "mapping"

    @property
    def section(self) -> Any:  # noqa: ANN401 - a section, of whatever
        """The section."""
        module, _, name = self.where.partition(":")
        return getattr(import_module(f"{__package__.rpartition('.')[0]}.{module}"), name)

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - what the section reads
        """Return what the section reads."""
        return self.section.read(place, problems)


def restarts(old: object, new: object, path: str = "") -> Iterator[str]:
    """Yield the keys, by their paths, that differ between two values of a section.

    Only those whose change a reload cannot apply; of a section that comes or goes, those that it
    must have. Elements of lists are not looked into.
    """
    for name, part in parts_of(type(new)):
        before, after = getattr(old, name), getattr(new, name)
        key, kind = part.keys[0], part.keys[0].kind
        where = f"{path}{key.name}"
        if before == after:
            continue
        if isinstance(part, Inline):
            yield from restarts(before, after, path)
        elif key.restart:
            yield where
        elif isinstance(kind, Section) and before is not None and after is not None:
            yield from restarts(before, after, f"{where}.")
        elif isinstance(kind, Section):
            yield from (f"{where}.{one.name}" for one in kind.keys if one.restart and one.required)
