"""What weakens a pod: it is denied unless the operator permits it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.injector.annotations import InjectorSettings
from proxy.injector.inject import inject
from proxy.injector.permissions import PERMISSIONS, Policy, is_permission, with_exceptions
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
        "port 9090 passes unsealed",
        {
            **with_port(containerPort=9090),
            "metadata": a_pod({"sealyard.io/pass-ports": "9090"})["metadata"],
        },
    ),
    ("ports", "port 9999 passes unsealed", a_pod({"sealyard.io/pass-ports": "9999"})),
    (
        "ports",
        (
            "port 53 of container web is not TCP and cannot be sealed:"
            ' write sealyard.io/pass-ports: "53"'
        ),
        with_port(containerPort=53, protocol="UDP"),
    ),
    (
        "port-env",
        "annotation sealyard.io/interception: with port-env, the application's own port stays open",
        a_pod({"sealyard.io/interception": "port-env"}),
    ),
    (
        "redirect",
        "annotation sealyard.io/interception: with redirect, calls from inside the pod",
        a_pod({"sealyard.io/interception": "redirect"}),
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
        "container web adds NET_ADMIN, and could undo the redirect",
        with_security(capabilities={"add": ["NET_ADMIN"]}),
    ),
    (
        "capabilities",
        "container web adds NET_RAW, and could read the plaintext between",
        with_security(capabilities={"add": ["cap_net_raw"]}),
    ),
    *(
        (
            "capabilities",
            f"container web adds {name}, and could leave its container, and so reach the keys",
            with_security(capabilities={"add": [name]}),
        )
        for name in ("ALL", "BPF", "CHECKPOINT_RESTORE", "DAC_READ_SEARCH", "PERFMON", "SYS_ADMIN")
    ),
    (
        "capabilities",
        "container setup adds NET_ADMIN, and could undo the redirect",
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
        "privileged",
        "container web is privileged, and could undo the redirect",
        with_security(privileged=True),
    ),
    ("host", "hostPID: containers could read the memory of the sidecar", a_pod(hostPID=True)),
    *(
        ("host-path", "volume mine is a host path", with_volume(hostPath={"path": path}))
        for path in ("/", "//var/./lib", "/etc/kubernetes/pki", "/var/lib/etcd", "/dev", "/srv/x")
    ),
    *(
        (
            "volume-driver",
            f"volume mine ({kind}) names a driver, which could fetch the keys",
            with_volume(**{kind: {"driver": "d"}}),
        )
        for kind in ("csi", "flexVolume", "azureFile", "cephfs", "rbd", "nfs", "of-tomorrow")
    ),
    ("names", "hostAliases: the pod would choose where", a_pod(hostAliases=[{"ip": "10.0.0.1"}])),
    ("names", "dnsPolicy None: the pod would choose where", a_pod(dnsPolicy="None")),
    (
        "names",
        "dnsConfig.nameservers: the pod would choose where",
        a_pod(dnsConfig={"nameservers": ["10.0.0.1"]}),
    ),
    (
        "names",
        "dnsConfig.searches: the pod would choose where",
        a_pod(dnsConfig={"searches": ["evil.example"]}),
    ),
]


PASSING = "which takes the operator's permission `ports`"


def declares(told: str, number: int, pod: Json) -> tuple[str, Json]:
    """Return a port that speaks no HTTP, and the sentence with what to write."""
    written = f'write sealyard.io/pass-ports: "{number}", {PASSING}'
    return f"port {number} of container web is {told}, which cannot be sealed: {written}", pod


NEVER: list[tuple[str, Json]] = [
    *(
        declares(told, 9090, with_port(name=name, containerPort=9090))
        for name, told in (
            *(("grpc-api", "gRPC"), ("grpc", "gRPC"), ("https", "HTTPS"), ("wss", "HTTPS")),
            *(("h2c", "HTTP/2"), ("tcp", "no HTTP"), ("tcp-raft", "no HTTP"), ("redis", "no HTTP")),
            *(("mysql", "no HTTP"), ("mongo", "no HTTP")),
        )
    ),
    declares("HTTPS", 8443, with_port(containerPort=8443)),
    declares(
        "HTTPS",
        8080,
        a_pod(
            containers=[a_container(livenessProbe={"httpGet": {"port": "http", "scheme": "HTTPS"}})]
        ),
    ),
    (
        (
            "web/livenessProbe: a gRPC probe cannot use port 9999, which is sealed:"
            ' write sealyard.io/pass-ports: "9999",'
            " which takes the operator's permission `ports`"
        ),
        a_pod(containers=[a_container(livenessProbe={"grpc": {"port": 9999}})]),
    ),
    (
        "volume mine holds the keys (Secret sealyard-keys)",
        with_volume(secret={"secretName": "sealyard-keys"}),
    ),
    (
        "volume mine holds the keys (Secret sealyard-keys)",
        with_volume(projected={"sources": [{"secret": {"name": "sealyard-keys"}}]}),
    ),
    *(
        (
            "volume mine holds the keys (Secret sealyard-keys)",
            with_volume(**{kind: {reference: {"name": "sealyard-keys"}}}),
        )
        for kind, reference in (
            *(("csi", "nodePublishSecretRef"), ("flexVolume", "secretRef")),
            *(("cephfs", "secretRef"), ("scaleIO", "secretRef")),
        )
    ),
    (
        "volume mine holds the keys (Secret sealyard-keys)",
        with_volume(azureFile={"secretName": "sealyard-keys", "shareName": "s"}),
    ),
    (
        "container web reads the keys (Secret sealyard-keys) as variables",
        a_pod(containers=[a_container(envFrom=[{"secretRef": {"name": "sealyard-keys"}}])]),
    ),
    (
        "container sealyard: that name is of Sealyard's own init container",
        a_pod(containers=[a_container("sealyard")]),
    ),
]
_CASES = [*((told, pod, one) for one, told, pod in ALLOWABLE), *((*one, "") for one in NEVER)]
VIOLATIONS = pytest.mark.parametrize(
    ("told", "pod", "permission"), _CASES, ids=[str(number) for number in range(len(_CASES))]
)


def named(metadata: Json, **spec: str) -> Json:
    """Return a pod with these names."""
    pod = a_pod(None, **spec)
    labels = {"labels": pod["metadata"]["labels"]}
    return {**pod, "metadata": metadata | labels}


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
        with_volume(emptyDir={}),
        with_volume(image={"reference": "registry.example/data:1"}),
        with_volume(ephemeral={"volumeClaimTemplate": {}}),
        with_security(capabilities={"add": ["SYS_PTRACE"]}),  # of its own processes
        a_pod(dnsConfig={"options": [{"name": "timeout", "value": "1"}, {"name": "use-vc"}]}),
        a_pod(dnsPolicy="ClusterFirstWithHostNet"),
        named({"name": "db-0"}, hostname="db-0", subdomain="db"),  # of a StatefulSet
        named({"generateName": "job-0-"}, hostname="job-0"),  # of an indexed Job
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

    assert "volume mine holds the keys (SecretProviderClass clinic)" in refused.value.problems


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


def with_claim(
    name: str, annotations: dict[str, str] | None = None, *, filled_by: str = ""
) -> Json:
    """Return a pod that has a claim, or one filled from it, under a name of its own."""
    source: Json = {"persistentVolumeClaim": {"claimName": name}}
    if filled_by:
        spec = {filled_by: {"kind": "PersistentVolumeClaim", "name": name}}
        source = {"ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
    return a_pod(annotations, volumes=[{"name": "mine", **source}])


def with_module(module: str) -> InjectorSettings:
    """Return the settings of an operator whose HSM has its module in a volume."""
    return replace(STRICT, root=RootNeeds(("pkcs11",), module=module))


@pytest.mark.parametrize("filled_by", ["", "dataSource", "dataSourceRef"])
def test_the_claims_of_the_sidecar_are_its_alone(filled_by: str) -> None:
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
        pod = with_claim(claim, notes, filled_by=filled_by)
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
@pytest.mark.parametrize("filled_by", ["", "dataSource"])
def test_other_claims_are_the_applications(settings: InjectorSettings, filled_by: str) -> None:
    assert inject(with_claim("other", filled_by=filled_by), settings)


def test_a_debugger_is_refused_only_where_it_sees_the_sidecar() -> None:
    pod = with_security(capabilities={"add": ["SYS_PTRACE"]})
    pod["spec"]["hostPID"] = True
    with pytest.raises(CannotInject) as refused:
        inject(pod, permitted("host"), "shop")

    assert refused.value.problems == (
        (
            "container web adds SYS_PTRACE, and could read the memory of the sidecar"
            " (only with the operator's permission `capabilities`)"
        ),
    )


@pytest.mark.parametrize(
    ("path", "given", "admitted"),
    [
        ("/var/log", "host-path:/var/log", True),
        ("/var/log/pods/", "host-path:/var/log", True),
        ("/var/logs", "host-path:/var/log", False),
        ("/var/log/../lib/kubelet", "host-path:/var/log", False),
        ("/", "host-path:/var/log", False),
        ("", "host-path:/var/log", False),
        ("/var/lib/kubelet", "host-path", True),
    ],
)
def test_a_folder_of_a_node_is_permitted_by_itself(
    path: str, given: str, *, admitted: bool
) -> None:
    pod = with_volume(hostPath={"path": path})
    settings = replace(STRICT, policy=Policy(allowed=frozenset({("shop", given)})))
    if admitted:
        assert inject(pod, settings, "shop")
        return
    with pytest.raises(CannotInject, match="cannot-inject"):
        inject(pod, settings, "shop")


@pytest.mark.parametrize(
    "word", ["host-path:", "host-path:/", "host-path:/a/../b", "host-path:a", "ports:/a", "all"]
)
def test_what_names_no_folder_is_no_permission(word: str) -> None:
    assert not is_permission(word)


def test_exceptions_come_from_a_folder_with_a_file_for_each_namespace(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "shop").write_text("names, host-path\n")
    (tmp_path / "web").write_text("port-env everything")
    policy, mistaken = with_exceptions(permitted("host").policy, tmp_path)

    assert mistaken == ("web",)
    assert policy.allowed == {("shop", "host"), ("shop", "names"), ("shop", "host-path")}
    assert with_exceptions(policy, tmp_path / "none") == (policy, ())


def test_every_reason_is_told_at_once() -> None:
    pod = a_pod({"sealyard.io/config": "lenient"}, hostPID=True)
    with pytest.raises(CannotInject) as refused:
        inject(pod, STRICT, "shop")

    assert len(refused.value.problems) == 2
