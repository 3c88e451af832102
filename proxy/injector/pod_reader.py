"""Reading of a pod, which refuses a malformed one.

An API server validates pods before a webhook sees them; a file on disk is not validated.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import OperatorError
from .policy import MOST_NAMED


class CannotInject(OperatorError):
    """A pod that cannot be injected; `problems` holds every reason, one sentence each."""

    code = "cannot-inject"
    title = "The pod cannot be given a sidecar."

    def __init__(self, *problems: str) -> None:
        """Keep the reasons. They name parts of the pod, never a value of its environment."""
        super().__init__("cannot-inject", detail="; ".join(problems))
        self.problems = problems


Json = dict[str, Any]
"""An object of a manifest, with the fields of any version of Kubernetes."""

HIGHEST_PORT = 65535


def mapping(parent: Json, key: str) -> Json:
    """Return the object at `key`, an empty one where it is absent."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CannotInject(f"`{key}` is not an object")
    return value


def objects(parent: Json, key: str) -> list[Json]:
    """Return the list of objects at `key`, an empty one where it is absent."""
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise CannotInject(f"`{key}` is not a list of objects")
    return value


def named(parent: Json, key: str) -> list[Json]:
    """Return the list of objects at `key`, each with a unique name, at most MOST_NAMED."""
    found = objects(parent, key)
    if len(found) > MOST_NAMED:
        raise CannotInject(f"`{key}` has more than {MOST_NAMED} elements")
    names = [one.get("name") for one in found]
    if not all(isinstance(name, str) and name for name in names):
        raise CannotInject(f"an element of `{key}` has no name")
    if len(set(names)) != len(names):
        raise CannotInject(f"two elements of `{key}` have the same name")
    return found


def text(parent: Json, key: str) -> str:
    """Return the string at `key`, an empty one where it is absent."""
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CannotInject(f"`{key}` is not a string")
    return value


def port(value: object) -> int | None:
    """Return a port number, or None for anything else (`True` included)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PORT:
        return value
    return None


def mounted(container: Json) -> set[str]:
    """Return the names of the volumes that a container sees, as files, a device or variables."""
    variables = (mapping(one, "valueFrom") for one in objects(container, "env"))
    return {
        *(text(one, "name") for one in objects(container, "volumeMounts")),
        *(text(one, "name") for one in objects(container, "volumeDevices")),
        *(text(mapping(one, "fileKeyRef"), "volumeName") for one in variables),
    }


def claims(volume: Json) -> set[str]:
    """Return the names of what a volume is a PersistentVolumeClaim of, or is filled from."""
    made = mapping(mapping(mapping(volume, "ephemeral"), "volumeClaimTemplate"), "spec")
    sources = (text(mapping(made, kind), "name") for kind in ("dataSource", "dataSourceRef"))
    return {text(mapping(volume, "persistentVolumeClaim"), "claimName"), *sources} - {""}
