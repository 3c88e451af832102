"""Keys that were renamed: an old file is read by the new names and says what to write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ..yaml.nodes import Mapping, Node, Place, Problems, Scalar, Sequence


@dataclass(frozen=True, slots=True)
class RenamedKey:
    """A key of one table, by its old and its new name.

    `path` leads to the mappings that have it (`*` is any element of a list). Files whose `version`
    is below `refused_from` may still use the old name and get a warning; in others it is a mistake.
    """

    path: tuple[str, ...]
    table: str
    old: str
    new: str
    refused_from: int


RENAMED_KEYS: Final = (
    RenamedKey(("listeners", "*", "limits"), "limits", "frame", "stream", refused_from=2),
)


def with_new_names(root: Place, problems: Problems) -> Place:
    """Return the file with every renamed key under its new name; each old name is reported."""
    for renamed in RENAMED_KEYS:
        root = Place(_read_as(root, renamed.path, _Renaming(renamed, root, problems)), root.path)
    return root


class _Renaming:
    """Renames one key in the mappings that have it."""

    __slots__ = ("_key", "_problems", "_refused")

    def __init__(self, key: RenamedKey, root: Place, problems: Problems) -> None:
        self._key = key
        self._problems = problems
        entries = root.node.entries if isinstance(root.node, Mapping) else ()
        version = [node for key, node in entries if key.text == "version"]
        older = map(str, range(1, key.refused_from))
        self._refused = not any(isinstance(one, Scalar) and one.text in older for one in version)

    def __call__(self, place: Place, node: Mapping) -> Mapping:
        """Return the mapping with the new name in place of the old one."""
        old, new = self._key.old, self._key.new
        both = any(key.text == new for key, _ in node.entries)
        entries: list[tuple[Scalar, Node]] = []
        for key, value in node.entries:
            if key.text != old:
                entries.append((key, value))
                continue
            self._report(place.member(old, key), both=both)
            if not both:
                entries.append((replace(key, text=new), value))
        return replace(node, entries=tuple(entries))

    def _report(self, place: Place, *, both: bool) -> None:
        new = self._key.new
        if both:
            self._problems.add(
                place, f"is the old name of `{new}`, which is also given", "delete it"
            )
        elif self._refused:
            self._problems.add(place, "was renamed", f"write `{new}`")
        else:
            version = f"version {self._key.refused_from} refuses the old name"
            self._problems.warn(place, f"was renamed; write `{new}`: {version}")


def _read_as(place: Place, path: tuple[str, ...], rename: _Renaming) -> Node:
    node = place.node
    if isinstance(node, Mapping):
        if not path:
            return rename(place, node)
        entries = (
            (key, _read_as(place.member(key.text, one), path[1:], rename))
            if key.text == path[0]
            else (key, one)
            for key, one in node.entries
        )
        return replace(node, entries=tuple(entries))
    if isinstance(node, Sequence) and path[:1] == ("*",):
        items = (
            _read_as(place.element(at, one), path[1:], rename) for at, one in enumerate(node.items)
        )
        return replace(node, items=tuple(items))
    return node
