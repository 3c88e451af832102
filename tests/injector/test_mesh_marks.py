"""How a pod shows that it is in a mesh, and what its injection does then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.injector.admission_review import patch
from proxy.injector.annotations import MeshKind
from proxy.injector.inject import inject
from proxy.injector.permissions import Policy
from proxy.injector.pod_reader import CannotInject, Json
from proxy.injector.policy import MESH_USER
from tests.injector.mesh_matrix import marked
from tests.injector.meshes import MESHES, Mesh
from tests.injector.pods import SETTINGS, STRICT, a_container, a_pod, container, injected, variables

NATIVE = {"restartPolicy": "Always"}
REDIRECT = replace(SETTINGS, interception="redirect")
TRUSTING = replace(SETTINGS, policy=replace(SETTINGS.policy, images=frozenset({"m"})))
PROXY = {"name": "istio-proxy", "image": "m", "ports": [{"containerPort": 15090}]}


def with_marks(kind: str, name: str, value: str) -> Json:
    """Return a pod with one label or annotation."""
    pod = a_pod()
    pod["metadata"].setdefault(kind, {})[name] = value
    return pod


def interception(pod: Json) -> str:
    """Return how an injected pod is redirected."""
    return variables(container(pod, "sealyard"))["SEALYARD_INTERCEPTION"]


MARKS = [
    ("labels", "sidecar.istio.io/inject", "true"),
    ("labels", "istio.io/rev", "1-29"),
    ("labels", "istio.io/dataplane-mode", "ambient"),
    ("labels", "linkerd.io/control-plane-ns", "linkerd"),
    ("annotations", "sidecar.istio.io/inject", "true"),
    ("annotations", "sidecar.istio.io/status", "{}"),
    ("annotations", "istio.io/rev", "default"),
    ("annotations", "ambient.istio.io/redirection", "enabled"),
    ("annotations", "linkerd.io/inject", "enabled"),
    ("annotations", "linkerd.io/inject", "ingress"),
    ("annotations", "linkerd.io/proxy-version", "2.18"),
    ("annotations", "dapr.io/enabled", "true"),
    ("annotations", "consul.hashicorp.com/connect-inject", "true"),
    ("annotations", "kuma.io/sidecar-injection", "enabled"),
    ("labels", "kuma.io/mesh", "default"),
    ("annotations", "appmesh.k8s.aws/sidecarInjectorWebhook", "enabled"),
]


@pytest.mark.parametrize(("kind", "name", "value"), MARKS)
def test_a_label_or_annotation_of_a_mesh_changes_redirect_to_mesh(
    kind: str, name: str, value: str
) -> None:
    settings = replace(REDIRECT, meshes=("ambient",)) if value == "ambient" else REDIRECT

    assert interception(injected(with_marks(kind, name, value), settings)) == "mesh"


@pytest.mark.parametrize("where", ["containers", "initContainers"])
@pytest.mark.parametrize(
    "name",
    [
        *("istio-proxy", "istio-init", "istio-validation"),
        *("linkerd-proxy", "linkerd-init", "linkerd-network-validator"),
        *("consul-dataplane", "consul-connect-inject-init", "kuma-sidecar", "kuma-init"),
        *("kuma-validation", "daprd", "envoy", "proxyinit"),
    ],
)
def test_a_container_of_a_mesh_changes_redirect_to_mesh(where: str, name: str) -> None:
    pod = a_pod()
    pod["spec"].setdefault(where, []).append({"name": name, "image": "m"})

    assert interception(injected(pod, REDIRECT)) == "mesh"


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("labels", "sidecar.istio.io/inject", "false"),
        ("labels", "istio.io/dataplane-mode", "none"),
        ("annotations", "sidecar.istio.io/inject", "false"),
        ("annotations", "linkerd.io/inject", "disabled"),
        ("annotations", "ambient.istio.io/redirection", "disabled"),
        ("labels", "app", "istio-proxy"),
    ],
)
def test_a_pod_without_a_mesh_keeps_redirect(kind: str, name: str, value: str) -> None:
    assert interception(injected(with_marks(kind, name, value), REDIRECT)) == "redirect"


NOT_SIDECAR = ("labels", "sidecar.istio.io/inject", "false")
NOT_AMBIENT = ("labels", "istio.io/dataplane-mode", "none")
NOT_SIDECAR_BEFORE = ("annotations", "sidecar.istio.io/inject", "false")
NOT_LINKERD = ("annotations", "linkerd.io/inject", "disabled")


@pytest.mark.parametrize(
    ("meshes", "marks", "expected"),
    [
        (("sidecar",), (), "mesh"),
        (("sidecar",), (NOT_SIDECAR,), "redirect"),
        (("sidecar",), (NOT_SIDECAR_BEFORE,), "redirect"),
        (("sidecar",), (NOT_AMBIENT,), "mesh"),
        (("sidecar",), (NOT_LINKERD,), "mesh"),
        (("ambient",), (), "mesh"),
        (("ambient",), (NOT_AMBIENT,), "redirect"),
        # What a pod without a sidecar says; ambient captures it all the same, and ztunnel would
        # call the application past the redirect.
        (("ambient",), (NOT_SIDECAR,), "mesh"),
        (("ambient",), (NOT_SIDECAR_BEFORE,), "mesh"),
        (("ambient",), (NOT_LINKERD,), "mesh"),
        (("sidecar", "ambient"), (NOT_SIDECAR,), "mesh"),
        (("sidecar", "ambient"), (NOT_AMBIENT,), "mesh"),
        (("sidecar", "ambient"), (NOT_SIDECAR, NOT_AMBIENT), "redirect"),
        ((), (), "redirect"),
    ],
)
def test_a_pod_leaves_the_mesh_of_its_namespace_by_the_opt_out_of_that_mesh_alone(
    meshes: tuple[MeshKind, ...], marks: tuple[tuple[str, str, str], ...], expected: str
) -> None:
    pod = a_pod()
    for kind, name, value in marks:
        pod["metadata"].setdefault(kind, {})[name] = value

    assert interception(injected(pod, replace(REDIRECT, meshes=meshes))) == expected


@pytest.mark.parametrize("mesh", MESHES, ids=lambda mesh: mesh.name)
def test_redirect_is_denied_in_a_mesh_and_the_others_are_not(mesh: Mesh) -> None:
    settings = replace(SETTINGS, meshes=mesh.namespace)
    for kind in ("mesh", "port-env"):
        pod = marked(mesh)
        pod["metadata"].setdefault("annotations", {})["sealyard.io/interception"] = kind
        assert interception(injected(pod, settings)) == kind
    pod["metadata"]["annotations"]["sealyard.io/interception"] = "redirect"
    with pytest.raises(CannotInject) as denied:
        inject(pod, settings)
    assert "interception redirect: the pod is in a mesh" in denied.value.detail


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (
            a_pod(
                containers=[
                    a_container(),
                    {"name": "sealyard-x", "securityContext": {"runAsUser": MESH_USER}},
                ]
            ),
            "container sealyard-x has the user 15080",
        ),
        (
            with_marks("labels", "istio.io/dataplane-mode", "ambient"),
            'label the namespace instead, or write sealyard.io/pass-ports: "15008"',
        ),
        (
            a_pod({"sidecar.istio.io/status": "", "sidecar.istio.io/interceptionMode": "TPROXY"}),
            "Sealyard works with REDIRECT only",
        ),
        (
            a_pod(
                {"sealyard.io/interception": "mesh"},
                containers=[a_container(securityContext={"runAsUser": MESH_USER})],
            ),
            "container web has the user 15080",
        ),
        (
            a_pod({"sealyard.io/interception": "mesh"}, securityContext={"runAsUser": MESH_USER}),
            "the pod has the user 15080",
        ),
        (
            a_pod({"sealyard.io/interception": "mesh"}, containers=[a_container(port=15082)]),
            "port 15082 of container web is reserved for Sealyard",
        ),
    ],
)
def test_what_a_mesh_would_get_around_is_denied(pod: Json, reason: str) -> None:
    with pytest.raises(CannotInject) as denied:
        inject(pod, SETTINGS)
    assert reason in denied.value.detail


def test_the_redirect_is_tested_by_another_user_before_anything_else_starts() -> None:
    pod = injected(a_pod({"sealyard.io/interception": "mesh"}, initContainers=[{"name": "first"}]))
    sidecar, check = container(pod, "sealyard"), container(pod, "sealyard-check")

    names = [one["name"] for one in pod["spec"]["initContainers"]]
    assert names == ["sealyard-redirect", "sealyard", "sealyard-check", "first"]
    assert sidecar["securityContext"]["runAsUser"] == MESH_USER
    assert check["securityContext"]["runAsUser"] != MESH_USER
    assert check["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "volumeMounts" not in check


def test_the_sidecar_starts_after_a_native_proxy_in_whatever_order_webhooks_run() -> None:
    istio = [{"name": "istio-validation", "image": "m"}, {**PROXY, **NATIVE}]
    first = injected(a_pod(initContainers=[*istio, {"name": "migrate", "image": "o"}]), TRUSTING)
    second = injected(a_pod(initContainers=[{"name": "migrate", "image": "o"}]))
    second["spec"]["initContainers"] = [*istio, *second["spec"]["initContainers"]]
    third = injected(a_pod(initContainers=[{"name": "migrate", "image": "o"}]))
    third["spec"]["initContainers"] += istio

    def order(pod: Json) -> list[str]:
        return [one["name"] for one in pod["spec"]["initContainers"]]

    mesh = ["istio-validation", "istio-proxy"]
    expected = ["sealyard-redirect", *mesh, "sealyard", "sealyard-check", "migrate"]
    for pod in (first, injected(second, TRUSTING), injected(third, TRUSTING)):
        assert order(pod) == expected
        assert patch(pod, inject(pod, TRUSTING)) == []


def test_a_proxy_that_starts_later_is_not_waited_for() -> None:
    """It may be the only way to the store, without which the sidecar is not ready."""
    late = injected(a_pod(containers=[a_container(), PROXY]))
    untrusted = injected(a_pod(initContainers=[{**PROXY, **NATIVE}]))
    early = injected(a_pod(initContainers=[{**PROXY, **NATIVE}]), TRUSTING)

    def path(pod: Json) -> object:
        return container(pod, "sealyard")["startupProbe"]["httpGet"]["path"]

    assert [path(one) for one in (late, untrusted, early)] == ["/livez", "/livez", "/readyz"]


def test_a_mesh_that_is_seen_only_later_changes_the_interception() -> None:
    pod = injected(
        a_pod(containers=[a_container(livenessProbe={"httpGet": {"path": "/up", "port": 8080}})]),
        REDIRECT,
    )
    assert interception(pod) == "redirect"
    pod["spec"]["containers"].append(PROXY)
    again = injected(pod, REDIRECT)

    assert interception(again) == "mesh"
    assert container(again, "web")["livenessProbe"]["httpGet"]["port"] == 15082
    assert patch(again, inject(again, REDIRECT)) == []


def test_the_proxy_of_a_mesh_at_the_front_is_not_taken_for_the_application() -> None:
    pod = injected(a_pod(containers=[PROXY, a_container()]))
    fake = {**PROXY, "ports": [{"containerPort": 15090}, {"containerPort": 9000}]}
    pretended = injected(a_pod(containers=[fake]))

    assert variables(container(pod, "sealyard"))["SEALYARD_SEALED_PORTS"] == "8080"
    # A name proves nothing: what is not a port of the mesh is sealed.
    assert variables(container(pretended, "sealyard"))["SEALYARD_SEALED_PORTS"] == "9000"


def test_without_nft_istio_is_asked_to_let_the_kubelet_reach_the_health_port() -> None:
    name = "traffic.sidecar.istio.io/excludeInboundPorts"
    notes = {"sealyard.io/interception": "port-env", "istio.io/rev": "default", name: "9090"}
    pod = injected(a_pod(notes))

    assert pod["metadata"]["annotations"][name] == "9090,15082"
    assert variables(container(pod, "sealyard"))["SEALYARD_HEALTH"] == "*:15082"
    assert patch(pod, inject(pod, SETTINGS)) == []


def test_an_init_container_that_writes_rules_is_of_a_trusted_image() -> None:
    """Its name proves nothing."""
    security = {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}
    init = {"name": "istio-init", "image": "m:1", "securityContext": security}
    pod = a_pod(initContainers=[init])
    with pytest.raises(CannotInject) as denied:
        inject(pod, STRICT, "shop")
    trusted = Policy(images=frozenset({"m"}))

    told = "container istio-init adds NET_ADMIN, and could undo the redirect: where a mesh needs it"
    assert f"{told}, the operator names the image in policy.trustedImages" in denied.value.detail
    assert inject(pod, replace(STRICT, policy=trusted), "shop")
    init["restartPolicy"] = "Always"
    # It goes on running beside the application, and whoever may exec in the pod has its rights.
    with pytest.raises(CannotInject) as lasting:
        inject(pod, replace(STRICT, policy=trusted), "shop")
    assert "container istio-init adds NET_ADMIN" in lasting.value.detail
    del pod["spec"]["initContainers"]
    pod["spec"]["containers"].append({**init, "name": "other"})
    with pytest.raises(CannotInject):
        inject(pod, replace(STRICT, policy=trusted), "shop")


@pytest.mark.parametrize(
    ("added", "why"),
    [
        ({"volumeMounts": [{"name": "v", "mountPath": "/usr/local/bin"}]}, "mount at /usr/local"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/etc/ld.so.preload"}]}, "mount at /etc/ld"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/run/../usr/bin"}]}, "mount at /run/.."),
        ({"volumeMounts": [{"name": "v", "mountPath": "/variant"}]}, "mount at /variant"),
        ({"env": [{"name": "LD_PRELOAD", "value": "/run/x.so"}]}, "variable LD_PRELOAD"),
        ({"env": [{"name": "PATH", "value": "/run"}]}, "variable PATH"),
        ({"envFrom": [{"configMapRef": {"name": "x"}}]}, "envFrom"),
        ({"lifecycle": {"postStart": {"exec": {"command": ["sh"]}}}}, "postStart hook runs"),
        ({"lifecycle": {"preStop": {"exec": {"command": ["/run/x"]}}}}, "preStop hook runs"),
        ({"startupProbe": {"exec": {"command": ["sh"]}}}, "startupProbe runs another"),
        ({"livenessProbe": {"exec": {"command": "sh"}}}, "livenessProbe runs another"),
    ],
)
def test_a_trusted_image_is_trusted_only_with_its_own_programs(added: Json, why: str) -> None:
    """Whoever writes the pod would run what they like, with the right to write rules."""
    security = {"capabilities": {"add": ["NET_ADMIN"]}}
    init = {"name": "istio-init", "image": "m:1", "securityContext": security, **added}
    trusting = replace(STRICT, policy=Policy(images=frozenset({"m"})))
    with pytest.raises(CannotInject) as denied:
        inject(a_pod(initContainers=[init]), trusting, "shop")
    native = {"name": "istio-proxy", "image": "m:1", "restartPolicy": "Always", **added}
    pod = inject(a_pod(initContainers=[native]), trusting, "shop")

    assert "its image is trusted, but its " in denied.value.detail
    assert why in denied.value.detail
    assert [one["name"] for one in pod["spec"]["initContainers"]][-1] == "istio-proxy"


def test_what_meshes_give_to_their_own_proxies_leaves_them_trusted() -> None:
    folders = ("/etc/istio/proxy", "/var/run/secrets/tokens", "/run", "/var/lib/istio", "/consul")
    proxy = {
        **PROXY,
        **NATIVE,
        "env": [{"name": "ISTIO_META_CLUSTER_ID", "value": "Kubernetes"}],
        "volumeMounts": [{"name": "v", "mountPath": one} for one in folders],
        "lifecycle": {
            "preStop": {"exec": {"command": ["pilot-agent", "request", "POST", "drain"]}}
        },
    }
    pod = injected(a_pod(initContainers=[proxy]), TRUSTING)

    assert [one["name"] for one in pod["spec"]["initContainers"]][1] == proxy["name"]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({"startupProbe": {"httpGet": {"port": 15021}}}, "15021"),
        ({"startupProbe": {"httpGet": {"port": 15021, "host": "10.0.0.9"}}}, None),
        ({"readinessProbe": {"httpGet": {"port": 3500}}}, None),
        ({"livenessProbe": {"tcpSocket": {"port": 3500}}}, None),
        ({"lifecycle": {"preStop": {"httpGet": {"port": 3500}}}}, None),
    ],
)
def test_only_where_a_trusted_proxy_must_answer_before_the_application_starts_a_port_passes(
    asked: Json, left: str | None
) -> None:
    """Elsewhere the application could listen, and be probed in the proxy's place."""
    pod = injected(a_pod(initContainers=[{**PROXY, **NATIVE, **asked}]), TRUSTING)

    assert variables(container(pod, "sealyard")).get("SEALYARD_PASSED_PORTS") == left
    assert patch(pod, inject(pod, TRUSTING)) == []


@pytest.mark.parametrize(
    ("note", "ports"),
    [
        ({"dapr.io/app-port": "3000"}, "3000,8080"),
        ({"consul.hashicorp.com/connect-service-port": "http,9000, 3000"}, "3000,8080,9000"),
        ({"dapr.io/app-port": "70000"}, "8080"),
        ({"kuma.io/sidecar-injected": "true"}, "8080"),
    ],
)
def test_what_a_proxy_calls_on_loopback_is_sealed_though_nobody_declares_it(
    note: dict[str, str], ports: str
) -> None:
    pod = injected(a_pod(note), REDIRECT)

    assert interception(pod) == "mesh"
    assert variables(container(pod, "sealyard"))["SEALYARD_SEALED_PORTS"] == ports
    assert patch(pod, inject(pod, REDIRECT)) == []
