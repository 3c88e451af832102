"""The arguments of an operation as one tree: fragments in place, each field with its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...errors import BodyTooLarge, ForbiddenValue, InvalidBody
from ...policy import DOCUMENT_FIELDS, DOCUMENT_LEVELS
from ...slices import paused
from .document import Document, Field, ListValue, ObjectValue, Selections, Value, Variable


class Given(NamedTuple):
    """What a field is given: its arguments, and fields below it that are given something."""

    arguments: tuple[tuple[str, Value], ...]
    fields: tuple[tuple[str, Given], ...]


class Arguments(NamedTuple):
    """What an operation gives to its fields.

    `used` are the variables in it, `renamed` the names of fields with an alias, and the aliases.
    """

    fields: tuple[tuple[str, Given], ...]
    used: frozenset[str]
    renamed: frozenset[str]


def arguments_of(document: Document) -> Arguments:
    """Return what the operation of a document gives to its fields, those at the root all named.

    Raises:
        InvalidBody: A fragment or variable is not there, or a fragment is within itself.
        ForbiddenValue: A fragment or variable is there that is not used.
        BodyTooLarge: Fragments multiply.
    """
    walk = _Walk(document)
    fields = tuple(walk.fields(document.selections, (), root=True))
    used = frozenset(walk.used)
    if (used | document.conditions) - document.variables.keys():
        raise InvalidBody("variable-undeclared", detail="A variable is used and not declared.")
    if document.variables.keys() - used - document.conditions:
        raise ForbiddenValue("variable-unused", detail="A variable is declared and not used.")
    if document.fragments.keys() - walk.spread:
        raise ForbiddenValue("fragment-unused", detail="A fragment is not used.")
    return Arguments(fields, used, frozenset(walk.renamed))


class _Walk:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._room = DOCUMENT_FIELDS
        self.used: set[str] = set()
        self.spread: set[str] = set()
        self.renamed: set[str] = set()

    def fields(
        self, selections: Selections, within: tuple[str, ...], level: int = 0, *, root: bool = False
    ) -> Iterator[tuple[str, Given]]:
        """Yield the fields that are given something; all of them at the `root`."""
        for one in paused(selections):
            self._room -= 1
            if self._room < 0 or level > DOCUMENT_LEVELS:
                raise BodyTooLarge("too-many-fields")
            if not isinstance(one, Field):
                if one.fragment in within or one.fragment not in self._document.fragments:
                    raise InvalidBody(
                        "fragment-missing", detail="A fragment is missing, or within itself."
                    )
                self.spread.add(one.fragment)
                inner = self._document.fragments[one.fragment]
                yield from self.fields(inner, (*within, one.fragment), level + 1, root=root)
                continue
            if one.alias != one.name:
                self.renamed |= {one.alias, one.name}
            for _, value in one.arguments:
                self._use(value)
            given = Given(one.arguments, tuple(self.fields(one.selections, within, level + 1)))
            if root or given.arguments or given.fields:
                yield one.name, given

    def _use(self, value: Value) -> None:
        if isinstance(value, Variable):
            self.used.add(value.name)
        elif isinstance(value, ListValue):
            for one in value.values:
                self._use(one)
        elif isinstance(value, ObjectValue):
            for _, one in value.members:
                self._use(one)
