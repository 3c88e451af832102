"""Injection beside the rest of an admission chain: another webhook, LimitRanger, quotas."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy

import pytest
from hypothesis import given, settings

from proxy.injector.admission_review import review
from proxy.injector.annotations import InjectorSettings
from proxy.injector.pod_reader import Json
from proxy.injector.policy import MESH_USER
from tests.injector.chain import (
    Call,
    Chain,
    Denied,
    Plugin,
    limit_ranger,
    other_webhook,
    quota,
    tokens,
)
from tests.injector.pods import (
    SETTINGS,
    STRICT,
    a_container,
    a_pod,
    container,
    pods,
    variables,
)

BEFORE, AFTER = "a-helper", "z-helper"
ORDERS = pytest.mark.parametrize("order", [BEFORE, AFTER])
POLICIES = pytest.mark.parametrize("policy", [STRICT, SETTINGS], ids=["strict", "permitting"])


def a_chain(
    policy: InjectorSettings = STRICT,
    others: Mapping[str, Call] | None = None,
    *,
    plugins: Sequence[Plugin] = (),
    final: Sequence[Plugin] = (),
) -> Chain:
    """Return a chain with our webhook, and others by their names."""
    ours = {"sealyard": lambda asked: review(asked, policy).answer}
    return Chain({**ours, **(others or {})}, plugins, final)


def redirected(pod: Json) -> set[int]:
    """Return the ports that the pod's ruleset redirects."""
    _, ruleset = container(pod, "sealyard-redirect")["command"]
    listed = ruleset.partition("tcp dport {")[2].partition("}")[0]
    return {int(one) for one in listed.split(",")}


@ORDERS
def test_another_webhook_unseals_nothing(order: str) -> None:
    pod = a_chain(STRICT, {order: other_webhook()}).create(a_pod())

    assert redirected(pod) == {8080, 15090}
    assert "; sealed=8080,15090" in pod["metadata"]["annotations"]["sealyard.io/status"]


@ORDERS
def test_a_container_of_another_webhook_does_not_come_before_ours(order: str) -> None:
    """Whichever is called last: the one whose container is in front is called again."""
    pod = a_chain(SETTINGS, {order: in_front}).create(a_pod())
    names = [one["name"] for one in pod["spec"]["initContainers"]]

    assert names == ["sealyard-redirect", "sealyard", "sealyard-check", "first"]


def in_front(asked: Json) -> Json:
    """Put a native sidecar before all others, once."""
    inits = asked["request"]["object"]["spec"].get("initContainers", [])
    response: Json = {"uid": asked["request"]["uid"], "allowed": True}
    if all(one["name"] != "first" for one in inits):
        first = {"name": "first", "image": "f", "restartPolicy": "Always"}
        operations = [{"op": "add", "path": "/spec/initContainers", "value": [first, *inits]}]
        patch = base64.b64encode(json.dumps(operations).encode()).decode()
        response |= {"patchType": "JSONPatch", "patch": patch}
    return {"response": response}


def wrapping(asked: Json) -> Json:
    """Take the port from the application, as a webhook does that puts itself in its place."""
    operations = [{"op": "remove", "path": "/spec/containers/0/ports"}]
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    response: Json = {"uid": asked["request"]["uid"], "allowed": True}
    if "ports" in asked["request"]["object"]["spec"]["containers"][0]:
        response |= {"patchType": "JSONPatch", "patch": patch}
    return {"response": response}


@POLICIES
def test_a_port_stays_sealed_that_is_declared_no_more(policy: InjectorSettings) -> None:
    assert redirected(a_chain(policy, {AFTER: wrapping}).create(a_pod())) == {8080}


@POLICIES
def test_a_name_of_a_port_means_what_it_meant_at_first(policy: InjectorSettings) -> None:
    pod = a_chain(policy, {AFTER: wrapping}).create(a_pod({"sealyard.io/ports": "http"}))

    assert redirected(pod) == {8080}


@ORDERS
def test_a_port_of_another_webhook_may_pass(order: str) -> None:
    helper = other_webhook(ports=[{"name": "metrics", "containerPort": 15090}])
    pod = a_pod({"sealyard.io/pass-ports": "metrics"})

    assert redirected(a_chain(SETTINGS, {order: helper}).create(pod)) == {8080}
    with pytest.raises(Denied, match="port 15090 passes unsealed"):
        a_chain(STRICT, {order: helper}).create(pod)


@ORDERS
def test_a_name_that_another_webhook_uses_too_leaves_no_port_open(order: str) -> None:
    pod = a_pod({"sealyard.io/pass-ports": "http", "sealyard.io/ports": "3000"})
    with pytest.raises(Denied, match="port http is the name of several port numbers"):
        a_chain(SETTINGS, {order: other_webhook()}).create(pod)


def test_the_container_that_gets_another_port_stays_the_same() -> None:
    annotations = {"sealyard.io/interception": "port-env", "sealyard.io/ports": "3000"}
    app = {"name": "web", "image": "w"}
    chain = a_chain(SETTINGS, {AFTER: other_webhook()})
    pod = chain.create(a_pod(annotations, containers=[app]))

    assert variables(container(pod, "web")) == {"PORT": "13000"}
    assert "env" not in container(pod, "helper")


@ORDERS
@POLICIES
def test_what_limit_ranger_gave_stays(order: str, policy: InjectorSettings) -> None:
    chain = a_chain(
        policy,
        {order: other_webhook()},
        plugins=[limit_ranger(cpu="200m", memory="128Mi"), tokens],
        final=[quota("cpu", "memory")],
    )
    pod = chain.create(a_pod())

    for name in ("sealyard", "sealyard-redirect"):
        assert container(pod, name)["resources"] == {
            "limits": {"cpu": "200m", "memory": "256Mi"},
            "requests": {"cpu": "50m", "memory": "96Mi"},
        }


@ORDERS
def test_what_another_webhook_gave_stays(order: str) -> None:
    chain = a_chain(
        STRICT,
        {order: other_webhook(resources={"cpu": "1", "memory": "1Gi"})},
        final=[quota("cpu", "memory")],
    )
    limits = container(chain.create(a_pod()), "sealyard")["resources"]["limits"]

    assert limits == {"cpu": "1", "memory": "256Mi"}


def test_annotations_meet_a_quota_without_a_limit_range() -> None:
    chain = a_chain(final=[quota("cpu", "memory")])
    limits = {"cpu": "1", "memory": "64Mi"}

    chain.create(
        a_pod(
            {"sealyard.io/cpu-limit": "1"}, containers=[a_container(resources={"limits": limits})]
        )
    )


@ORDERS
@settings(max_examples=25, deadline=None)
@given(pod=pods())
def test_webhooks_agree_within_one_reinvocation(order: str, pod: Json) -> None:
    chain = a_chain(
        SETTINGS,
        {order: other_webhook(port=15999, resources={"cpu": "1"})},
        plugins=[limit_ranger(memory="128Mi"), tokens],
    )
    notes = pod["metadata"].get("annotations") or {}
    if "sealyard.io/interception" in notes:  # port-env, which can seal one port alone
        notes["sealyard.io/pass-ports"] = "15999"
    once = chain.create(pod)

    assert chain.create(once) == once


def test_always_pull_images_is_not_undone() -> None:
    def pulling(pod: Json) -> None:
        for one in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            one["imagePullPolicy"] = "Always"

    pod = a_chain(plugins=[pulling]).create(a_pod())

    assert container(pod, "sealyard")["imagePullPolicy"] == "Always"


NO_RAW = {"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}
SECRET_KEY = {"secretKeyRef": {"name": "web-keys", "key": "root.key"}}
STEALING: list[Json] = [
    {"volumeMounts": [{"name": "sealyard-keys", "mountPath": "/k"}]},
    {"volumeMounts": [{"name": "also-keys", "mountPath": "/k"}]},
    {"targetContainerName": "sealyard"},
    {
        "env": [
            {"name": "K", "valueFrom": {"secretKeyRef": {"name": "web-keys", "key": "root.key"}}}
        ]
    },
    {"envFrom": [{"secretRef": {"name": "sealyard-keys"}}]},
]


@POLICIES
@pytest.mark.parametrize("stolen", STEALING, ids=lambda one: next(iter(one)))
def test_ephemeral_containers_do_not_get_the_keys(stolen: Json, policy: InjectorSettings) -> None:
    chain = a_chain(policy)
    running = a_chain(SETTINGS).create(a_pod({"sealyard.io/keys-secret": "web-keys"}))
    projected = {"sources": [{"secret": {"name": "sealyard-keys"}}]}
    running["spec"]["volumes"].append({"name": "also-keys", "projected": projected})
    running["metadata"]["labels"]["sealyard.io/inject"] = "disabled"  # set later, to get around it

    with pytest.raises(Denied, match="debugger"):
        chain.debug(running, {"name": "debugger", "image": "busybox", **stolen})


def test_ephemeral_containers_that_only_look_are_admitted() -> None:
    chain = a_chain()
    pod = chain.create(a_pod())
    debugger = {"name": "debugger", "image": "busybox", "targetContainerName": "web"}

    once = chain.debug(pod, debugger)
    [admitted] = once["spec"]["ephemeralContainers"]
    assert admitted == {**debugger, **NO_RAW}
    assert chain.debug(once, {**debugger, "name": "next"})["spec"]["ephemeralContainers"] == [
        admitted,
        {**debugger, "name": "next", **NO_RAW},
    ]
    # One that runs cannot change: it came before this rule.
    pod["spec"]["ephemeralContainers"] = [debugger]
    old, new = chain.debug(pod, {**debugger, "name": "n"})["spec"]["ephemeralContainers"]
    assert (old, new) == (debugger, {**debugger, "name": "n", **NO_RAW})


@pytest.mark.parametrize("profile", [{}, {"add": ["SYS_PTRACE"]}])
@pytest.mark.parametrize("target", [{}, {"targetContainerName": "web"}])
def test_kubectl_debug_works_as_kubernetes_documents_it(profile: Json, target: Json) -> None:
    """Its default profile gives SYS_PTRACE, which reaches what it sees: not the sidecar."""
    chain = a_chain()
    security = {"securityContext": {"capabilities": profile}}
    debugger = {"name": "d", "image": "busybox", **target, **security}
    pod = chain.create(a_pod())

    assert chain.debug(pod, debugger)["spec"]["ephemeralContainers"][0]["name"] == "d"
    pod["spec"]["hostPID"] = True
    if profile:
        with pytest.raises(Denied, match="adds SYS_PTRACE, and could read the memory"):
            chain.debug(pod, debugger)


def test_ephemeral_containers_do_not_undo_the_redirect() -> None:
    netadmin = {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}
    debugger = {"name": "debugger", "image": "busybox", "securityContext": netadmin}
    with pytest.raises(Denied, match="debugger adds NET_ADMIN"):
        a_chain().debug(a_chain().create(a_pod()), debugger)
    allowed = a_chain(SETTINGS).debug(a_chain().create(a_pod()), debugger)

    assert allowed["spec"]["ephemeralContainers"] == [debugger]


@POLICIES
def test_ephemeral_containers_do_not_have_the_user_whom_the_redirect_exempts(
    policy: InjectorSettings,
) -> None:
    debugger = {"name": "d", "image": "b", "securityContext": {"runAsUser": MESH_USER}}
    beside = a_chain(SETTINGS).create(a_pod({"sealyard.io/interception": "redirect"}))
    within = a_chain(policy).create(a_pod({"sealyard.io/interception": "mesh"}))

    with pytest.raises(Denied, match="ephemeral container d has the user 15080"):
        a_chain(policy).debug(within, debugger)

    assert a_chain(policy).debug(beside, debugger)["spec"]["ephemeralContainers"]
    other = {**debugger, "securityContext": {"runAsUser": 65532}}
    assert a_chain(policy).debug(within, other)["spec"]["ephemeralContainers"]


def test_pods_without_a_sidecar_are_debugged_as_before() -> None:
    debugger = {"name": "d", "image": "b", "volumeMounts": [{"name": "sealyard-keys"}]}

    assert a_chain().debug(deepcopy(a_pod()), debugger)
