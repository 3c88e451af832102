from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from proxy import __version__
from proxy.cli.commands.serve import serve
from proxy.injector import mesh
from proxy.injector.admission_review import patch
from proxy.injector.annotations import CONTAINERS, VOLUMES, InjectorSettings, Resources
from proxy.injector.inject import inject, wanted
from proxy.injector.pod_reader import CannotInject, Json
from tests.injector.pods import SETTINGS, a_container, a_pod, container, injected, pods, variables

GOLDEN = Path(__file__).parent / "golden"
OWN = ["sealyard-redirect", "sealyard", "sealyard-check"]


def others(pod: Json) -> tuple[list[str], list[str], list[str]]:
    """Return the names of what is not Sealyard's own, in order."""
    spec = pod["spec"]
    return (
        [one["name"] for one in spec.get("initContainers", []) if one["name"] not in CONTAINERS],
        [one["name"] for one in spec["containers"] if one["name"] not in CONTAINERS],
        [one["name"] for one in spec.get("volumes", []) if one["name"] not in VOLUMES],
    )


def without_probes(one: Json) -> Json:
    """Return a container less what Sealyard may change in it."""
    kinds = {
        *("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "env"),
        "securityContext",
    }
    return {key: value for key, value in one.items() if key not in kinds}


@given(pods())
def test_a_second_injection_changes_nothing(pod: Json) -> None:
    once = injected(pod)

    assert patch(once, inject(once, SETTINGS)) == []


@given(pods())
def test_the_patch_makes_what_injection_returns(pod: Json) -> None:
    assert injected(pod) == inject(pod, SETTINGS)


@given(pods())
def test_a_pod_that_is_given_stays_as_it_is(pod: Json) -> None:
    before = deepcopy(pod)
    inject(pod, SETTINGS)

    assert pod == before


@given(pods())
def test_what_is_not_sealyards_own_is_not_touched(pod: Json) -> None:
    after = injected(pod)

    assert others(after) == others(pod)
    for name in others(pod)[0] + others(pod)[1]:
        assert without_probes(container(after, name)) == without_probes(container(pod, name))
        missing = (
            variables(container(pod, name)).items() - variables(container(after, name)).items()
        )
        assert not missing
    kept = {**pod["metadata"].get("annotations", {}), "sealyard.io/status": ""}
    assert kept.items() - {("sealyard.io/status", "")} - after["metadata"][
        "annotations"
    ].items() <= {("sealyard.io/status", "injected by 9.9, 000000000000")}
    assert {key: value for key, value in after["metadata"].items() if key != "annotations"} == {
        key: value for key, value in pod["metadata"].items() if key != "annotations"
    }


@given(pods())
def test_no_probe_reaches_a_sealed_port_and_each_is_asked_by_the_sidecar(pod: Json) -> None:
    after = injected(pod)
    told = json.loads(variables(container(after, "sealyard"))["SEALYARD_APP_PROBES"])
    pointed = 0
    for name in others(after)[0] + others(after)[1]:
        one = container(after, name)
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            get = one.get(kind, {}).get("httpGet", {})
            if get.get("port") in {15021, 15082}:
                pointed += 1
                assert told[f"{name}/{kind}"]["handler"] in [
                    {key: container(pod, name)[kind][key]}
                    for key in ("httpGet", "tcpSocket")
                    if key in container(pod, name)[kind]
                ]

    assert pointed == len([key for key in told if not key.endswith(("preStop", "postStart"))])


@pytest.mark.parametrize(
    ("name", "pod"),
    [
        ("unprepared", a_pod()),
        (
            "everything",
            a_pod(
                {
                    "sealyard.io/ports": "http,9000",
                    "sealyard.io/config": "rules",
                    "sealyard.io/keys-secret": "web-keys",
                    "sealyard.io/cpu-limit": "500m",
                },
                containers=[
                    a_container(
                        readinessProbe={"httpGet": {"path": "/up", "port": "http"}},
                        livenessProbe={"tcpSocket": {"port": 9000}, "timeoutSeconds": 3},
                    )
                ],
                initContainers=[{"name": "migrate", "image": "registry.example/web:3"}],
                terminationGracePeriodSeconds=60,
            ),
        ),
        ("port-env", a_pod({"sealyard.io/interception": "port-env"})),
        ("redirect", a_pod({"sealyard.io/interception": "redirect"})),
    ],
)
def test_the_patch_is_the_one_of_the_golden_file(name: str, pod: Json) -> None:
    text = json.dumps({"pod": pod, "patch": patch(pod, inject(pod, SETTINGS))}, indent=2)

    golden = (GOLDEN / f"{name}.json").read_text()
    assert golden == text.replace(f"by {__version__}", "by VERSION") + "\n"


def test_own_containers_start_first() -> None:
    pod = injected(a_pod(initContainers=[{"name": "migrate", "image": "m"}]))
    names = [one["name"] for one in pod["spec"]["initContainers"]]

    assert names == [*OWN, "migrate"]


@pytest.mark.parametrize("name", [*CONTAINERS, *mesh.CONTAINERS, "migrate"])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_no_name_and_no_place_puts_a_container_before_ours(name: str, place: int) -> None:
    """Whoever runs there could answer connections from outside before they are sealed."""
    decoy = {**a_container(name, 9000), "restartPolicy": "Always"}
    pod = injected(a_pod())
    inits = pod["spec"]["initContainers"]
    inits[:] = [one for one in inits if one["name"] != name]
    inits.insert(place, decoy)
    again = injected(pod)
    names = [one["name"] for one in again["spec"]["initContainers"]]

    assert names == [*OWN, *([] if name in CONTAINERS else [name])]
    assert {container(again, one)["image"] for one in OWN} == {SETTINGS.image}
    assert patch(again, inject(again, SETTINGS)) == []


def trusting(*images: str) -> InjectorSettings:
    """Return the settings of an operator who trusts these images."""
    return replace(SETTINGS, policy=replace(SETTINGS.policy, images=frozenset(images)))


@pytest.mark.parametrize(
    ("image", "command", "trusted", "first"),
    [
        ("docker.io/istio/proxyv2:1.29", None, "docker.io/istio/proxyv2", True),
        ("docker.io/istio/proxyv2:1.29@sha256:0", None, "docker.io/istio/proxyv2", True),
        ("docker.io/istio/proxyv2:1.29", None, "docker.io/istio/proxyv2:1.29", True),
        ("docker.io/istio/proxyv2:1.28", None, "docker.io/istio/proxyv2:1.29", False),
        ("docker.io/istio/proxyv2x:1", None, "docker.io/istio/proxyv2", False),
        ("evil.example/istio/proxyv2:1.29", None, "docker.io/istio/proxyv2", False),
        ("docker.io:443/istio/proxyv2", None, "docker.io", False),
        # Another command makes another program of an image.
        ("docker.io/istio/proxyv2:1", ["python3", "-m", "http"], "docker.io/istio/proxyv2", False),
        ("l5d/proxy:1", ["/validator"], "l5d/proxy /validator", True),
        ("l5d/proxy:1", ["/validator", "-x"], "l5d/proxy /validator", False),
    ],
)
def test_an_image_that_the_operator_trusts_comes_between_redirect_and_sidecar(
    image: str, command: list[str] | None, trusted: str, *, first: bool
) -> None:
    proxy: Json = {"name": "proxy", "image": image, "restartPolicy": "Always"}
    if command:
        proxy |= {"command": command}
    settings = trusting(trusted)
    pod = injected(a_pod(initContainers=[{"name": "migrate", "image": "m"}, proxy]), settings)
    names = [one["name"] for one in pod["spec"]["initContainers"]]

    redirect, *own = OWN
    assert names == (
        [redirect, "proxy", *own, "migrate"] if first else [redirect, *own, "migrate", "proxy"]
    )
    assert patch(pod, inject(pod, settings)) == []


def test_a_trusted_proxy_in_front_is_probed_at_a_port_that_passes() -> None:
    """The sidecar, which would answer for it, starts after it."""
    probe = {"httpGet": {"path": "/healthz/ready", "port": 15021}}
    proxy = {"name": "p", "image": "t:1", "restartPolicy": "Always", "startupProbe": probe}
    pod = a_pod(initContainers=[proxy])
    trusted, other = injected(pod, trusting("t")), injected(pod)

    assert container(trusted, "p")["startupProbe"] == probe
    assert container(other, "p")["startupProbe"]["httpGet"]["port"] == 15082
    assert "15021" in container(trusted, "sealyard-redirect")["command"][1]
    assert "15021" not in container(other, "sealyard-redirect")["command"][1]


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_an_application_with_the_name_of_ours_is_told_so(name: str) -> None:
    told = f"container {name}: that name is of Sealyard's own init container; choose another"
    with pytest.raises(CannotInject) as refused:
        inject(a_pod(containers=[a_container(name)]), SETTINGS)

    assert refused.value.problems == (told,)


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"drop": ["NET_RAW"]}),
        ({"drop": ["MKNOD"], "add": ["CHOWN"]}, {"drop": ["MKNOD", "NET_RAW"], "add": ["CHOWN"]}),
        ({"drop": ["ALL"]}, {"drop": ["ALL"]}),
        # containerd puts a CAP_ in front of every name, so this one drops nothing there.
        ({"drop": ["CAP_NET_RAW"]}, {"drop": ["CAP_NET_RAW", "NET_RAW"]}),
        ({"add": ["NET_RAW"]}, {"add": ["NET_RAW"]}),  # permitted here
    ],
)
def test_no_other_container_reads_what_passes_on_the_network(
    kind: str, given: Json, kept: Json
) -> None:
    pod = a_pod()
    one = a_container("one", 9000, securityContext={"capabilities": given, "runAsUser": 5})
    pod["spec"].setdefault(kind, []).append(one)
    security = container(injected(pod), "one")["securityContext"]

    assert security == {"capabilities": kept, "runAsUser": 5}


def test_only_nft_gets_a_capability_and_nobody_is_root() -> None:
    pod = injected(a_pod())
    redirect, sidecar = container(pod, "sealyard-redirect"), container(pod, "sealyard")

    assert redirect["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for one in (redirect, sidecar):
        assert one["securityContext"]["runAsUser"]
        assert one["securityContext"]["readOnlyRootFilesystem"]
        assert not one["securityContext"]["allowPrivilegeEscalation"]
        assert {"cpu", "memory"} <= one["resources"]["requests"].keys()


def test_nothing_empty_is_written_since_it_would_not_come_back() -> None:
    """An API server leaves empty objects out, and the second admission would put them in again."""
    settings = replace(SETTINGS, resources=Resources("", "", "", ""))
    own = container(injected(a_pod(), settings), "sealyard")

    assert own["resources"] == {}
    own.pop("resources")
    assert all(value not in ({}, [], None, "") for value in own.values())


def test_keys_are_mounted_only_into_the_sidecar() -> None:
    pod = injected(a_pod(initContainers=[{"name": "migrate", "image": "m"}]))
    holders = [
        one["name"]
        for one in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
        if any(mount["name"] == "sealyard-keys" for mount in one.get("volumeMounts", []))
    ]

    assert holders == ["sealyard"]


def test_port_env_needs_no_capability_and_moves_the_application() -> None:
    pod = injected(a_pod({"sealyard.io/interception": "port-env"}))
    sidecar = variables(container(pod, "sealyard"))

    assert [one["name"] for one in pod["spec"]["initContainers"]] == ["sealyard"]
    assert variables(container(pod, "web")) == {"PORT": "18080"}
    # What the Pod Security level `restricted` demands of a container.
    security = container(pod, "sealyard")["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["runAsNonRoot"]
    assert security["allowPrivilegeEscalation"] is security["privileged"] is False
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {next(iter(one.keys() - {"name"})) for one in pod["spec"]["volumes"]} == {
        "configMap",
        "secret",
    }
    assert sidecar["SEALYARD_LISTEN"] == "*:8080"
    assert sidecar["SEALYARD_UPSTREAM"] == "http://127.0.0.1:18080"


def test_the_end_of_the_sidecar_fits_into_the_pods() -> None:
    pod = injected(a_pod(terminationGracePeriodSeconds=12))

    assert container(pod, "sealyard")["args"][-2:] == ["--grace", "7"]


@pytest.mark.parametrize(
    ("allowed", "grace"), [(0, 0), (1, 1), (30, 25), (3605, 3600), (3606, 3600), (604_800, 3600)]
)
def test_the_command_takes_what_the_sidecar_is_started_with(allowed: int, grace: int) -> None:
    """A sidecar whose command refuses an option never starts."""
    pod = injected(a_pod(terminationGracePeriodSeconds=allowed))
    name, *options = container(pod, "sealyard")["args"]

    assert serve.name == name
    assert serve.make_context(name, options).params["grace"] == grace


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (a_pod(hostNetwork=True), "hostNetwork: the pod has no network namespace of its own"),
        (a_pod(os={"name": "windows"}), "os.name windows: the sidecar runs on Linux only"),
        (
            a_pod(shareProcessNamespace=True),
            "shareProcessNamespace: other containers could read the memory of the sidecar",
        ),
        (a_pod(containers=[]), "the pod has no containers"),
        ({"kind": "Pod"}, "the pod has no containers"),
        (
            a_pod(
                {"sealyard.io/interception": "port-env"},
                containers=[{"name": "web", "image": "w"}],
            ),
            "no port to seal: declare a TCP port or set the annotation sealyard.io/ports",
        ),
        (
            a_pod({"kuma.io/mesh": "a"}, containers=[{"name": "web", "image": "w"}]),
            "no port to seal: declare a TCP port or set the annotation sealyard.io/ports",
        ),
        (
            a_pod(containers=[a_container(), a_container("api")]),
            "port 8080 is declared by api and web",
        ),
        (
            a_pod(containers=[a_container(port=15082)]),
            "port 15082 of container web is reserved for Sealyard",
        ),
        (
            a_pod(
                containers=[
                    a_container(volumeMounts=[{"name": "sealyard-keys", "mountPath": "/k"}])
                ]
            ),
            "container web mounts sealyard-keys, which is reserved for the sidecar",
        ),
        (
            a_pod(containers=[a_container(livenessProbe={"grpc": {"port": 8080}})]),
            (
                "port 8080 of container web is gRPC, which cannot be sealed:"
                ' write sealyard.io/pass-ports: "8080",'
                " which takes the operator's permission `ports`"
            ),
        ),
        (
            a_pod(
                containers=[
                    a_container(
                        livenessProbe={
                            "httpGet": {"path": "/app-probe/web/livenessProbe", "port": 15021}
                        }
                    )
                ]
            ),
            "web/livenessProbe points to Sealyard, and the original probe is unknown",
        ),
        (
            a_pod(
                {"sealyard.io/interception": "port-env"},
                containers=[a_container(env=[{"name": "PORT", "value": "3000"}])],
            ),
            "container web: variable PORT is set to another value than 8080",
        ),
        (
            a_pod({"sealyard.io/interception": "port-env"}, containers=[a_container(port=80)]),
            "interception port-env cannot seal port 80: only root may listen below 1024",
        ),
        (
            a_pod({"sealyard.io/interception": "port-env", "sealyard.io/ports": "8080,8081"}),
            "interception port-env can seal only one port: set sealyard.io/ports or pass-ports",
        ),
        (a_pod(containers={}), "`containers` is not a list of objects"),
        (a_pod(containers=[{}]), "an element of `containers` has no name"),
        (
            a_pod(containers=[a_container(), a_container()]),
            "two elements of `containers` have the same name",
        ),
        ({"spec": []}, "`spec` is not an object"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused_with_the_reason(pod: Json, reason: str) -> None:
    with pytest.raises(CannotInject) as refused:
        inject(pod, SETTINGS)

    assert refused.value.problems == (reason,)


@pytest.mark.parametrize(
    ("label", "expected"), [(None, True), ("enabled", True), ("disabled", False)]
)
def test_the_pods_label_decides(label: str | None, expected: bool) -> None:  # noqa: FBT001 - a parameter
    pod = a_pod()
    pod["metadata"]["labels"] = {} if label is None else {"sealyard.io/inject": label}

    assert wanted(pod) is expected


def test_a_label_with_a_typing_mistake_is_refused() -> None:
    pod = a_pod()
    pod["metadata"]["labels"]["sealyard.io/inject"] = "true"

    with pytest.raises(CannotInject):
        wanted(pod)


def audit_of(pod: Json) -> tuple[list[Json], list[Json], list[Json]]:
    """Return volume, mount and variable of the audit log, as far as a pod has them."""
    own = container(pod, "sealyard")
    return (
        [one for one in pod["spec"]["volumes"] if one["name"] == "sealyard-audit"],
        [one for one in own["volumeMounts"] if one["name"] == "sealyard-audit"],
        [one for one in own["env"] if one["name"] == "SEALYARD_POD"],
    )


def test_without_a_volume_there_is_no_trace_of_one() -> None:
    assert audit_of(injected(a_pod())) == ([], [], [])


def test_audit_logs_of_pods_stand_in_folders_of_their_own() -> None:
    settings = replace(SETTINGS, audit_volume="logs")
    pod = injected(a_pod(), settings)

    assert audit_of(pod) == (
        [{"name": "sealyard-audit", "persistentVolumeClaim": {"claimName": "logs"}}],
        [
            {
                "name": "sealyard-audit",
                "mountPath": "/var/log/sealyard",
                "subPathExpr": "$(SEALYARD_POD)",
            }
        ],
        [
            {
                "name": "SEALYARD_POD",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
            }
        ],
    )
    assert patch(pod, inject(pod, settings)) == []


def test_an_audit_log_may_end_with_its_pod() -> None:
    pod = injected(
        a_pod({"sealyard.io/audit-volume": "emptyDir"}), replace(SETTINGS, audit_volume="logs")
    )

    assert audit_of(pod) == (
        [{"name": "sealyard-audit", "emptyDir": {}}],
        [{"name": "sealyard-audit", "mountPath": "/var/log/sealyard"}],
        [],
    )


def test_a_volume_that_is_wanted_no_more_is_taken_out() -> None:
    pod = injected(a_pod(), replace(SETTINGS, audit_volume="logs"))

    assert audit_of(injected(pod)) == ([], [], [])


def test_no_container_reaches_into_the_audit_log() -> None:
    mount = {"name": "sealyard-audit", "mountPath": "/x"}
    pod = a_pod(containers=[a_container(volumeMounts=[mount])])
    with pytest.raises(CannotInject) as refused:
        inject(pod, replace(SETTINGS, audit_volume="emptyDir"))

    assert refused.value.problems == (
        "container web mounts sealyard-audit, which is reserved for the sidecar",
    )
