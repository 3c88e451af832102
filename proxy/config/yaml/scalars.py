"""Readers of texts, whole numbers and lists, and what is said of other nodes in their place.

Each returns the value, or None after reporting what is wrong.
"""

from __future__ import annotations

import re
from typing import Final

from .nodes import Mapping, Place, Problems, Scalar, Sequence, read_as, show

_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,14}")


def text(place: Place, problems: Problems) -> str | None:
    """Return a text that is not empty."""
    node = place.node
    if not isinstance(node, Scalar):
        expected(place, "a text", problems)
    elif node.kind not in {"text", "substituted"}:
        _not_a_text(place, node, problems)
    elif not node.text.strip():
        problems.add(place, "is empty", "write a value, or delete the key")
    else:
        return node.text
    return None


def whole(place: Place, problems: Problems, *, low: int, high: int) -> int | None:
    """Return a whole number within its bounds."""
    node = place.node
    if not isinstance(node, Scalar):
        expected(place, "a whole number", problems)
    elif node.kind == "text":
        hint = "delete the quotes" if _WHOLE.fullmatch(node.text) else f"for example `{low}`"
        problems.add(place, f"{show(node.text)} is not a whole number", hint)
    elif not _WHOLE.fullmatch(node.text):
        problems.add(
            place,
            f"{show(node.text)} is not a whole number in plain digits",
            f"for example `{low}`",
        )
    elif not low <= int(node.text) <= high:
        problems.add(place, f"{show(node.text)} is out of range: {low} to {high}")
    else:
        return int(node.text)
    return None


def elements(place: Place, problems: Problems) -> list[Place]:
    """Return the places of a list's elements; an empty list is a mistake."""
    node = place.node
    if not isinstance(node, Sequence):
        expected(place, "a list", problems)
        return []
    if not node.items:
        problems.add(place, "the list is empty", "list a value, or delete the key")
    return [place.element(at, one) for at, one in enumerate(node.items)]


def one_or_more(place: Place, problems: Problems) -> list[Place]:
    """Return the elements of a list, or the place itself if it is not a list."""
    return elements(place, problems) if isinstance(place.node, Sequence) else [place]


def _instead(what: str) -> str:
    """Return what to write where another kind of value is."""
    shapes = {"a mapping": "write `{key: value}`", "a list": "write `[value]`"}
    return shapes.get(what, f"write {what}")


def expected(place: Place, what: str, problems: Problems) -> None:
    """Report that the node at a place is of another kind than `what`."""
    node = place.node
    if isinstance(node, Mapping):
        if len(node.entries) == 1 and _is_empty(node.entries[0][1]):
            name = node.entries[0][0].text
            problems.add(place, f"{show(f'{{{name}}}')} is read as a mapping", "quote the value")
            return
        problems.add(place, f"{what} is expected, but this is a mapping", _instead(what))
    elif isinstance(node, Sequence):
        problems.add(place, f"{what} is expected, but this is a list", _instead(what))
    else:
        # It may be a secret in the wrong place, so it is not shown.
        found = "empty" if node.kind == "null" else "a single value"
        problems.add(place, f"{what} is expected, but this is {found}", _instead(what))


def _not_a_text(place: Place, node: Scalar, problems: Problems) -> None:
    if node.kind == "null" and not node.text:
        problems.add(place, "a text is expected, but this is empty", "write one, or delete the key")
    else:
        problems.add(
            place,
            f"{show(node.text)} is read as {read_as(node.kind, node.text)}, but a text is expected",
            f'quote it: "{node.text}"'
            if len(node.text) <= len("2001-12-14t21:59:43.10")
            else "quote it",
        )


def is_bare(node: Mapping) -> bool:
    """Tell whether no mapping was meant: `{id}` is a text without its quotes."""
    value = node.entries[0][1] if len(node.entries) == 1 else None
    return isinstance(value, Scalar) and value.kind == "null"


def _is_empty(node: object) -> bool:
    return isinstance(node, Scalar) and node.kind == "null" and not node.text
