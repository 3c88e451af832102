"""What the API server itself refuses, without the injector: the CEL of the chart, run by a library.

An API server was not asked here: docs/testing-on-a-cluster.md.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from proxy import __version__
from proxy.injector.inject import inject
from proxy.injector.mesh import PROXY_PORTS
from proxy.injector.permissions import Policy
from proxy.injector.pod_reader import Json
from proxy.injector.ports import Sealed
from proxy.injector.redirect_rules import mesh_rules, redirect_rules
from proxy.injector.roots import IDENTITIES, RootNeeds
from tests.chart.conftest import CHART, TOOLS, Render, Rendered
from tests.chart.test_chart import DEFAULT, chooses
from tests.injector.pods import SETTINGS, a_container, a_pod, container

IMAGE = f"registry.example/sealyard:{__version__}"
ISTIO = "docker.io/istio/proxyv2"
VALIDATOR = "l5d/proxy:edge /validator"
VALUES = [
    *("--kube-version", "1.31", "--set", f"policy.trustedImages={{{ISTIO},{VALIDATOR}}}"),
    *("--set", "policy.allow[0].namespace=legacy"),
    *("--set", "policy.allow[0].permissions={port-env,disabled,ports,redirect,config,keys,audit}"),
]
TRUSTING = replace(
    SETTINGS,
    image=IMAGE,
    policy=replace(SETTINGS.policy, images=frozenset({ISTIO, VALIDATOR})),
)

Broken = Callable[..., list[str]]


@pytest.fixture(scope="session")
def rendered(render: Render) -> Rendered:
    """Render the chart once."""
    return render(DEFAULT, *VALUES)


@pytest.fixture(scope="session")
def broken(rendered: Rendered) -> Broken:
    """Ask one policy about one review."""
    return partial(ask, rendered)


def ask(rendered: Rendered, part: str, review: Json) -> list[str]:
    """Return what a policy of the chart has against a review."""
    params = rendered.one("ConfigMap", "backstop.seal-sealyard-injector")
    policy = next(
        one
        for one in rendered.objects()
        if one["kind"] == "ValidatingAdmissionPolicy" and one["metadata"]["name"].startswith(part)
    )
    around = {"request": {"namespace": "shop"}, "namespaceObject": {"metadata": {}}}
    done = subprocess.run(
        [TOOLS / "python", Path(__file__).parent / "cel_policy.py"],
        input=json.dumps(
            {"spec": policy["spec"], "reviews": [{"params": params, **around, **review}]}
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    [messages] = json.loads(done.stdout)
    return list(messages)


def sealed(pod: Json | None = None) -> Json:
    """Return an injected pod."""
    return inject(pod or a_pod(), TRUSTING)


def inits(pod: Json) -> list[Json]:
    """Return its init containers, ours first."""
    found: list[Json] = pod["spec"]["initContainers"]
    return found


def test_what_the_injector_makes_is_admitted(broken: Broken) -> None:
    istio = {"name": "istio-proxy", "image": f"{ISTIO}:1.29", "restartPolicy": "Always"}
    check = {"name": "validator", "image": "l5d/proxy:edge", "command": ["/validator"]}
    for pod in (
        a_pod(),
        a_pod(initContainers=[{"name": "migrate", "image": "m"}, istio, check]),
        a_pod(containers=[{"name": "web", "image": "w"}]),
    ):
        assert broken("create", {"object": sealed(pod)}) == []
    rooted = RootNeeds(("aws-kms", "vault", "shares"), audience="sealyard")
    with_role = [{"name": "sealyard", "env": [{"name": "AWS_ROLE_ARN", "value": "arn"}]}]
    pod = inject(a_pod(initContainers=with_role), replace(TRUSTING, root=rooted))
    assert "AWS_ROLE_ARN" in json.dumps(pod)
    assert broken("create", {"object": pod}) == []
    for written in (
        {"sealyard.io/pass-ports": "9000"},
        {"sealyard.io/interception": "redirect"},
        {"sealyard.io/config": "lenient"},
        {"sealyard.io/keys-secret": "own"},
    ):
        review = {"object": sealed(a_pod(written))}
        assert broken("create", review)
        assert broken("create", {**review, "request": {"namespace": "legacy"}}) == []
    moved = {"object": sealed(a_pod({"sealyard.io/interception": "port-env"}))}
    assert broken("create", {**moved, "request": {"namespace": "legacy"}}) == []
    assert "is not the first init container" in "".join(broken("create", moved))


def front(pod: Json, **one: object) -> None:
    """Put an init container between the redirect and the sidecar."""
    inits(pod).insert(1, {"name": "decoy", "image": "d", **one})


def image(pod: Json, index: int) -> None:
    """Give one of ours another image."""
    inits(pod)[index]["image"] = "registry.example/sealyard:0"


def command(pod: Json, index: int, value: object) -> None:
    """Give one of ours another command."""
    inits(pod)[index]["command"] = value


def rewritten(pod: Json, old: str, new: str) -> None:
    """Change the rules of the redirect."""
    redirect = inits(pod)[0]
    assert old in redirect["command"][1]
    redirect["command"][1] = redirect["command"][1].replace(old, new)


def variable(pod: Json, name: str, value: str) -> None:
    """Give the sidecar a variable in place of one with that name."""
    sidecar = inits(pod)[1]
    kept = [one for one in sidecar["env"] if one["name"] != name]
    sidecar["env"] = [*kept, {"name": name, "value": value}]


def remounted(pod: Json, path: str, **change: str) -> None:
    """Change a mount of the sidecar."""
    for one in inits(pod)[1]["volumeMounts"]:
        if one["mountPath"] == path:
            one.update(change)


CREATED: dict[str, tuple[str, Callable[[Json], object]]] = {
    "not injected": (
        "was not injected",
        lambda pod: pod.update(a_pod()),
    ),
    "forged status": (
        "no init container sealyard",
        lambda pod: pod.update(a_pod({"sealyard.io/status": "injected by 9"})),
    ),
    "redirect removed": ("not the first", lambda pod: inits(pod).pop(0)),
    "decoy before the redirect": (
        "not the first",
        lambda pod: inits(pod).insert(0, {"name": "istio-proxy", "image": "d"}),
    ),
    "decoy before the sidecar": ("does not trust", front),
    "decoy by name": ("does not trust", partial(front, name="istio-proxy")),
    "decoy by prefix": ("does not trust", partial(front, image=f"{ISTIO}x:1")),
    "decoy by port": ("does not trust", partial(front, image=f"{ISTIO}:1/evil")),
    "decoy by command": ("does not trust", partial(front, image=f"{ISTIO}:1", command=["sh"])),
    "decoy by missing command": ("does not trust", partial(front, image="l5d/proxy:edge")),
    "sidecar of another image": ("has another image", lambda pod: image(pod, 1)),
    "redirect of another image": ("has another image", lambda pod: image(pod, 0)),
    "redirect that does nothing": ("does not write", lambda pod: command(pod, 0, ["true"])),
    "redirect that only lists": (
        "does not write",
        lambda pod: command(pod, 0, ["/usr/sbin/nft", "list ruleset"]),
    ),
    "redirect with other rules": (
        "does not write",
        lambda pod: rewritten(pod, "meta skuid != 15080 drop", "accept"),
    ),
    "redirect with more rules": (
        "does not write",
        lambda pod: rewritten(pod, "{ 15082 }", "{ 15082 } accept; tcp dport { 1 }"),
    ),
    "redirect with a port that passes": (
        "lets a port pass",
        lambda pod: rewritten(pod, "{ 15082 }", "{ 8080, 15082 }"),
    ),
    "redirect with the tunnel of no mesh": (
        "lets a port pass",
        lambda pod: rewritten(pod, "{ 15082 }", "{ 15008, 15082 }"),
    ),
    "redirect that loads": (
        "is not the injector's",
        lambda pod: inits(pod)[0].update(env=[{"name": "LD_PRELOAD", "value": "/x"}]),
    ),
    "sidecar with another way": (
        "is not the injector's",
        lambda pod: variable(pod, "SEALYARD_UPSTREAM", "http://127.0.0.1:9"),
    ),
    "sidecar with an unknown variable": (
        "is not the injector's",
        lambda pod: variable(pod, "SEALYARD_MODE", "passthrough"),
    ),
    "sidecar with modules of others": (
        "is not the injector's",
        lambda pod: variable(pod, "PYTHONPATH", "/x"),
    ),
    "sidecar with authorities of others": (
        "is not the injector's",
        lambda pod: variable(pod, "SSL_CERT_FILE", "/run/x"),
    ),
    "sidecar with a probe that reads the keys": (
        "can run other programs",
        lambda pod: inits(pod)[1].update(livenessProbe={"exec": {"command": ["cat", "/etc"]}}),
    ),
    "check with the keys": (
        "has what it does not need",
        lambda pod: inits(pod)[2].update(
            volumeMounts=[{"name": "sealyard-keys", "mountPath": "/etc/sealyard/keys"}]
        ),
    ),
    "check that exports": (
        "sealyard-check",
        lambda pod: inits(pod)[2].update(args=["keys", "export"]),
    ),
    "sidecar with other programs": (
        "one of Sealyard's containers can run other programs",
        lambda pod: inits(pod)[1]["volumeMounts"].append({"name": "x", "mountPath": "/usr/lib"}),
    ),
    "sidecar with another option": (
        "does not run",
        lambda pod: inits(pod)[1]["args"].append("--observe"),
    ),
    "rules of the author": (
        "not those of the operator",
        lambda pod: pod["spec"]["volumes"][0]["configMap"].update(name="own"),
    ),
    "rules of another key": (
        "not those of the operator",
        lambda pod: pod["spec"]["volumes"][0]["configMap"].update(items=[{"key": "a"}]),
    ),
    "rules of another volume": (
        "not mounted where",
        lambda pod: remounted(pod, "/etc/sealyard/config", name="mine"),
    ),
    "rules beside others": (
        "not mounted where",
        lambda pod: inits(pod)[1]["volumeMounts"].append(
            {"name": "mine", "mountPath": "/etc/sealyard/config/sealyard.yaml"}
        ),
    ),
    "rules of a part of a volume": (
        "not mounted where",
        lambda pod: remounted(pod, "/etc/sealyard/config", subPath="a"),
    ),
    "keys of another volume": (
        "not mounted where",
        lambda pod: remounted(pod, "/etc/sealyard/keys", name="mine"),
    ),
    "keys of the author": (
        "keys are not those",
        lambda pod: pod["spec"]["volumes"][1]["secret"].update(secretName="own"),
    ),
    "keys of an author's driver": (
        "keys are not those",
        lambda pod: pod["spec"]["volumes"].__setitem__(
            1, {"name": "sealyard-keys", "csi": {"driver": "of.an.author"}}
        ),
    ),
    "trusted image with other programs": (
        "can run other programs",
        partial(
            front, image=f"{ISTIO}:1", volumeMounts=[{"name": "x", "mountPath": "/usr/local/bin"}]
        ),
    ),
    "trusted image with a way out of a folder": (
        "can run other programs",
        partial(front, image=f"{ISTIO}:1", volumeMounts=[{"name": "x", "mountPath": "/run/../a"}]),
    ),
    "trusted image with a hook": (
        "can run other programs",
        partial(
            front, image=f"{ISTIO}:1", lifecycle={"postStart": {"exec": {"command": ["sh", "-c"]}}}
        ),
    ),
    "trusted image with a probe": (
        "can run other programs",
        partial(front, image=f"{ISTIO}:1", startupProbe={"exec": {"command": ["sh"]}}),
    ),
    "trusted image that loads": (
        "can run other programs",
        partial(front, image=f"{ISTIO}:1", env=[{"name": "LD_AUDIT", "value": "/x"}]),
    ),
    "sidecar with a command": ("does not run", lambda pod: command(pod, 1, ["sleep"])),
    "sidecar of another configuration": (
        "does not run",
        lambda pod: inits(pod)[1]["args"].__setitem__(2, "/own/sealyard.yaml"),
    ),
    "check with a command": ("sealyard-check", lambda pod: command(pod, 2, ["sh"])),
    "check before the sidecar": (
        "sealyard-check",
        lambda pod: inits(pod).insert(1, inits(pod).pop(2)),
    ),
    "application with the keys": (
        "mounts what is the sidecar's",
        lambda pod: pod["spec"]["containers"][0].update(volumeMounts=[{"name": "sealyard-keys"}]),
    ),
    "init container with the token": (
        "mounts what is the sidecar's",
        lambda pod: inits(pod).append(
            {"name": "late", "image": "l", "volumeMounts": [{"name": "sealyard-login"}]}
        ),
    ),
    "sidecar that ends": ("does not run", lambda pod: inits(pod)[1].pop("restartPolicy")),
    "sidecar of the application": (
        "no init container sealyard",
        lambda pod: pod["spec"]["containers"].append(a_container("sealyard")),
    ),
    "host network": ("network of its node", lambda pod: pod["spec"].update(hostNetwork=True)),
    "label off": (
        "label disabled needs",
        lambda pod: pod["metadata"]["labels"].update({"sealyard.io/inject": "disabled"}),
    ),
}


@pytest.mark.parametrize("name", CREATED)
def test_what_was_not_injected_or_changed_afterwards_is_refused(broken: Broken, name: str) -> None:
    told, change = CREATED[name]
    pod = sealed()
    change(pod)

    assert told in "".join(broken("create", {"object": pod}))


@pytest.mark.parametrize("volume", ["logs", "emptyDir"])
def test_an_audit_log_is_where_the_operator_keeps_it(render: Render, volume: str) -> None:
    made = render(DEFAULT, *VALUES, "--set", f"sidecar.auditVolume={volume}")
    pods = [
        sealed(),
        inject(a_pod(), replace(TRUSTING, audit_volume="elsewhere")),
        inject(a_pod(), replace(TRUSTING, audit_volume=volume)),
    ]
    told = [ask(made, "create", {"object": one}) for one in pods]

    assert ["audit log is not where" in "".join(one) for one in told] == [True, True, False]
    assert told[2] == []


@pytest.mark.parametrize("source", ["ConfigMap/keyring", "SecretProviderClass/keys", "Secret/own"])
def test_keys_come_from_the_source_that_the_operator_names(render: Render, source: str) -> None:
    root = ("--set", "keys.root.kinds={aws-kms}")
    made = render(DEFAULT, *VALUES, *root, "--set", f"sidecar.keysSecret={source}")
    own = inject(a_pod(), replace(TRUSTING, keys_secret=source))

    assert ask(made, "create", {"object": own}) == []
    assert "keys are not those" in "".join(ask(made, "create", {"object": sealed()}))


def test_the_policies_know_the_rules_that_the_injector_writes() -> None:
    files = CHART / "files"
    ports = Sealed((7000, 8080), passed=(9000,))
    words = {
        "LOCAL": 'oifname "lo" tcp dport { 7000, 8080 } dnat to :15080; ',
        "LEFT": "9000, 15082",
    }
    mesh_text, redirect_text = ((files / f"{one}.nft").read_text() for one in ("mesh", "redirect"))
    for word, text in words.items():
        mesh_text, redirect_text = (one.replace(word, text) for one in (mesh_text, redirect_text))

    assert mesh_text == mesh_rules(ports) + "\n"
    assert redirect_text == redirect_rules(ports, 15082) + "\n"
    known = {name for one in IDENTITIES.values() for name in one.variables}
    assert (files / "identity-variables").read_text().split() == sorted(known)
    assert (files / "mesh-ports").read_text().split() == [str(one) for one in sorted(PROXY_PORTS)]


def test_the_operator_may_permit_pods_that_are_not_sealed(broken: Broken) -> None:
    pod = a_pod()
    pod["metadata"]["labels"]["sealyard.io/inject"] = "disabled"

    assert broken("create", {"object": pod, "request": {"namespace": "legacy"}}) == []


def debug(pod: Json, **one: object) -> None:
    """Add a debug container."""
    pod["spec"]["ephemeralContainers"] = [{"name": "d", "image": "b", **one}]


UPDATED: dict[str, tuple[str, Callable[[Json], object]]] = {
    "nothing": ("", lambda _: None),
    "another label": ("", lambda pod: pod["metadata"]["labels"].update(team="blue")),
    "the application's image": (
        "",
        lambda pod: pod["spec"]["containers"][0].update(image="w:2"),
    ),
    "a debugger": ("", partial(debug, targetContainerName="web")),
    "the sidecar's image": ("image of Sealyard's", lambda pod: image(pod, 1)),
    "the sidecar's resources": (
        "resources of Sealyard's",
        lambda pod: inits(pod)[1].update(resources={"limits": {"cpu": "1m"}}),
    ),
    "the status": (
        "is a record",
        lambda pod: pod["metadata"]["annotations"].update({"sealyard.io/status": "x"}),
    ),
    "no annotations": ("is a record", lambda pod: pod["metadata"].pop("annotations")),
    "label off": (
        "label sealyard.io/inject of a sealed pod stays",
        lambda pod: pod["metadata"]["labels"].pop("sealyard.io/inject"),
    ),
    "into the sidecar": ("debug container", partial(debug, targetContainerName="sealyard")),
    "with the keys": ("debug container", partial(debug, volumeMounts=[{"name": "sealyard-keys"}])),
    "privileged": ("debug container", partial(debug, securityContext={"privileged": True})),
    "the sidecar's user": ("debug container", partial(debug, securityContext={"runAsUser": 15080})),
}


@pytest.mark.parametrize("name", UPDATED)
def test_a_running_pod_stays_sealed(broken: Broken, name: str) -> None:
    told, change = UPDATED[name]
    old = sealed()
    new = deepcopy(old)
    change(new)
    found = "".join(broken("update", {"object": new, "oldObject": old}))

    assert told in found if told else not found


def test_label_and_image_are_not_changed_one_after_the_other(broken: Broken) -> None:
    """Whatever the label says: a pod that was injected is known by its status."""
    old = sealed()
    old["metadata"]["labels"].pop("sealyard.io/inject")
    new = deepcopy(old)
    image(new, 1)

    assert "image of Sealyard's" in "".join(broken("update", {"object": new, "oldObject": old}))
    ended = deepcopy(old)
    ended["metadata"]["deletionTimestamp"] = "2026-12-01T00:00:00Z"
    assert broken("update", {"object": new, "oldObject": ended}) == []
    assert broken("update", {"object": a_pod({}), "oldObject": a_pod({})}) == []


def test_what_is_before_the_sidecar_of_a_running_pod_keeps_its_image(broken: Broken) -> None:
    """The API server lets the image of an init container change, and restarts a native one."""
    proxy = {"name": "istio-proxy", "image": f"{ISTIO}:1.29", "restartPolicy": "Always"}
    late = {"name": "late", "image": "o:1", "restartPolicy": "Always"}
    old = sealed(a_pod(initContainers=[late, proxy]))
    changed, harmless = deepcopy(old), deepcopy(old)
    container(changed, "istio-proxy")["image"] = "evil:1"
    container(harmless, "late")["image"] = "o:2"

    told = "".join(broken("update", {"object": changed, "oldObject": old}))
    assert "is before sealyard in a running pod cannot be changed" in told
    assert broken("update", {"object": harmless, "oldObject": old}) == []


@pytest.mark.parametrize(
    ("container", "groups", "admitted"),
    [
        ("sealyard", ["system:masters", "system:authenticated"], True),
        ("sealyard", ["developers"], False),
        ("sealyard", None, False),
        ("web", ["developers"], True),
        (None, ["developers"], True),
    ],
)
def test_only_operators_enter_the_sidecar(
    broken: Broken, container: str | None, groups: list[str] | None, *, admitted: bool
) -> None:
    user = {"username": "u", **({"groups": groups} if groups else {})}
    options = {"container": container} if container else {}
    review = {"object": options, "request": {"namespace": "shop", "userInfo": user}}

    assert (broken("enter", review) == []) is admitted


def test_a_label_that_does_not_reach_the_pods_is_told_of(broken: Broken) -> None:
    label = {"labels": {"sealyard.io/inject": "enabled"}}
    misplaced = {"metadata": label, "spec": {"template": {"metadata": {}, "spec": {}}}}
    placed = {"metadata": label, "spec": {"template": {"metadata": label, "spec": {}}}}

    assert "has no effect" in "".join(broken("label", {"object": misplaced}))
    assert broken("label", {"object": placed}) == []
    assert broken("label", {"object": {**misplaced, "metadata": {}}}) == []
    for one, wrong in ((misplaced, True), (placed, False)):
        cron = {"metadata": label, "spec": {"jobTemplate": {"spec": one["spec"]}}}
        assert bool(broken("label", {"object": cron})) is wrong


def test_everything_of_it_stays_when_the_release_goes(rendered: Rendered, render: Render) -> None:
    found = [one for one in rendered.objects() if "backstop." in one["metadata"]["name"]]

    assert len(found) == 10
    for one in found:
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "backstop." not in render(DEFAULT, "--kube-version", "1.29").text
    off = ("--set", "policy.backstop.enabled=false")
    assert "backstop." not in render(DEFAULT, *VALUES, *off).text


def test_only_labelled_pods_need_its_parameters(rendered: Rendered) -> None:
    """A missing ConfigMap must not stop every pod of the cluster."""
    objects = rendered.objects()
    bindings = [one for one in objects if one["kind"].endswith("PolicyBinding")]
    given = [one["spec"]["matchResources"] for one in bindings if "paramRef" in one["spec"]]
    label = {"sealyard.io/inject": "enabled"}

    assert len(given) == 2
    assert not any(chooses(one, {}, {}) for one in given)
    assert any(chooses(one, label, {}) for one in given)
    assert any(chooses(one, {}, label) for one in given)
    assert any(chooses(one, label, {"sealyard.io/inject": "disabled"}) for one in given)


def test_no_permission_is_taken_for_another(rendered: Rendered) -> None:
    params = rendered.one("ConfigMap", "backstop.seal-sealyard-injector")["data"]

    assert params["allowed"].split("\n") == [
        f"legacy {one}"
        for one in ("port-env", "disabled", "ports", "redirect", "config", "keys", "audit")
    ]
    assert params["image"] == params["former"] == IMAGE
    assert Policy(images=frozenset(params["trusted"].split("\n"))).trusts({"image": f"{ISTIO}:1"})


def test_the_release_goes_only_once_nothing_has_the_label(render: Render) -> None:
    hooks = [
        one
        for one in render(DEFAULT).objects()
        if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-delete"
    ]
    [job] = [one for one in hooks if one["kind"] == "Job"]
    [role] = [one for one in hooks if one["kind"] == "ClusterRole"]

    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["cluster", "labels"]
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["list"]}
    ]
    forced = render(DEFAULT, "--set", "uninstall.force=true")
    assert "pre-delete" not in forced.text
