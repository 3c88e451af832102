"""Read what a pod holds, and refuse a pod that is not shaped like one.

An API server has checked the pod before; a file on somebody's disk was checked by nobody.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import OperatorError


class CannotInject(OperatorError):
    """A pod asks for what cannot work; `problems` holds every reason, one sentence each."""

    code = "cannot-inject"
    title = "The pod cannot be given a sidecar."

    def __init__(self, *problems: str) -> None:
        """Keep the reasons. They name what stands in the pod, never a value of its environment."""
        super().__init__("cannot-inject", detail="; ".join(problems))
        self.problems = problems


Json = dict[str, Any]
"""An object of a manifest. Its fields are Kubernetes', and more of them come with each version."""

HIGHEST_PORT = 65535


def mapping(parent: Json, key: str) -> Json:
    """Return the object at `key`, an empty one where there is none."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CannotInject(f"`{key}` is not an object")
    return value


def objects(parent: Json, key: str) -> list[Json]:
    """Return the objects at `key`, none where there is no list."""
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise CannotInject(f"`{key}` is not a list of objects")
    return value


def named(parent: Json, key: str) -> list[Json]:
    """Return the objects at `key`, each of which must have a name of its own."""
    found = objects(parent, key)
    names = [one.get("name") for one in found]
    if not all(isinstance(name, str) and name for name in names):
        raise CannotInject(f"one of `{key}` has no name")
    if len(set(names)) != len(names):
        raise CannotInject(f"two of `{key}` have the same name")
    return found


def text(parent: Json, key: str) -> str:
    """Return the text at `key`, an empty one where there is none."""
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CannotInject(f"`{key}` is not a text")
    return value


def port(value: object) -> int | None:
    """Return a port number, or None for what is none (`True` is no port)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PORT:
        return value
    return None
