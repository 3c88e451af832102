"""Names of fields that a rule reads, and what stands beside them under other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import ForbiddenValue
from ..readings_of_a_name import (
    differ_in_case,
    field_leads_to_prototype,
    fold_field,
    fold_member,
    lax_field,
    readings_of_field,
    squeeze_fields,
)


class Reading(NamedTuple):
    """For which of the names some readers take another: by `key`; in case alone, or otherwise."""

    key: int
    in_case: bool


class FieldNames:
    """Names of fields, each known by a number; names of one spelling have one number only."""

    __slots__ = ("_folded", "_longest", "names", "needles")

    def __init__(self, names: Mapping[int, str]) -> None:
        """Fold the names; `needles` are what any twin holds that is ASCII and has no triplet."""
        self.names = dict(names)
        self._folded: dict[str, list[int]] = {}
        for key, name in names.items():
            self._folded.setdefault(fold_field(name), []).append(key)
        self.needles = frozenset(squeeze_fields(one.encode()) for one in self._folded)
        self._longest = max(map(len, self._folded), default=0)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.names)

    def readings(self, name: str) -> Sequence[Reading]:
        """Return for which of the names some readers take one that is decoded once.

        Raises ForbiddenValue for one that leads to a prototype.
        """
        if name.isascii() and name.isidentifier():  # as nearly all are: one word
            keys = self._folded.get(fold_member(name), ())
            if name[0] != "_":
                return [Reading(key, in_case=True) for key in keys]
        lax = lax_field(name)
        if field_leads_to_prototype(lax):
            raise ForbiddenValue(
                "name-hidden", detail="A name leads to what all objects of JavaScript share."
            )
        return [
            Reading(key, differ_in_case(self.names[key], name))
            for reading in readings_of_field(lax, self._longest)
            for key in self._folded.get(reading, ())
        ]
