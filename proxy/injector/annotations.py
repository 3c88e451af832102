"""Annotations of a pod, read strictly: names, values and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, Literal, TypeVar, get_args

from .pod_reader import HIGHEST_PORT, CannotInject
from .policy import Policy
from .roots import ROOT_VOLUMES, RootNeeds

LABEL: Final = "sealyard.io/inject"
"""Label of a pod or its namespace: `enabled` or `disabled`. That of the pod takes precedence."""

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"

PREFIX: Final = "sealyard.io/"
STATUS: Final = "sealyard.io/status"
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"

SIDECAR: Final = "sealyard"
REDIRECT: Final = "sealyard-redirect"
CHECK: Final = "sealyard-check"
CONTAINERS: Final = frozenset({SIDECAR, REDIRECT, CHECK})

CONFIG_VOLUME: Final = "sealyard-config"
KEYS_VOLUME: Final = "sealyard-keys"
AUDIT_VOLUME: Final = "sealyard-audit"
VOLUMES: Final = frozenset({CONFIG_VOLUME, KEYS_VOLUME, AUDIT_VOLUME}) | ROOT_VOLUMES

TRAFFIC_PORT: Final = 15080
"""Port of the sidecar for redirected connections."""

HEALTH_PORT: Final = 15021
MESH_HEALTH_PORT: Final = 15082
"""In place of it beside a mesh: Istio's proxy has 15021 itself."""

HEALTH_PORTS: Final = frozenset({HEALTH_PORT, MESH_HEALTH_PORT})

CONFIG_FILE: Final = "/etc/sealyard/config/sealyard.yaml"
CONFIG_FOLDER: Final = "/etc/sealyard/config"
KEYS_FOLDER: Final = "/etc/sealyard/keys"
AUDIT_FOLDER: Final = "/var/log/sealyard"

EMPTY_DIR: Final = "emptyDir"
"""In place of the name of a claim, which has no capitals: a volume that is deleted with its pod."""

LISTEN_VARIABLE: Final = "SEALYARD_LISTEN"
HEALTH_VARIABLE: Final = "SEALYARD_HEALTH"
UPSTREAM_VARIABLE: Final = "SEALYARD_UPSTREAM"
POD_VARIABLE: Final = "SEALYARD_POD"
ADDRESSES_VARIABLE: Final = "SEALYARD_POD_IPS"
INTERCEPTION_VARIABLE: Final = "SEALYARD_INTERCEPTION"
PORTS_VARIABLE: Final = "SEALYARD_SEALED_PORTS"
PROBES_VARIABLE: Final = "SEALYARD_APP_PROBES"
PROBE_PATH: Final = "/app-probe"

USER: Final = 65532
MESH_USER: Final = 15080
"""User of the sidecar with interception `mesh`, which exempts it from the redirect. Not 65532, the
user of many images; and below 65536, for pods with a user namespace of their own."""

GROUP: Final = 0
"""Files of a Secret belong to root and the group root, unless the pod has an `fsGroup`, which is
then a group of every container. So the group root lets a user other than root read the keys at mode
0440, whatever the pod sets."""


class KeyKind(StrEnum):
    """The kinds of objects that hold keys."""

    SECRET = "Secret"  # noqa: S105 - a kind of object
    PROVIDER_CLASS = "SecretProviderClass"
    CONFIG_MAP = "ConfigMap"


MeshKind = Literal["sidecar", "ambient"]
"""How a namespace is in a mesh: its pods get a proxy each, or are captured by the node's."""

Interception = Literal["mesh", "redirect", "port-env"]
INTERCEPTIONS: Final[tuple[Interception, ...]] = get_args(Interception)
"""All of them, the strongest first."""

Read = TypeVar("Read")
Default = TypeVar("Default")

_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_QUANTITY: Final = re.compile(r"(?=.*[1-9])[0-9]+(\.[0-9]+)?(m|k|M|G|Ki|Mi|Gi)?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_SEALED: Final = re.compile(r"; sealed=([1-9][0-9]{0,4}(?:,[1-9][0-9]{0,4})*)")
_MOST_NAME: Final = 253


@dataclass(frozen=True, slots=True)
class Resources:
    """Resource requests and limits of the sidecar; an empty string sets none."""

    cpu_request: str = "50m"
    cpu_limit: str = ""
    memory_request: str = "96Mi"
    memory_limit: str = "256Mi"


@dataclass(frozen=True, slots=True)
class InjectorSettings:
    """Settings by the operator of the cluster; pods override them with annotations, `root` aside.

    `audit_volume` is the claim for audit logs, EMPTY_DIR, or empty for no audit volume. `meshes`
    are those that the namespace of the pods is in.
    """

    image: str
    pull_policy: str = ""
    config: str = "sealyard"
    keys_secret: str = "sealyard-keys"  # noqa: S105 - the name of an object
    interception: Interception = "redirect"
    resources: Resources = field(default_factory=Resources)
    audit_volume: str = ""
    root: RootNeeds = field(default_factory=RootNeeds)
    policy: Policy = field(default_factory=Policy)
    meshes: tuple[MeshKind, ...] = ()


@dataclass(frozen=True, slots=True)
class PodOptions:
    """Options of one pod. Ports are numbers or names, as written; None means all.

    `fixed` are the ports that an earlier injection sealed. `application` is the default container,
    if the pod names one. `in_mesh` is whether the pod is in a mesh, and `late_proxy` whether the
    proxy of that starts after the sidecar.
    """

    config: str
    keys_secret: str
    interception: Interception
    resources: Resources
    audit_volume: str = ""
    ports: tuple[str, ...] | None = None
    passed: tuple[str, ...] = ()
    fixed: tuple[int, ...] = ()
    application: str = ""
    port_variable: str = "PORT"
    native: bool = True
    in_mesh: bool = False
    late_proxy: bool = False

    @property
    def health_port(self) -> int:
        """The port of the sidecar's health listener."""
        beside_mesh = self.in_mesh or self.interception == "mesh"
        return MESH_HEALTH_PORT if beside_mesh else HEALTH_PORT

    @property
    def own_ports(self) -> frozenset[int]:
        """The ports of the sidecar that no application may have."""
        return frozenset({TRAFFIC_PORT, self.health_port})

    @property
    def user(self) -> int:
        """The user of the sidecar."""
        return MESH_USER if self.interception == "mesh" else USER


def pod_options(annotations: Mapping[str, object], settings: InjectorSettings) -> PodOptions:
    """Return the options in the annotations, by default those of `settings`.

    Raises CannotInject, which names every annotation that is unknown or invalid.
    """
    read = _Reader(annotations)
    options = PodOptions(
        config=read.get("config", _object_name, settings.config),
        keys_secret=read.get("keys-secret", _key_source, settings.keys_secret),
        interception=read.get("interception", _interception, settings.interception),
        resources=Resources(
            **{
                one.name: read.get(
                    one.name.replace("_", "-"), _quantity, getattr(settings.resources, one.name)
                )
                for one in fields(Resources)
            }
        ),
        audit_volume=read.get("audit-volume", _audit_volume, settings.audit_volume),
        ports=read.get("ports", _ports, None),
        passed=read.get("pass-ports", _ports, ()),
        fixed=_fixed(annotations.get(STATUS)),
        application=str(annotations.get(DEFAULT_CONTAINER, "")),
        port_variable=read.get("port-env", _variable, "PORT"),
        native=read.get("native-sidecar", _switch, True),
    )
    read.finish()
    return options


class _Expected(Exception):
    """An invalid annotation; `str` is what it must be."""


class _Reader:
    """Reads annotations and collects problems; each annotation it reads is known."""

    def __init__(self, annotations: Mapping[str, object]) -> None:
        self._annotations = annotations
        self._known = [STATUS]
        self._problems: list[str] = []

    def get(self, name: str, reader: Callable[[str], Read], default: Default) -> Read | Default:
        key = PREFIX + name
        self._known.append(key)
        written = self._annotations.get(key)
        if written is None:
            return default
        try:
            return reader(written.strip() if isinstance(written, str) else "")
        except _Expected as expected:
            shown = f"`{written}`" if isinstance(written, str) else "that"
            self._problems.append(f"annotation {key}: {shown} does not fit; it must be {expected}")
            return default

    def finish(self) -> None:
        ours = [key for key in self._annotations if key.startswith(PREFIX)]
        for key in ours:
            if key not in self._known:
                near = get_close_matches(key, self._known, 1)
                known = ", ".join(sorted(self._known))
                hint = f"; did you mean {near[0]}?" if near else f"; one of: {known}"
                self._problems.append(f"annotation {key} is unknown{hint}")
        if self._problems:
            raise CannotInject(*self._problems)


def _object_name(written: str) -> str:
    if len(written) > _MOST_NAME or not _SUBDOMAIN.fullmatch(written):
        raise _Expected("the name of an object in the same namespace")
    return written


def _key_source(written: str) -> str:
    kind, slash, name = written.rpartition("/")
    if slash and kind not in set(KeyKind):
        raise _Expected(f"NAME or KIND/NAME, with a kind of {', '.join(KeyKind)}")
    return f"{kind}{slash}{_object_name(name)}"


def _audit_volume(written: str) -> str:
    # No value turns it off: the author of a pod must not be able to drop its audit log.
    if written == EMPTY_DIR:
        return written
    try:
        return _object_name(written)
    except _Expected as expected:
        raise _Expected(f"{EMPTY_DIR}, or {expected}") from None


def _interception(written: str) -> Interception:
    if written not in INTERCEPTIONS:
        raise _Expected("mesh, redirect or port-env")
    return written


def _quantity(written: str) -> str:
    if not _QUANTITY.fullmatch(written):
        raise _Expected("a quantity such as 100m or 128Mi")
    return written


def _ports(written: str) -> tuple[str, ...]:
    names = tuple(one.strip() for one in written.split(","))
    for one in names:
        number = re.fullmatch(r"[1-9][0-9]{0,4}", one)
        if not (int(one) <= HIGHEST_PORT if number else _PORT_NAME.fullmatch(one)):
            raise _Expected("a list of ports such as `8080, http`")
    return tuple(dict.fromkeys(names))


def _fixed(status: object) -> tuple[int, ...]:
    """Return the sealed ports in a status annotation. It can be pretended: they may only add."""
    found = _SEALED.search(status) if isinstance(status, str) else None
    return tuple(
        int(one) for one in (found[1].split(",") if found else ()) if int(one) <= HIGHEST_PORT
    )


def _variable(written: str) -> str:
    if not _VARIABLE.fullmatch(written):
        raise _Expected("the name of an environment variable")
    return written


def _switch(written: str) -> bool:
    if written not in {"true", "false"}:
        raise _Expected("true or false")
    return written == "true"
