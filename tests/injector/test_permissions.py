"""What weakens a pod: it is denied unless the operator permits it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.injector.annotations import InjectorSettings
from proxy.injector.inject import inject
from proxy.injector.permissions import PERMISSIONS, Policy
from proxy.injector.pod_reader import CannotInject, Json
from proxy.injector.roots import RootNeeds
from tests.injector.pods import SETTINGS, STRICT, a_container, a_pod


def with_security(**context: object) -> Json:
    """Return a pod whose application has this security context."""
    return a_pod(containers=[a_container(securityContext=context)])


def with_volume(**source: object) -> Json:
    """Return a pod with one volume of its own, which no container mounts."""
    return a_pod(volumes=[{"name": "mine", **source}])


def with_port(**declaration: object) -> Json:
    """Return a pod with a second port, as declared."""
    ports = [{"name": "http", "containerPort": 8080}, declaration]
    return a_pod(containers=[a_container(ports=ports)])


def permitted(permission: str, namespace: str = "shop") -> InjectorSettings:
    """Return the settings of an operator who allows one thing in one namespace."""
    return replace(STRICT, policy=Policy(allowed=frozenset({(namespace, permission)})))


ALLOWABLE: list[tuple[str, str, Json]] = [
    (
        "ports",
        "port 8080 of container web is not sealed",
        a_pod({"sealyard.io/ports": "9999"}),
    ),
    (
        "ports",
        "port 9090 of container web passes unsealed",
        {
            **with_port(containerPort=9090),
            "metadata": a_pod({"sealyard.io/pass-ports": "9090"})["metadata"],
        },
    ),
    (
        "ports",
        "port 53 of container web is not TCP and cannot be sealed: name it in pass-ports",
        with_port(containerPort=53, protocol="UDP"),
    ),
    (
        "interception",
        "annotation sealyard.io/interception: port-env is weaker",
        a_pod({"sealyard.io/interception": "port-env"}),
    ),
    (
        "config",
        "annotation sealyard.io/config: rules other than the operator's",
        a_pod({"sealyard.io/config": "lenient"}),
    ),
    (
        "keys",
        "annotation sealyard.io/keys-secret: keys other than the operator's",
        a_pod({"sealyard.io/keys-secret": "mine"}),
    ),
    (
        "capabilities",
        "container web adds NET_ADMIN, which can undo the redirect",
        with_security(capabilities={"add": ["NET_ADMIN"]}),
    ),
    (
        "capabilities",
        "container web adds NET_RAW, which can undo the redirect",
        with_security(capabilities={"add": ["cap_net_raw"]}),
    ),
    (
        "capabilities",
        "container web adds ALL, which can undo the redirect",
        with_security(capabilities={"add": ["ALL"]}),
    ),
    (
        "capabilities",
        "container setup adds NET_ADMIN, which can undo the redirect",
        a_pod(
            initContainers=[
                {
                    "name": "setup",
                    "image": "s",
                    "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}},
                }
            ]
        ),
    ),
    (
        "capabilities",
        "container web is privileged, and can undo the redirect",
        with_security(privileged=True),
    ),
    ("host", "hostPID: containers can see the processes of the sidecar", a_pod(hostPID=True)),
    *(
        (
            "host",
            "volume mine: that host path leads to the keys",
            with_volume(hostPath={"path": path}),
        )
        for path in (
            *("/", "/var/", "//var/./lib", "/var/lib/kubelet/pods/x", "/proc/1", "/var/snap"),
            *("/run/containerd/containerd.sock", "/var/run/docker.sock", "/etc/kubernetes"),
        )
    ),
]

NEVER: list[tuple[str, Json]] = [
    (
        "port 9090 of container web is gRPC, which cannot be sealed: name it in pass-ports",
        with_port(name="grpc-api", containerPort=9090),
    ),
    (
        "port 9443 of container web is HTTPS, which cannot be sealed: name it in pass-ports",
        with_port(name="https", containerPort=9443),
    ),
    (
        "port 9443 of container web is HTTPS, which cannot be sealed: name it in pass-ports",
        with_port(name="wss", containerPort=9443),
    ),
    (
        "port 8443 of container web is HTTPS, which cannot be sealed: name it in pass-ports",
        with_port(containerPort=8443),
    ),
    (
        "port 8080 of container web is HTTPS, which cannot be sealed: name it in pass-ports",
        a_pod(
            containers=[a_container(livenessProbe={"httpGet": {"port": "http", "scheme": "HTTPS"}})]
        ),
    ),
    (
        "port 9090 of container web is HTTP/2, which cannot be sealed: name it in pass-ports",
        with_port(name="h2c", containerPort=9090),
    ),
    (
        "volume mine holds the keys (Secret sealyard-keys)",
        with_volume(secret={"secretName": "sealyard-keys"}),
    ),
    (
        "volume mine holds the keys (Secret sealyard-keys)",
        with_volume(projected={"sources": [{"secret": {"name": "sealyard-keys"}}]}),
    ),
    (
        "container web reads the keys (Secret sealyard-keys) as variables",
        a_pod(containers=[a_container(envFrom=[{"secretRef": {"name": "sealyard-keys"}}])]),
    ),
    (
        "native-sidecar false: the sidecar never exits, so that a Job would never complete",
        a_pod({"sealyard.io/native-sidecar": "false"}, restartPolicy="OnFailure"),
    ),
]
_CASES = [*((told, pod, one) for one, told, pod in ALLOWABLE), *((*one, "") for one in NEVER)]
VIOLATIONS = pytest.mark.parametrize(
    ("told", "pod", "permission"), _CASES, ids=[str(number) for number in range(len(_CASES))]
)


@VIOLATIONS
def test_what_weakens_is_denied_with_a_sentence(told: str, pod: Json, permission: str) -> None:
    with pytest.raises(CannotInject) as refused:
        inject(pod, STRICT, "shop")
    [sentence] = [one for one in refused.value.problems if one.startswith(told)]

    assert (f"`{permission}`" in sentence) is bool(permission)


@pytest.mark.parametrize(("permission", "pod"), [(one, pod) for one, _, pod in ALLOWABLE])
def test_the_operator_allows_it_for_a_namespace_or_all(permission: str, pod: Json) -> None:
    for namespace in ("shop", "*"):
        assert inject(pod, permitted(permission, namespace), "shop")
    with pytest.raises(CannotInject):
        inject(pod, permitted(permission, "elsewhere"), "shop")
    for other in {*PERMISSIONS} - {permission}:
        with pytest.raises(CannotInject):
            inject(pod, permitted(other), "shop")


@pytest.mark.parametrize(
    "pod",
    [
        a_pod({"sealyard.io/ports": "http, 3000", "sealyard.io/config": "sealyard"}),
        a_pod({"sealyard.io/cpu-limit": "1", "sealyard.io/audit-volume": "logs"}),
        a_pod({"sealyard.io/keys-secret": "Secret/sealyard-keys"}),
        with_port(name="grpc-web", containerPort=9090),
        with_security(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
        with_security(capabilities={"add": 7}),  # an API server refuses it
        with_volume(secret={"secretName": "other"}),
        with_volume(hostPath={"path": "/var/log"}),
        with_volume(hostPath={"path": "/run/containerd-shim"}),
        with_volume(hostPath={"path": "/etc/ssl"}),
        with_volume(emptyDir={}),
        a_pod({"sealyard.io/native-sidecar": "false"}, restartPolicy="Always"),
        a_pod(restartPolicy="Never"),
    ],
    ids=str,
)
def test_what_does_not_weaken_is_admitted(pod: Json) -> None:
    assert inject(pod, STRICT, "shop")


@pytest.mark.parametrize(
    ("source", "volume"),
    [
        ("web-keys", {"secret": {"secretName": "web-keys", "defaultMode": 0o440}}),
        ("Secret/web-keys", {"secret": {"secretName": "web-keys", "defaultMode": 0o440}}),
        (
            "SecretProviderClass/web-keys",
            {
                "csi": {
                    "driver": "secrets-store.csi.k8s.io",
                    "readOnly": True,
                    "volumeAttributes": {"secretProviderClass": "web-keys"},
                }
            },
        ),
        ("ConfigMap/web-keys", {"configMap": {"name": "web-keys", "defaultMode": 0o440}}),
    ],
)
def test_keys_come_from_what_the_operator_names(source: str, volume: Json) -> None:
    pod = inject(a_pod(), replace(STRICT, keys_secret=source))

    assert {"name": "sealyard-keys", **volume} in pod["spec"]["volumes"]


def test_keys_of_a_csi_driver_are_the_sidecars_alone() -> None:
    settings = replace(STRICT, keys_secret="SecretProviderClass/clinic")
    csi = {
        "driver": "secrets-store.csi.k8s.io",
        "volumeAttributes": {"secretProviderClass": "clinic"},
    }
    with pytest.raises(CannotInject) as refused:
        inject(with_volume(csi=csi), settings)

    assert refused.value.problems == ("volume mine holds the keys (SecretProviderClass clinic)",)


@pytest.mark.parametrize("written", ["emptyDir", "logs"])
def test_an_audit_log_elsewhere_than_the_operators_needs_a_permission(written: str) -> None:
    """With emptyDir, the log would end with the pod."""
    pod = a_pod({"sealyard.io/audit-volume": written})
    chosen = replace(STRICT, audit_volume="sealyard-audit")
    told = "annotation sealyard.io/audit-volume: an audit log elsewhere than the operator's"
    with pytest.raises(CannotInject) as refused:
        inject(pod, chosen, "shop")
    allowed = replace(permitted("audit"), audit_volume="sealyard-audit")
    same = a_pod({"sealyard.io/audit-volume": "sealyard-audit"})

    assert refused.value.problems == (f"{told} (only with the operator's permission `audit`)",)
    assert inject(pod, allowed, "shop")
    assert inject(same, chosen, "shop")


def with_claim(name: str, annotations: dict[str, str] | None = None) -> Json:
    """Return a pod that has a claim under another name than the sidecar's volume has."""
    volume = {"name": "mine", "persistentVolumeClaim": {"claimName": name}}
    return a_pod(annotations, volumes=[volume])


def with_module(module: str) -> InjectorSettings:
    """Return the settings of an operator whose HSM has its module in a volume."""
    return replace(STRICT, root=RootNeeds(("pkcs11",), module=module))


def test_the_claims_of_the_sidecar_are_its_alone() -> None:
    """Who can write them takes lines out of the audit log, or puts code into the sidecar."""
    elsewhere = {"sealyard.io/audit-volume": "logs"}
    chosen = replace(SETTINGS, audit_volume="sealyard-audit")
    cases = [
        ("the audit log", "sealyard-audit", chosen, None),
        ("the audit log", "sealyard-audit", chosen, elsewhere),
        ("the audit log", "logs", chosen, elsewhere),
        ("the audit log", "logs", SETTINGS, elsewhere),
        ("the module of the HSM", "vendor", with_module("PersistentVolumeClaim/vendor"), None),
    ]
    for held, claim, settings, notes in cases:
        pod = with_claim(claim, notes)
        told = f"volume mine holds {held} (PersistentVolumeClaim {claim})"
        with pytest.raises(CannotInject) as refused:
            inject(pod, settings, "shop")

        assert refused.value.problems == (told,)


@pytest.mark.parametrize(
    "settings",
    [
        STRICT,
        replace(STRICT, audit_volume="emptyDir"),
        replace(STRICT, audit_volume="sealyard-audit"),
        with_module("PersistentVolumeClaim/vendor"),
        with_module("HostPath/other"),
    ],
    ids=str,
)
def test_other_claims_are_the_applications(settings: InjectorSettings) -> None:
    assert inject(with_claim("other"), settings)


@pytest.mark.parametrize("path", ["/", "/opt", "/opt/vendor/", "//opt/./vendor", "/opt/vendor/lib"])
def test_a_host_path_to_the_module_needs_a_permission(path: str) -> None:
    pod = with_volume(hostPath={"path": path})
    settings = with_module("HostPath/opt/vendor")
    told = "volume mine: that host path leads to the module of the HSM"
    allowed = replace(permitted("host"), root=settings.root)
    with pytest.raises(CannotInject) as refused:
        inject(pod, settings, "shop")

    assert f"{told} (only with the operator's permission `host`)" in refused.value.problems
    assert inject(pod, allowed, "shop")


@pytest.mark.parametrize("path", ["/opt/vendor2", "/opt/ven", "/srv"])
def test_a_host_path_beside_the_module_is_admitted(path: str) -> None:
    pod = with_volume(hostPath={"path": path})

    assert inject(pod, with_module("HostPath/opt/vendor"))


def test_every_reason_is_told_at_once() -> None:
    pod = a_pod({"sealyard.io/config": "lenient"}, hostPID=True)
    with pytest.raises(CannotInject) as refused:
        inject(pod, STRICT, "shop")

    assert len(refused.value.problems) == 2
