"""Annotations of a pod, read strictly: names, values and defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final, Literal, get_args

from ..config.declared.kinds import Choice, Kind, PlainText
from ..config.declared.section import Section, setting
from ..config.yaml.nodes import Mapping as Nodes
from ..config.yaml.nodes import Place, Position, Problems, Scalar, show
from ..core.errors import InvalidExpression
from .permissions import Policy
from .pod_reader import HIGHEST_PORT, CannotInject
from .policy import (
    HEALTH_PORT,
    MESH_HEALTH_PORT,
    MESH_USER,
    MOST_NAMED,
    MOST_PORTS,
    TRAFFIC_PORT,
    USER,
)
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
PORTS_VARIABLE: Final = "SEALYARD_SEALED_PORTS"
PASSED_VARIABLE: Final = "SEALYARD_PASSED_PORTS"
PROBES_VARIABLE: Final = "SEALYARD_APP_PROBES"
PROBE_PATH: Final = "/app-probe"


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

_FROM_OPERATOR: Final = ("config", "keys_secret", "interception", "audit_volume")

_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME: Final = rf"(?!.{{254}}){_LABEL}(?:\.{_LABEL})*"
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_SEALED: Final = re.compile(r"; sealed=([1-9][0-9]{0,4}(?:,[1-9][0-9]{0,4})*)")
_RESOURCES: Final = "the chart's `sidecar.resources`"
_WRITTEN: Final = Position(1, 1)


def _ports(written: str) -> tuple[str, ...]:
    names = tuple(one.strip() for one in written.split(","))
    for one in names:
        number = re.fullmatch(r"[1-9][0-9]{0,4}", one)
        if not (int(one) <= HIGHEST_PORT if number else _PORT_NAME.fullmatch(one)):
            told = f"{show(written)} is not a list of ports"
            raise InvalidExpression(told, hint="for example `8080, http`")
    if len(names) > MOST_PORTS:
        raise InvalidExpression(f"more than {MOST_PORTS} ports")
    return tuple(dict.fromkeys(names))


_OBJECT: Final = PlainText(
    "name", re.compile(_NAME), "is not the name of an object", "name one of the same namespace"
)
_KEYS: Final = PlainText(
    "`NAME`, `KIND/NAME`",
    re.compile(rf"(?:(?:{'|'.join(KeyKind)})/)?{_NAME}"),
    "is not NAME or KIND/NAME",
    f"a KIND is one of: {', '.join(KeyKind)}",
)
# No value turns it off: the author of a pod must not be able to drop its audit log.
_AUDIT_VOLUME: Final = PlainText(
    f"name, `{EMPTY_DIR}`",
    re.compile(rf"{EMPTY_DIR}|{_NAME}"),
    "is not the name of an object",
    f"name one of the same namespace, or write `{EMPTY_DIR}`",
)
_QUANTITY: Final = PlainText(
    "quantity",
    re.compile(r"(?=.*[1-9])[0-9]+(\.[0-9]+)?(m|k|M|G|Ki|Mi|Gi)?"),
    "is not a quantity",
    "for example `100m` or `128Mi`",
)
_PORTS: Final = PlainText("numbers or names, `8080, http`", parse=_ports)
_VARIABLE: Final = PlainText(
    "variable",
    re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "is not the name of an environment variable",
)


def _annotation(name: str, kind: Kind, doc: str, absent: str) -> Any:  # noqa: ANN401 - as `setting`
    return setting(kind, doc, absent=absent, name=f"{PREFIX}{name}")


@dataclass(frozen=True, slots=True)
class _Annotations:
    """What the annotations of a pod say; None: nothing."""

    ports: tuple[str, ...] | None = _annotation(
        "ports",
        _PORTS,
        "Ports that no container declares, to be sealed within the pod too; with `port-env`, the"
        " one sealed port.",
        "every TCP port that a container declares",
    )
    passed: tuple[str, ...] | None = _annotation(
        "pass-ports", _PORTS, "What stays open, such as gRPC, HTTPS and UDP.", "none"
    )
    interception: Interception | None = _annotation(
        "interception",
        Choice(*INTERCEPTIONS),
        "How connections reach the sidecar.",
        "the chart's `sidecar.interception`; in a [mesh](../how-to/mesh.md), `mesh` in place of"
        " `redirect`",
    )
    port_variable: str | None = _annotation(
        "port-env", _VARIABLE, "From where the application reads its port.", "`PORT`"
    )
    config: str | None = _annotation(
        "config", _OBJECT, "The ConfigMap with `sealyard.yaml`.", "the chart's `sidecar.configMap`"
    )
    keys_secret: str | None = _annotation(
        "keys-secret",
        _KEYS,
        "The [source of the keys](../how-to/kubernetes.md#bring-keys-into-namespaces).",
        "the chart's `sidecar.keysSecret`",
    )
    audit_volume: str | None = _annotation(
        "audit-volume",
        _AUDIT_VOLUME,
        "Where the [audit log](../how-to/kubernetes.md#audit-log) is kept: in a claim, or in a"
        " volume that is deleted with the pod.",
        "the chart's `sidecar.auditVolume`",
    )
    cpu_request: str | None = _annotation(
        "cpu-request", _QUANTITY, "CPU of the sidecar and of its init containers.", _RESOURCES
    )
    cpu_limit: str | None = _annotation("cpu-limit", _QUANTITY, "The limit of that.", _RESOURCES)
    memory_request: str | None = _annotation(
        "memory-request", _QUANTITY, "Memory of the sidecar and of its init containers.", _RESOURCES
    )
    memory_limit: str | None = _annotation(
        "memory-limit", _QUANTITY, "The limit of that.", _RESOURCES
    )


ANNOTATIONS: Final = Section(_Annotations, "annotations", "Annotations of a pod")


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
    interception: Interception = "mesh"
    resources: Resources = field(default_factory=Resources)
    audit_volume: str = ""
    root: RootNeeds = field(default_factory=RootNeeds)
    policy: Policy = field(default_factory=Policy)
    meshes: tuple[MeshKind, ...] = ()


@dataclass(frozen=True, slots=True)
class PodOptions:
    """Options of one pod. Ports are numbers or names, as written; None means all.

    `fixed` are the ports that an earlier injection sealed, `called` those that a mesh was told of.
    `application` is the default container, if the pod names one. `in_mesh` is whether the pod is in
    a mesh, `called_on_loopback` whether the proxy of that calls the application there, `late_proxy`
    whether it starts after the sidecar, and `tunnelled` whether its namespace gives it a tunnel,
    which has a port of its own.
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
    called: tuple[int, ...] = ()
    in_mesh: bool = False
    called_on_loopback: bool = False
    late_proxy: bool = False
    tunnelled: bool = False

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
    given = _read(annotations)
    resources = {one.name: said for one in fields(Resources) if (said := given.pop(one.name, None))}
    own = {name: getattr(settings, name) for name in _FROM_OPERATOR}
    return PodOptions(
        **own | given,
        resources=replace(settings.resources, **resources),
        fixed=_fixed(annotations.get(STATUS)),
        application=str(annotations.get(DEFAULT_CONTAINER, "")),
    )


def _read(annotations: Mapping[str, object]) -> dict[str, Any]:
    """Return by option what the annotations give."""
    ours = tuple(
        (_scalar(name), _scalar(value))
        for name, value in annotations.items()
        if name.startswith(PREFIX) and name != STATUS
    )
    if len(ours) > MOST_NAMED:
        raise CannotInject(f"annotations: more than {MOST_NAMED} begin with {PREFIX}")
    problems = Problems("annotations")
    found = ANNOTATIONS.read(Place(Nodes(_WRITTEN, ours), ""), problems)
    if problems.mistakes or found is None:
        raise CannotInject(
            *(
                f"annotation {path}: {told}" if path else f"annotations: {told}"
                for path, told in problems.mistakes
            )
        )
    return {name: value for name, value in asdict(found).items() if value is not None}


def _scalar(written: object) -> Scalar:
    """Return an annotation as a node: of no kind, as a value of the environment."""
    text = written.strip() if isinstance(written, str) else ""
    return Scalar(_WRITTEN, text, "substituted", text)


def _fixed(status: object) -> tuple[int, ...]:
    """Return the sealed ports in a status annotation. It can be pretended: they may only add."""
    found = _SEALED.search(status) if isinstance(status, str) else None
    return tuple(
        int(one) for one in (found[1].split(",") if found else ()) if int(one) <= HIGHEST_PORT
    )
