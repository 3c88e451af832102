"""Mappings read against their table of keys."""

from __future__ import annotations

from ..yaml.nodes import Mapping, Place, Problems, show, suggest
from ..yaml.scalars import expected
from .tables import Table


class Fields:
    """The members of one mapping. What its table does not know, or asks for in vain, is told."""

    __slots__ = ("_members", "place", "whole")

    def __init__(self, place: Place, table: Table, problems: Problems) -> None:
        """Check the mapping at `place`; `whole` is False where it is none or lacks a key."""
        self.place = place
        self._members: dict[str, Place] = {}
        self.whole = isinstance(place.node, Mapping)
        if isinstance(place.node, Mapping):
            self._take(place.node, table, problems)
        else:
            expected(place, "a mapping", problems)

    def get(self, name: str) -> Place | None:
        """Return the place of a member, or None where it is not given."""
        return self._members.get(name)

    def __getitem__(self, name: str) -> Place:
        """Return the place of a member that is required; only of a whole mapping."""
        return self._members[name]

    def _take(self, node: Mapping, table: Table, problems: Problems) -> None:
        known = table.by_name
        for key, value in node.entries:
            member = self.place.member(key.text, value)
            at_key = self.place.member(key.text, key)
            found = known.get(key.text)
            if found is None:
                names = (one.name for one in table.keys if not one.later)
                problems.at(
                    key.position,
                    self.place.path,
                    f"the key {show(key.text)} is unknown; {suggest(key.text, names)}",
                )
            elif found.later:
                problems.add(at_key, "is not supported yet")
            else:
                self._members[key.text] = member
        for one in table.keys:
            if one.required and one.name not in self._members:
                self.whole = False
                problems.add(self.place, f"lacks the key `{one.name}` ({one.syntax})")
