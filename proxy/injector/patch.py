"""The difference between two manifests as a JSON Patch (RFC 6902).

Lists whose items have names (containers, volumes, variables) are compared by name, so that a patch
touches the items that change and no other: two webhooks can then change the same list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .shapes import Json

Operation = Json
Patch = list[Operation]


def patch(before: Json, after: Json) -> Patch:
    """Return the operations that make `after` of `before`, none where they are the same."""
    return list(_objects(before, after, ""))


def _values(before: Any, after: Any, path: str) -> Iterator[Operation]:  # noqa: ANN401 - JSON
    if before == after and type(before) is type(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _objects(before, after, path)
    elif isinstance(before, list) and isinstance(after, list) and _comparable(before, after):
        yield from _lists(before, after, path)
    else:
        yield {"op": "replace", "path": path, "value": after}


def _objects(before: Json, after: Json, path: str) -> Iterator[Operation]:
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
    for key, value in after.items():
        place = f"{path}/{_escaped(key)}"
        if key not in before:
            yield {"op": "add", "path": place, "value": value}
        else:
            yield from _values(before[key], value, place)


def _lists(before: Sequence[Json], after: Sequence[Json], path: str) -> Iterator[Operation]:
    kept = {one["name"] for one in after}
    standing = list(before)
    for index in reversed(range(len(standing))):
        if standing[index]["name"] not in kept:
            yield {"op": "remove", "path": f"{path}/{index}"}
            del standing[index]
    old = {one["name"]: one for one in standing}
    for index, one in enumerate(after):
        if one["name"] in old:
            yield from _values(old[one["name"]], one, f"{path}/{index}")
        else:
            yield {"op": "add", "path": f"{path}/{index}", "value": one}


def _comparable(before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Tell whether all items have names of their own, and those in both stand in the same order."""
    old, new = _names(before), _names(after)
    if old is None or new is None:
        return False
    return [one for one in old if one in new] == [one for one in new if one in old]


def _names(items: Sequence[Any]) -> list[str] | None:
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in items):
        return None
    names = [one["name"] for one in items]
    return names if len(set(names)) == len(names) else None


def _escaped(key: str) -> str:
    """Return a key as RFC 6901 section 3 writes it."""
    return key.replace("~", "~0").replace("/", "~1")
