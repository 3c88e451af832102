"""The containers and the volumes of Sealyard, with every default that an API server fills in.

The defaults are explicit so that a pod that comes back from the API server (reinvocation, after
another webhook changed it) compares equal.
"""

from __future__ import annotations

import json
from typing import Final

from ..process.fitness import INTERCEPTION_VARIABLE
from ..process.policy import MOST_GRACE_SECONDS
from . import keys, policy, roots
from .annotations import (
    ADDRESSES_VARIABLE,
    AUDIT_FOLDER,
    AUDIT_VOLUME,
    CHECK,
    CONFIG_FILE,
    CONFIG_FOLDER,
    CONFIG_VOLUME,
    EMPTY_DIR,
    HEALTH_VARIABLE,
    KEYS_FOLDER,
    KEYS_VOLUME,
    LISTEN_VARIABLE,
    PASSED_VARIABLE,
    POD_VARIABLE,
    PORTS_VARIABLE,
    PROBES_VARIABLE,
    REDIRECT,
    SIDECAR,
    UPSTREAM_VARIABLE,
    InjectorSettings,
    PodOptions,
    Resources,
)
from .pod_reader import Json, mapping
from .ports import Sealed
from .redirect_rules import mesh_rules, redirect_rules

_NFT: Final = "/usr/sbin/nft"
_CONFIG_MODE: Final = 0o444


def redirect(sealed: Sealed, options: PodOptions, settings: InjectorSettings) -> Json:
    """Return the init container that redirects.

    It runs nft directly: a shell in between could not pass on its capability.
    """
    if options.interception == "mesh":
        rules = mesh_rules(sealed)
    else:
        rules = redirect_rules(sealed, options.health_port)
    return {
        "name": REDIRECT,
        "image": settings.image,
        "imagePullPolicy": pull_policy(settings),
        "command": [_NFT, rules],
        # Those of the sidecar: it runs before it, so the pod's sum is the same, and quotas and
        # limit ranges that suit one suit both.
        "resources": _resources(options.resources),
        "securityContext": _security(policy.USER, add=["NET_ADMIN"]),
        **_ENDING,
    }


def check(sealed: Sealed, options: PodOptions, settings: InjectorSettings) -> Json:
    """Return the init container that tests the redirect, as another user than the sidecar's.

    It fails the pod where a connection would not meet the sidecar.
    """
    field = {"apiVersion": "v1", "fieldPath": "status.podIPs"}
    return {
        "name": CHECK,
        "image": settings.image,
        "imagePullPolicy": pull_policy(settings),
        "args": ["doctor", "--pod"],
        "env": [
            *_interception(sealed, options),
            {"name": ADDRESSES_VARIABLE, "valueFrom": {"fieldRef": field}},
        ],
        "resources": _resources(options.resources),
        "securityContext": _security(policy.USER),
        **_ENDING,
    }


def _interception(sealed: Sealed, options: PodOptions) -> list[Json]:
    """Return the variables that tell `sealyard doctor --pod` what was injected."""
    ports = {PORTS_VARIABLE: sealed.numbers, PASSED_VARIABLE: sealed.left}
    return [
        {"name": INTERCEPTION_VARIABLE, "value": options.interception},
        # An API server drops an empty value.
        *(
            {"name": name, "value": ",".join(map(str, numbers))}
            for name, numbers in ports.items()
            if numbers
        ),
    ]


def sidecar(
    sealed: Sealed, probes: Json, options: PodOptions, settings: InjectorSettings, grace: object
) -> Json:
    """Return the sidecar. `probes` are those that it forwards to the application."""
    traffic = sealed.numbers[0] if sealed.moved else policy.TRAFFIC_PORT
    upstream = f"http://127.0.0.1:{sealed.moved}" if sealed.moved else "original-port"
    health = options.health_port
    return {
        "name": SIDECAR,
        "image": settings.image,
        "imagePullPolicy": pull_policy(settings),
        "args": ["serve", "--config", CONFIG_FILE, "--grace", str(_grace(grace))],
        "env": [
            {"name": LISTEN_VARIABLE, "value": f"*:{traffic}"},
            {"name": UPSTREAM_VARIABLE, "value": upstream},
            {"name": HEALTH_VARIABLE, "value": f"*:{options.health_port}"},
            *_interception(sealed, options),
            {"name": PROBES_VARIABLE, "value": json.dumps(probes, sort_keys=True)},
            *_audit_variables(options),
        ],
        "ports": [
            {"name": "sealyard", "containerPort": traffic, "protocol": "TCP"},
            {"name": "sealyard-health", "containerPort": options.health_port, "protocol": "TCP"},
        ],
        # A mesh's proxy that starts later may be its only way to the store, without which it is not
        # ready: the application, and with it the proxy, starts nevertheless.
        "startupProbe": _probe(
            "/livez" if options.late_proxy else "/readyz",
            health,
            1,
            failures=policy.ROOT_WAIT_SECONDS if settings.root.wait else policy.START_SECONDS,
        ),
        "readinessProbe": _probe(
            "/readyz", health, policy.READY_PERIOD_SECONDS, failures=policy.READY_FAILURES
        ),
        "livenessProbe": _probe(
            "/livez", health, policy.LIVE_PERIOD_SECONDS, failures=policy.LIVE_FAILURES
        ),
        "resources": _resources(options.resources),
        "securityContext": _security(options.user),
        "volumeMounts": [
            {"name": CONFIG_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": KEYS_VOLUME, "mountPath": KEYS_FOLDER, "readOnly": True},
            *_audit_mounts(options),
            *roots.mounts(settings.root),
        ],
        "restartPolicy": "Always",
        **_ENDING,
    }


def with_given(own: Json, given: Json) -> Json:
    """Return our container with what others gave to it in the pod that came in.

    Resources that neither operator nor pod set stay: LimitRanger and other webhooks fill them in,
    and quotas count them. So does the stricter pull policy, which AlwaysPullImages demands.
    """
    theirs = mapping(given, "resources")
    resources = {
        kind: values
        for kind in ("limits", "requests")
        if (values := {**mapping(theirs, kind), **own["resources"].get(kind, {})})
    }
    always = given.get("imagePullPolicy") == "Always"
    return {**own, "resources": resources, **({"imagePullPolicy": "Always"} if always else {})}


def volumes(options: PodOptions, settings: InjectorSettings) -> list[Json]:
    """Return the volumes that only the sidecar mounts."""
    return [
        {"name": CONFIG_VOLUME, "configMap": {"name": options.config, "defaultMode": _CONFIG_MODE}},
        keys.volume(options.keys_secret),
        *_audit_volumes(options),
        *roots.volumes(settings.root),
    ]


def _audit_volumes(options: PodOptions) -> list[Json]:
    if not options.audit_volume:
        return []
    if options.audit_volume == EMPTY_DIR:
        return [{"name": AUDIT_VOLUME, "emptyDir": {}}]
    return [{"name": AUDIT_VOLUME, "persistentVolumeClaim": {"claimName": options.audit_volume}}]


def _audit_mounts(options: PodOptions) -> list[Json]:
    """Return the mount for audit logs; in a claim, each pod writes to its own folder."""
    if not options.audit_volume:
        return []
    mount: Json = {"name": AUDIT_VOLUME, "mountPath": AUDIT_FOLDER}
    return [{**mount, "subPathExpr": f"$({POD_VARIABLE})"} if _claimed(options) else mount]


def _audit_variables(options: PodOptions) -> list[Json]:
    """Return the variable that names the folder of a pod in a claim."""
    if not _claimed(options):
        return []
    field = {"apiVersion": "v1", "fieldPath": "metadata.name"}
    return [{"name": POD_VARIABLE, "valueFrom": {"fieldRef": field}}]


def _claimed(options: PodOptions) -> bool:
    return options.audit_volume not in {"", EMPTY_DIR}


def pull_policy(settings: InjectorSettings) -> str:
    """Return the policy of the settings, by default the one that an API server chooses."""
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


def _probe(path: str, port: int, period: int, *, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "timeoutSeconds": policy.PROBE_SECONDS,
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
    # An API server drops an empty object.
    return {kind: values for kind, values in given.items() if values}


def _security(user: int, add: list[str] | None = None) -> Json:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], **({"add": add} if add else {})},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": policy.GROUP,
        "runAsNonRoot": True,
        "runAsUser": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _grace(pod_grace: object) -> int:
    """Return the drain time in seconds, within the grace period of the pod."""
    whole = (
        pod_grace if isinstance(pod_grace, int) and pod_grace >= 0 else policy.UNSAID_GRACE_SECONDS
    )
    return min(max(whole - policy.RESERVED_SECONDS, min(whole, 1)), MOST_GRACE_SECONDS)
