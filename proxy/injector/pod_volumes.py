"""What a volume of a pod leads to, whatever its name is."""

from __future__ import annotations

from collections.abc import Iterable

from .pod_reader import Json, mapping, text


def claim(volume: Json) -> str:
    """Return the name of the PersistentVolumeClaim, an empty one for another kind of volume."""
    return text(mapping(volume, "persistentVolumeClaim"), "claimName")


def leads_to(volume: Json, folders: Iterable[str]) -> bool:
    """Return whether a host path is one of the folders of the node, within it or above it."""
    path = text(mapping(volume, "hostPath"), "path")
    whole = _folder(path)
    return bool(path) and any(
        one.startswith(whole) or whole.startswith(one) for one in map(_folder, folders)
    )


def _folder(path: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return "".join(f"/{part}" for part in parts) + "/"
