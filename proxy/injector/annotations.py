"""What a pod asks for: its annotations, read strictly and all at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Final, Literal, TypeVar, cast

from .pod_reader import CannotInject

LABEL: Final = "sealyard.io/inject"
"""On a pod or its namespace: `enabled` or `disabled`; the pod's own word wins."""

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"

PREFIX: Final = "sealyard.io/"
STATUS: Final = "sealyard.io/status"
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"

SIDECAR: Final = "sealyard"
REDIRECT: Final = "sealyard-redirect"
CONTAINERS: Final = frozenset({SIDECAR, REDIRECT})

CONFIG_VOLUME: Final = "sealyard-config"
KEYS_VOLUME: Final = "sealyard-keys"
AUDIT_VOLUME: Final = "sealyard-audit"
VOLUMES: Final = frozenset({CONFIG_VOLUME, KEYS_VOLUME, AUDIT_VOLUME})

TRAFFIC_PORT: Final = 15080
"""Where redirected connections arrive."""

HEALTH_PORT: Final = 15021
OWN_PORTS: Final = frozenset({TRAFFIC_PORT, HEALTH_PORT})

CONFIG_FILE: Final = "/etc/sealyard/config/sealyard.yaml"
CONFIG_FOLDER: Final = "/etc/sealyard/config"
KEYS_FOLDER: Final = "/etc/sealyard/keys"
AUDIT_FOLDER: Final = "/var/log/sealyard"

EMPTY_DIR: Final = "emptyDir"
"""In place of the name of a claim, which cannot have a capital: a volume that ends with its pod."""

LISTEN_VARIABLE: Final = "SEALYARD_LISTEN"
UPSTREAM_VARIABLE: Final = "SEALYARD_UPSTREAM"
POD_VARIABLE: Final = "SEALYARD_POD"
PROBES_VARIABLE: Final = "SEALYARD_APP_PROBES"
PROBE_PATH: Final = "/app-probe"

USER: Final = 65532
GROUP: Final = 0
"""Files of a Secret belong to root and the group root, unless the pod has an `fsGroup`, which is
then a group of every container. So the group root, and nothing of the pod's own, lets a user who is
not root read its keys at mode 0440."""


Interception = Literal["redirect", "port-env"]
Read = TypeVar("Read")
Default = TypeVar("Default")

_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_QUANTITY: Final = re.compile(r"(?=.*[1-9])[0-9]+(\.[0-9]+)?(m|k|M|G|Ki|Mi|Gi)?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_MOST_NAME: Final = 253
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Resources:
    """What a sidecar may use; an empty text sets nothing."""

    cpu_request: str = "50m"
    cpu_limit: str = ""
    memory_request: str = "96Mi"
    memory_limit: str = "256Mi"


@dataclass(frozen=True, slots=True)
class InjectorSettings:
    """What the operator of the cluster decided; pods choose the rest.

    `audit_volume` is the claim that holds audit logs, EMPTY_DIR, or empty where there are none.
    """

    image: str
    pull_policy: str = ""
    config: str = "sealyard"
    keys_secret: str = "sealyard-keys"  # noqa: S105 - the name of an object
    interception: Interception = "redirect"
    resources: Resources = field(default_factory=Resources)
    audit_volume: str = ""


@dataclass(frozen=True, slots=True)
class PodOptions:
    """What one pod asks for. Ports are numbers or names, as they are written; None asks for all."""

    config: str
    keys_secret: str
    interception: Interception
    resources: Resources
    audit_volume: str = ""
    ports: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    port_variable: str = "PORT"
    native: bool = True


def wishes(annotations: Mapping[str, object], settings: InjectorSettings) -> PodOptions:
    """Return what the annotations ask for, the operator's word where they are silent.

    Raises CannotInject, which names every annotation that is unknown or cannot be understood.
    """
    read = _Reader(annotations)
    wanted = PodOptions(
        config=read.get("config", _object_name, settings.config),
        keys_secret=read.get("keys-secret", _object_name, settings.keys_secret),
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
        excluded=read.get("exclude-ports", _ports, ()),
        port_variable=read.get("port-env", _variable, "PORT"),
        native=read.get("native-sidecar", _switch, True),
    )
    read.finish()
    return wanted


class _Wrong(Exception):
    """What an annotation should have held."""


class _Reader:
    """Reads annotations, each once, and remembers which there may be."""

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
        except _Wrong as wrong:
            self._problems.append(f"annotation {key}: must be {wrong}")
            return default

    def finish(self) -> None:
        ours = [key for key in self._annotations if key.startswith(PREFIX)]
        for key in ours:
            if key not in self._known:
                near = get_close_matches(key, self._known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self._problems.append(f"annotation {key} is unknown{hint}")
        if self._problems:
            raise CannotInject(*self._problems)


def _object_name(written: str) -> str:
    if len(written) > _MOST_NAME or not _SUBDOMAIN.fullmatch(written):
        raise _Wrong("the name of an object of the same namespace")
    return written


def _audit_volume(written: str) -> str:
    # Nothing says none: who may write a pod could else leave it without its audit log.
    if written == EMPTY_DIR:
        return written
    try:
        return _object_name(written)
    except _Wrong as wrong:
        raise _Wrong(f"{EMPTY_DIR}, or {wrong}") from None


def _interception(written: str) -> Interception:
    if written not in {"redirect", "port-env"}:
        raise _Wrong("redirect or port-env")
    return cast("Interception", written)


def _quantity(written: str) -> str:
    if not _QUANTITY.fullmatch(written):
        raise _Wrong("a quantity such as 100m or 128Mi")
    return written


def _ports(written: str) -> tuple[str, ...]:
    names = tuple(one.strip() for one in written.split(","))
    for one in names:
        number = re.fullmatch(r"[1-9][0-9]{0,4}", one)
        if not (int(one) <= _HIGHEST_PORT if number else _PORT_NAME.fullmatch(one)):
            raise _Wrong("a list of ports such as `8080, http`")
    return tuple(dict.fromkeys(names))


def _variable(written: str) -> str:
    if not _VARIABLE.fullmatch(written):
        raise _Wrong("the name of an environment variable")
    return written


def _switch(written: str) -> bool:
    if written not in {"true", "false"}:
        raise _Wrong("true or false")
    return written == "true"
