"""The two containers and the volumes of Sealyard, with every default that an API server fills in.

The defaults are written out so that a pod that comes back from the API server, for a second look
after somebody else changed it, is found to be as it should be.
"""

from __future__ import annotations

import json
from typing import Final

from .annotations import (
    AUDIT_FOLDER,
    AUDIT_VOLUME,
    CONFIG_FILE,
    CONFIG_FOLDER,
    CONFIG_VOLUME,
    EMPTY_DIR,
    GROUP,
    HEALTH_PORT,
    KEYS_FOLDER,
    KEYS_VOLUME,
    LISTEN_VARIABLE,
    POD_VARIABLE,
    PROBES_VARIABLE,
    REDIRECT,
    SIDECAR,
    TRAFFIC_PORT,
    UPSTREAM_VARIABLE,
    USER,
    InjectorSettings,
    PodOptions,
    Resources,
)
from .pod_reader import Json
from .ports import Sealed

_NFT: Final = "/usr/sbin/nft"
_CONFIG_MODE: Final = 0o444
_KEYS_MODE: Final = 0o440
_DEFAULT_GRACE: Final = 30
_LEFT_FOR_THE_END: Final = 5


def ruleset(sealed: Sealed) -> str:
    """Return what nft is told: send what comes from outside to the sealed ports to the sidecar.

    Only `prerouting`: what a container of the pod says to 127.0.0.1, the sidecar's own calls
    included, does not pass there, so nothing has to be exempted. Run again, it changes nothing.
    """
    ports = ", ".join(map(str, sealed.numbers))
    return (
        "table inet sealyard; flush table inet sealyard;"
        " table inet sealyard { chain inbound {"
        " type nat hook prerouting priority dstnat; policy accept;"
        f" tcp dport {{ {ports} }} redirect to :{TRAFFIC_PORT};"
        " }; }"
    )


def redirect(sealed: Sealed, settings: InjectorSettings) -> Json:
    """Return the init container that redirects.

    nft itself is what runs: a shell in between could not hand its capability on.
    """
    return {
        "name": REDIRECT,
        "image": settings.image,
        "imagePullPolicy": pull_policy(settings),
        "command": [_NFT, ruleset(sealed)],
        "resources": {
            "limits": {"memory": "64Mi"},
            "requests": {"cpu": "10m", "memory": "16Mi"},
        },
        "securityContext": _security(add=["NET_ADMIN"]),
        **_ENDING,
    }


def sidecar(
    sealed: Sealed, told: Json, wanted: PodOptions, settings: InjectorSettings, grace: object
) -> Json:
    """Return the sidecar. `told` is what it asks the application for the kubelet."""
    traffic = sealed.numbers[0] if sealed.moved else TRAFFIC_PORT
    upstream = f"http://127.0.0.1:{sealed.moved}" if sealed.moved else "original-port"
    made: Json = {
        "name": SIDECAR,
        "image": settings.image,
        "imagePullPolicy": pull_policy(settings),
        "args": ["serve", "--config", CONFIG_FILE, "--grace", str(_grace(grace))],
        "env": [
            {"name": LISTEN_VARIABLE, "value": f"*:{traffic}"},
            {"name": UPSTREAM_VARIABLE, "value": upstream},
            {"name": PROBES_VARIABLE, "value": json.dumps(told, sort_keys=True)},
            *_audit_variables(wanted),
        ],
        "ports": [
            {"name": "sealyard", "containerPort": traffic, "protocol": "TCP"},
            {"name": "sealyard-health", "containerPort": HEALTH_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/readyz", period=1, failures=60),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        "livenessProbe": _probe("/livez", period=10, failures=3),
        "resources": _resources(wanted.resources),
        "securityContext": _security(),
        "volumeMounts": [
            {"name": CONFIG_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": KEYS_VOLUME, "mountPath": KEYS_FOLDER, "readOnly": True},
            *_audit_mounts(wanted),
        ],
        **_ENDING,
    }
    return {**made, "restartPolicy": "Always"} if wanted.native else made


def volumes(wanted: PodOptions) -> list[Json]:
    """Return the volumes that only the sidecar mounts."""
    return [
        {
            "name": CONFIG_VOLUME,
            "configMap": {"name": wanted.config, "defaultMode": _CONFIG_MODE},
        },
        {
            "name": KEYS_VOLUME,
            "secret": {"secretName": wanted.keys_secret, "defaultMode": _KEYS_MODE},
        },
        *_audit_volumes(wanted),
    ]


def _audit_volumes(wanted: PodOptions) -> list[Json]:
    if not wanted.audit_volume:
        return []
    if wanted.audit_volume == EMPTY_DIR:
        return [{"name": AUDIT_VOLUME, "emptyDir": {}}]
    claim = {"claimName": wanted.audit_volume}
    return [{"name": AUDIT_VOLUME, "persistentVolumeClaim": claim}]


def _audit_mounts(wanted: PodOptions) -> list[Json]:
    """Return where audit logs are written: each pod has a chain, and so a folder, of its own."""
    if not wanted.audit_volume:
        return []
    mount: Json = {"name": AUDIT_VOLUME, "mountPath": AUDIT_FOLDER}
    return [{**mount, "subPathExpr": f"$({POD_VARIABLE})"} if _claimed(wanted) else mount]


def _audit_variables(wanted: PodOptions) -> list[Json]:
    """Return the variable that names the folder of a pod in a claim."""
    if not _claimed(wanted):
        return []
    field = {"apiVersion": "v1", "fieldPath": "metadata.name"}
    return [{"name": POD_VARIABLE, "valueFrom": {"fieldRef": field}}]


def _claimed(wanted: PodOptions) -> bool:
    return wanted.audit_volume not in {"", EMPTY_DIR}


def pull_policy(settings: InjectorSettings) -> str:
    """Return the policy that was set, or else what an API server would choose."""
    if settings.pull_policy:
        return settings.pull_policy
    if "@" in settings.image:
        return "IfNotPresent"
    tag = settings.image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in {"", "latest"} else "IfNotPresent"


_ENDING: Final[Json] = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


def _probe(path: str, *, period: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": HEALTH_PORT, "scheme": "HTTP"},
        "timeoutSeconds": 2,
        "periodSeconds": period,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def _resources(wanted: Resources) -> Json:
    asked = {
        "limits": {"cpu": wanted.cpu_limit, "memory": wanted.memory_limit},
        "requests": {"cpu": wanted.cpu_request, "memory": wanted.memory_request},
    }
    given = {
        kind: {name: value for name, value in values.items() if value}
        for kind, values in asked.items()
    }
    # An empty object would not come back from an API server.
    return {kind: values for kind, values in given.items() if values}


def _security(add: list[str] | None = None) -> Json:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], **({"add": add} if add else {})},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": GROUP,
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _grace(pod_grace: object) -> int:
    """Return how long messages may take at the end, within what the pod has."""
    whole = pod_grace if isinstance(pod_grace, int) and pod_grace >= 0 else _DEFAULT_GRACE
    return max(whole - _LEFT_FOR_THE_END, min(whole, 1))
