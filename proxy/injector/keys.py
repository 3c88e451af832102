"""Where the keys of a pod come from, and who else in the pod could read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from .annotations import CONTAINERS, KEYS_VOLUME, VOLUMES, KeyKind
from .permissions import Violation
from .pod_reader import Json, mapping, mounted, objects, text

_CSI_DRIVER: Final = "secrets-store.csi.k8s.io"
_MODE: Final = 0o440


class KeySource(NamedTuple):
    """An object in the pod's namespace: one of the three kinds, and its name."""

    kind: KeyKind
    name: str


def key_source(written: str) -> KeySource:
    """Return the object that `keys-secret` names: `NAME` of a Secret, or `KIND/NAME`."""
    kind, _, name = written.rpartition("/")
    return KeySource(KeyKind(kind or KeyKind.SECRET), name)


def volume(written: str) -> Json:
    """Return the volume with the keys, which only the sidecar mounts.

    A ConfigMap can hold a keyring whose root key is elsewhere, in a KMS.
    """
    kind, name = key_source(written)
    if kind is KeyKind.PROVIDER_CLASS:
        attributes = {"secretProviderClass": name}
        csi = {"driver": _CSI_DRIVER, "readOnly": True, "volumeAttributes": attributes}
        return {"name": KEYS_VOLUME, "csi": csi}
    if kind is KeyKind.CONFIG_MAP:
        return {"name": KEYS_VOLUME, "configMap": {"name": name, "defaultMode": _MODE}}
    return {"name": KEYS_VOLUME, "secret": {"secretName": name, "defaultMode": _MODE}}


def exposures(
    volumes: Sequence[Json], containers: Sequence[Json], sources: Iterable[str]
) -> Iterator[Violation]:
    """Yield how the pod's other volumes and containers reach the keys.

    A volume counts although no container mounts it: one that is added for debugging could.
    """
    guarded = frozenset(map(key_source, sources))
    for one in volumes:
        if one["name"] in VOLUMES:
            continue
        yield from (
            Violation(f"volume {one['name']} holds the keys ({kind} {name})")
            for kind, name in sorted(_sources(one) & guarded)
        )
    for one in containers:
        yield from _in_variables(one, guarded)


def debugging(pod_volumes: Sequence[Json], container: Json, sources: Iterable[str]) -> list[str]:
    """Return how an ephemeral container reaches the keys of a running pod."""
    name = text(container, "name")
    own = (_sources(one) for one in pod_volumes if text(one, "name") == KEYS_VOLUME)
    guarded = frozenset(map(key_source, sources)).union(*own)
    holding = VOLUMES | {text(one, "name") for one in pod_volumes if _sources(one) & guarded}
    problems = [
        f"ephemeral container {name} mounts {one}, which is reserved for the sidecar"
        for one in sorted(mounted(container) & holding)
    ]
    target = text(container, "targetContainerName")
    if target in CONTAINERS:
        problems.append(
            f"ephemeral container {name} joins the processes of container {target},"
            " and so could read its keys"
        )
    problems.extend(one.sentence for one in _in_variables(container, guarded))
    return problems


def _in_variables(container: Json, guarded: frozenset[KeySource]) -> Iterator[Violation]:
    single = (mapping(one, "valueFrom") for one in objects(container, "env"))
    named = {
        *(text(mapping(one, "secretKeyRef"), "name") for one in single),
        *(text(mapping(one, "secretRef"), "name") for one in objects(container, "envFrom")),
    }
    for name in sorted(named):
        if KeySource(KeyKind.SECRET, name) in guarded:
            yield Violation(
                f"container {text(container, 'name')} reads the keys (Secret {name}) as variables"
            )


def _sources(one: Json) -> frozenset[KeySource]:
    """Return the objects that a volume gives to those who mount it."""
    csi = mapping(one, "csi")
    projected = objects(mapping(one, "projected"), "sources")
    found = (
        *(KeySource(KeyKind.SECRET, name) for name in _secrets(one)),
        KeySource(
            KeyKind.PROVIDER_CLASS, text(mapping(csi, "volumeAttributes"), "secretProviderClass")
        ),
        *(KeySource(KeyKind.SECRET, text(mapping(each, "secret"), "name")) for each in projected),
    )
    return frozenset(each for each in found if each.name)


def _secrets(source: Json) -> Iterator[str]:
    """Yield what a volume calls a Secret: a driver has `secretName`, or a reference to one."""
    for key, value in source.items():
        if isinstance(value, dict):
            if key.lower().endswith("secretref"):
                yield text(value, "name")
            yield from _secrets(value)
        elif key == "secretName" and isinstance(value, str):
            yield value
