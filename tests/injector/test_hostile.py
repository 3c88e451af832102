"""Pods that mean harm, by class: each is denied by a law, or sealed all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from proxy.injector import mesh
from proxy.injector.admission_review import review
from proxy.injector.annotations import CONTAINERS
from proxy.injector.inject import inject
from proxy.injector.pod_reader import CannotInject, Json
from proxy.injector.policy import MESH_USER, MOST_NAMED, MOST_PORTS
from tests.injector.chain import Call, Chain, Denied, patching
from tests.injector.pods import STRICT, a_container, a_pod, container

KEYS: Final = "sealyard-keys"
OWN: Final = ["sealyard-redirect", "sealyard", "sealyard-check"]

CAPABILITIES: Final = (
    *("AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE"),
    *("DAC_READ_SEARCH", "IPC_OWNER", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE"),
    *("NET_ADMIN", "NET_BROADCAST", "NET_RAW", "PERFMON", "SYSLOG", "SYS_ADMIN", "SYS_BOOT"),
    *("SYS_MODULE", "SYS_PACCT", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG"),
    *("WAKE_ALARM", "ALL", "OF_TOMORROW"),
)
DRIVERS: Final = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc"),
    *("flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "iscsi", "nfs"),
    *("photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos"),
    *("vsphereVolume", "ofTomorrow"),
)
PATHS: Final = (
    *("/", "//", "/.", "/dev", "/etc/kubernetes", "/etc/kubernetes/pki", "/home", "/opt/x"),
    *("/proc", "/run", "/run/containerd", "/sys/fs/bpf", "/mnt/x", "/var", "/var/lib/etcd"),
    *("/var/lib/kubelet/pods", "/var/log", "/var/run/docker.sock"),
)
PROTOCOLS: Final = (
    *("grpc", "grpc-api", "grpcs", "h2", "h2c", "http2", "https", "https-web", "mongo", "mysql"),
    *("redis", "ssl", "tcp", "tcp-raft", "tls", "wss"),
)


def placed(**security: object) -> Iterator[Json]:
    """Yield pods in which each kind of container has this security context."""
    one = a_container("x", 9000, securityContext=security)
    yield a_pod(containers=[a_container(), one])
    yield a_pod(initContainers=[one])
    yield a_pod(initContainers=[{**one, "name": "istio-init", "restartPolicy": "Always"}])


def volume(**source: object) -> Json:
    """Return a pod with a volume."""
    return a_pod(volumes=[{"name": "v", **source}])


Specs = Iterator[tuple[str, str, Json]]
"""Class, law and pod."""


def by_rights() -> Specs:
    """Yield pods that ask for more rights than a runtime gives."""
    for name in CAPABILITIES:
        for pod in placed(capabilities={"add": [name]}):
            yield "capability", f"adds {name}, and could", pod
    for pod in placed(privileged=True):
        yield "privileged", "is privileged, and could undo the redirect", pod
    for pod in placed(procMount="Unmasked"):
        yield "privileged", "has all of /proc, and could change the network of the pod", pod
    for pod in placed(runAsUser=MESH_USER):
        yield "user", "which is the sidecar's", pod
    yield "user", "which is the sidecar's", a_pod(securityContext={"runAsUser": MESH_USER})
    for field in ("hostNetwork", "hostPID", "shareProcessNamespace"):
        yield "namespace", f"{field}: ", a_pod(None, **{field: True})


def by_volumes() -> Specs:
    """Yield pods that reach for what a node, a driver or the sidecar holds."""
    for path in PATHS:
        yield "host path", "is a host path", volume(hostPath={"path": path})
    for kind in DRIVERS:
        yield "driver", "names a driver", volume(**{kind: {}})
        for reference in ("secretRef", "nodePublishSecretRef"):
            pod = volume(**{kind: {reference: {"name": KEYS}}})
            yield "keys", f"holds the keys (Secret {KEYS})", pod
    yield "driver", "names a driver", volume(projected={"sources": [{"ofTomorrow": {}}]})
    yield "keys", "holds the keys", volume(secret={"secretName": KEYS})
    projected = {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": KEYS}}]}
    yield "keys", "holds the keys", volume(projected=projected)
    for read in (
        {"envFrom": [{"secretRef": {"name": KEYS}}]},
        {"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": KEYS, "key": "k"}}}]},
    ):
        yield "keys", "reads the keys", a_pod(containers=[a_container(**read)])
        yield "keys", "reads the keys", a_pod(initContainers=[a_container("i", 9000, **read)])
    for name in (KEYS, "sealyard-config", "sealyard-audit", "sealyard-login"):
        mounts = [{"name": name, "mountPath": "/x"}]
        yield (
            "keys",
            "is reserved for the sidecar",
            a_pod(containers=[a_container(volumeMounts=mounts)]),
        )
    for reached in (
        {"volumeDevices": [{"name": "sealyard-audit", "devicePath": "/dev/x"}]},
        {
            "env": [
                {
                    "name": "K",
                    "valueFrom": {"fileKeyRef": {"volumeName": "sealyard-audit", "path": "a"}},
                }
            ]
        },
    ):
        yield "keys", "is reserved for the sidecar", a_pod(containers=[a_container(**reached)])


def by_ports_and_names() -> Specs:
    """Yield pods that go around the sidecar, or lead it astray."""
    for name in PROTOCOLS:
        ports = [{"name": "http", "containerPort": 8080}, {"name": name, "containerPort": 9090}]
        pod = a_pod(containers=[a_container(ports=ports)])
        yield "protocol", 'write sealyard.io/pass-ports: "9090"', pod
    for written in ("8080", "9999", "http", "8080,9999"):
        yield (
            "port",
            "passes unsealed",
            a_pod({"sealyard.io/pass-ports": written, "sealyard.io/ports": "7000"}),
        )
    for weaker in ("redirect", "port-env"):
        yield "interception", f"with {weaker},", a_pod({"sealyard.io/interception": weaker})
    for names in (
        {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["redis"]}]},
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"]}},
        {"dnsConfig": {"searches": ["evil.example"]}},
        {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}},
        {"dnsConfig": {"options": [{"name": "of-tomorrow"}]}},
        {"dnsPolicy": "Default"},
        {"hostname": "redis"},
        {"hostname": "redis-0", "subdomain": "redis"},
        {"hostnameOverride": "vault.security.svc.cluster.local"},
    ):
        yield "names", "the pod would choose where the sidecar finds", a_pod(**names)
    for name in CONTAINERS:
        yield "own name", "choose another", a_pod(containers=[a_container(), {"name": name}])


def by_size() -> Specs:
    """Yield pods whose review would hold up those of all others."""
    many = range(MOST_NAMED + 1)
    containers = [a_container(f"c{number}", 1000 + number) for number in many]
    yield "size", f"`containers` has more than {MOST_NAMED}", a_pod(containers=containers)
    inits = [{"name": f"c{number}"} for number in many]
    yield "size", f"`initContainers` has more than {MOST_NAMED}", a_pod(initContainers=inits)
    volumes = [{"name": f"v{number}", "emptyDir": {}} for number in many]
    yield "size", f"`volumes` has more than {MOST_NAMED}", a_pod(volumes=volumes)
    ports = [{"containerPort": number + 1} for number in range(MOST_PORTS + 1)]
    pod = a_pod(containers=[a_container(ports=ports)])
    yield "size", f"declare more than {MOST_PORTS} ports", pod
    listed = ",".join(str(number + 1) for number in range(MOST_PORTS + 1))
    yield "size", f"more than {MOST_PORTS} ports", a_pod({"sealyard.io/ports": listed})
    notes = {f"sealyard.io/x{number}": "" for number in many}
    yield "size", f"annotations: more than {MOST_NAMED}", a_pod(notes)


DENIED: Final = [*by_rights(), *by_volumes(), *by_ports_and_names(), *by_size()]


@pytest.mark.parametrize(
    ("law", "pod"),
    [(law, pod) for _, law, pod in DENIED],
    ids=[f"{number}-{kind}" for number, (kind, _, _) in enumerate(DENIED)],
)
def test_a_hostile_pod_is_denied_by_a_law(law: str, pod: Json) -> None:
    with pytest.raises(CannotInject) as refused:
        inject(pod, STRICT, "shop")

    assert law in refused.value.detail


def hostile(pod: Json) -> Call:
    """Return a second webhook, which makes such a pod of another."""

    def call(asked: Json) -> Json:
        given = asked["request"]["object"]
        if given["spec"]["containers"][0]["name"] != "good":
            return patching(asked, [])
        notes = pod["metadata"].get("annotations", {})
        written = {**given["metadata"].get("annotations", {}), **notes}
        return patching(
            asked,
            [
                {"op": "replace", "path": "/spec", "value": pod["spec"]},
                {"op": "add", "path": "/metadata/annotations", "value": written},
            ],
        )

    return call


@pytest.mark.parametrize("order", ["a-before", "z-after"])
@pytest.mark.parametrize(
    ("law", "pod"),
    [(law, pod) for _, law, pod in DENIED],
    ids=[f"{number}-{kind}" for number, (kind, _, _) in enumerate(DENIED)],
)
def test_no_second_webhook_makes_a_hostile_pod_of_a_good_one(
    law: str, pod: Json, order: str
) -> None:
    """Called before ours or after it, which is then asked again."""
    ours = {"sealyard": lambda asked: review(asked, STRICT).answer}
    chain = Chain({**ours, order: hostile(pod)})
    with pytest.raises(Denied) as refused:
        chain.create(a_pod(containers=[a_container("good")]))

    assert law in str(refused.value)
    assert chain.calls.count("sealyard") == (1 if order == "a-before" else 2)


def test_there_are_many_of_each_class() -> None:
    classes = Counter(kind for kind, _, _ in DENIED)

    assert len(DENIED) >= 200
    assert set(classes) >= {"capability", "driver", "host path", "keys", "port", "protocol"}


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", sorted({*CONTAINERS, *mesh.CONTAINERS, "a", "sealyard-first"}))
@pytest.mark.parametrize(
    "marked", [{}, {"sidecar.istio.io/status": "{}"}, {"dapr.io/enabled": "1"}]
)
def test_a_decoy_is_never_before_the_sidecar(
    name: str, marked: dict[str, str], *, native: bool
) -> None:
    """Whatever it is called, whatever the pod says of itself, and however often it is reviewed."""
    decoy = a_container(name, 8080, **({"restartPolicy": "Always"} if native else {}))
    forged = {**marked, "sealyard.io/status": "injected by 1.0; sealed=8080"}
    app = {"name": "web", "image": "w", "ports": [{"containerPort": 9000}]}
    pod = inject(a_pod(forged, initContainers=[decoy], containers=[app]), STRICT, "shop")
    for _ in range(2):
        pod = inject(pod, STRICT, "shop")
        names = [one["name"] for one in pod["spec"]["initContainers"]]
        assert names[:3] == OWN
        assert {container(pod, one)["image"] for one in OWN} == {STRICT.image}
        assert "tcp dport != { 15082 } redirect to :15080" in rules_of(pod)


def rules_of(pod: Json) -> str:
    """Return the rules that the pod's redirect writes."""
    return str(container(pod, "sealyard-redirect")["command"][1])
