"""What the roots of the keyring get in a pod, and that nobody but the sidecar gets it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import yaml
from click.testing import CliRunner

from proxy.cli.commands.inject import inject as command
from proxy.config.settings.root_kinds import ROOT_KINDS
from proxy.injector.admission_review import review
from proxy.injector.annotations import InjectorSettings
from proxy.injector.inject import inject
from proxy.injector.pod_reader import CannotInject, Json
from proxy.injector.roots import KINDS, RootNeeds
from tests.injector.chain import Call, Chain, patching, tokens
from tests.injector.pods import STRICT, a_container, a_pod, container, injected

AWS: Json = {
    "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/sealyard-shop",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
}
POD_IDENTITY: Json = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": (
        "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"
    ),
}
AZURE: Json = {
    "AZURE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
    "AZURE_TENANT_ID": "66666666-7777-8888-9999-000000000000",
    "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
    "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
}
CLOUDS = {
    "aws-irsa": ("aws-kms", AWS),
    "aws-pod-identity": ("aws-kms", POD_IDENTITY),
    "azure": ("azure-kv", AZURE),
}
"""What the webhooks of the clouds give to every container, as their documentation has it."""


CLOUD_TOKEN: Json = {"serviceAccountToken": {"audience": "sts.example", "path": "token"}}


def needing(*kinds: str, **more: str) -> InjectorSettings:
    """Return the settings of an operator whose keyring has roots of these kinds."""
    return replace(STRICT, root=RootNeeds(kinds, **more))


def identity_webhook(given: Json) -> Call:
    """Return a cloud's webhook: it gives variables and a volume with a token to containers."""
    file = next(value for name, value in given.items() if name.endswith("FILE"))
    volume = {"name": "cloud-token", "projected": {"sources": [CLOUD_TOKEN]}}
    mount = {"name": "cloud-token", "mountPath": file.rpartition("/")[0], "readOnly": True}

    def call(asked: Json) -> Json:
        spec = asked["request"]["object"]["spec"]
        operations: list[Json] = []
        if not any(one["name"] == "cloud-token" for one in spec.get("volumes", [])):
            volumes = [*spec.get("volumes", []), volume]
            operations.append({"op": "add", "path": "/spec/volumes", "value": volumes})
        for part in ("initContainers", "containers"):
            for index, one in enumerate(spec.get(part, [])):
                there = {each["name"] for each in one.get("env", [])}
                lacking = [{"name": k, "value": v} for k, v in given.items() if k not in there]
                if lacking:
                    made = {
                        **one,
                        "env": [*one.get("env", []), *lacking],
                        "volumeMounts": [*one.get("volumeMounts", []), mount],
                    }
                    operations.append(
                        {"op": "replace", "path": f"/spec/{part}/{index}", "value": made}
                    )
        return patching(asked, operations)

    return call


def a_chain(settings: InjectorSettings, name: str, other: Call) -> Chain:
    """Return a chain with our webhook, and a cloud's before or after it."""
    ours = {"sealyard": lambda asked: review(asked, settings).answer}
    return Chain({**ours, name: other}, plugins=[tokens])


def mounted(one: Json) -> dict[str, str]:
    """Return where a container has which volume."""
    return {mount["mountPath"]: mount["name"] for mount in one.get("volumeMounts", [])}


def test_the_kinds_are_those_of_the_configuration() -> None:
    assert set(KINDS) == set(ROOT_KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sidecar_waits_for_what_others_open_and_not_for_its_own_secret(kind: str) -> None:
    sidecar = container(injected(a_pod(), needing(kind)), "sealyard")
    waits = ROOT_KINDS[kind].service

    assert sidecar["startupProbe"]["failureThreshold"] == (86400 if waits else 60)
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("order", ["a-cloud", "z-cloud"])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_an_identity_of_the_cloud_reaches_the_sidecar(cloud: str, order: str) -> None:
    """Without the kind, each review takes away what the cloud's webhook gave to the sidecar."""
    kind, given = CLOUDS[cloud]
    pod = a_chain(needing(kind), order, identity_webhook(given)).create(a_pod())
    sidecar = container(pod, "sealyard")
    variables = {one["name"]: one.get("value") for one in sidecar["env"]}
    again = a_chain(needing(kind), order, identity_webhook(given)).create(pod)

    assert given.items() <= variables.items()
    [file] = [value for name, value in given.items() if name.endswith("FILE")]
    assert mounted(sidecar)[file.rpartition("/")[0]] == "cloud-token"
    assert len(variables) == len(sidecar["env"])
    assert again == pod


def test_nothing_else_in_the_container_of_a_pretended_sidecar_is_kept() -> None:
    pretended = {
        "name": "sealyard",
        "image": "evil:1",
        "env": [
            {"name": "AWS_ACCESS_KEY_ID", "value": "AKIA"},
            {"name": "AWS_ROLE_ARN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "AZURE_CLIENT_ID", "value": "1"},
            {"name": "LD_PRELOAD", "value": "/evil.so"},
        ],
        "volumeMounts": [
            {"name": "evil", "mountPath": "/etc/sealyard/config"},
            {"name": "evil", "mountPath": "/var/run/secrets/azure/tokens"},
        ],
    }
    pod = a_pod(initContainers=[pretended], volumes=[{"name": "evil", "emptyDir": {}}])
    settings = needing("aws-kms")

    assert container(injected(pod, settings), "sealyard") == container(
        injected(a_pod(), settings), "sealyard"
    )


KEY_FILE = "/etc/sealyard/keys/root.key"
FOLDER = "/var/run/secrets/azure/tokens"
LINKED = {"name": "mine", "emptyDir": {}}  # a container of the author's makes a link in it
MIXED = {
    "name": "mine",
    "projected": {"sources": [CLOUD_TOKEN, {"configMap": {"name": "mine"}}]},
}


@pytest.mark.parametrize(
    ("file", "volume", "mounts"),
    [
        (KEY_FILE, "sealyard-keys", FOLDER),
        (KEY_FILE, "cloud-token", FOLDER),
        (f"{FOLDER}/../../../../..{KEY_FILE}", "cloud-token", FOLDER),
        (f"{FOLDER}/root.key", "sealyard-keys", FOLDER),
        (f"{FOLDER}/root.key", "mine", FOLDER),
        (f"{FOLDER}/token", "nowhere", FOLDER),
        (f"{FOLDER}/token", "cloud-token", "/etc/sealyard"),
    ],
)
@pytest.mark.parametrize("mine", [LINKED, MIXED], ids=["emptyDir", "mixed"])
def test_an_author_cannot_have_the_sidecar_send_its_keys_away_as_a_token(
    file: str, volume: str, mounts: str, mine: Json
) -> None:
    pretended = {
        "name": "sealyard",
        "image": "m",
        "env": [
            {"name": "AZURE_AUTHORITY_HOST", "value": "https://thief.example/"},
            {"name": "AZURE_FEDERATED_TOKEN_FILE", "value": file},
        ],
        "volumeMounts": [{"name": volume, "mountPath": mounts}],
    }
    given = {"name": "cloud-token", "projected": {"sources": [CLOUD_TOKEN]}}
    pod = a_pod(initContainers=[pretended], volumes=[mine, given])
    sidecar = container(injected(pod, needing("azure-kv", "file")), "sealyard")

    assert "AZURE_FEDERATED_TOKEN_FILE" not in {one["name"] for one in sidecar["env"]}
    assert mounted(sidecar).get(FOLDER, "cloud-token") == "cloud-token"
    assert "/etc/sealyard" not in mounted(sidecar)


@pytest.mark.parametrize("given", [AWS, AZURE])
def test_a_root_of_another_kind_gets_no_identity_of_a_cloud(given: Json) -> None:
    pod = a_chain(needing("file"), "a-cloud", identity_webhook(given)).create(a_pod())

    assert not {one["name"] for one in container(pod, "sealyard")["env"]} & set(given)


def test_the_sidecar_alone_gets_a_token_for_the_audience() -> None:
    pod = injected(a_pod(), needing("vault", audience="sealyard"))
    [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == "sealyard-login"]

    assert volume["projected"] == {
        "defaultMode": 0o440,
        "sources": [
            {
                "serviceAccountToken": {
                    "audience": "sealyard",
                    "expirationSeconds": 600,
                    "path": "token",
                }
            }
        ],
    }
    assert mounted(container(pod, "sealyard"))["/var/run/secrets/sealyard"] == "sealyard-login"
    for one in (container(pod, "web"), container(pod, "sealyard-redirect")):
        assert "sealyard-login" not in mounted(one).values()


def test_the_socket_for_shares_has_a_folder_of_its_own() -> None:
    pod = injected(a_pod(), needing("aws-kms", "shares"))
    [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == "sealyard-unlock"]
    [mount] = [
        one
        for one in container(pod, "sealyard")["volumeMounts"]
        if one["name"] == "sealyard-unlock"
    ]

    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Mi"}
    assert mount == {"name": "sealyard-unlock", "mountPath": "/run/sealyard"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "PersistentVolumeClaim/hsm",
            {"persistentVolumeClaim": {"claimName": "hsm", "readOnly": True}},
        ),
        ("HostPath/opt/cloudhsm", {"hostPath": {"path": "/opt/cloudhsm", "type": "Directory"}}),
    ],
)
def test_the_module_of_a_token_is_mounted_where_it_is_wanted(module: str, source: Json) -> None:
    settings = needing("pkcs11", module=module, module_path="/opt/cloudhsm")
    pod = injected(a_pod(), settings)
    [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == "sealyard-module"]

    assert volume == {"name": "sealyard-module", **source}
    assert mounted(container(pod, "sealyard"))["/opt/cloudhsm"] == "sealyard-module"


@pytest.mark.parametrize("volume", ["sealyard-login", "sealyard-module", "sealyard-unlock"])
def test_no_other_container_may_mount_what_the_roots_need(volume: str) -> None:
    mounting = a_container(volumeMounts=[{"name": volume, "mountPath": "/x"}])
    settings = needing("pkcs11", "shares", audience="a", module="HostPath/opt/x")

    with pytest.raises(CannotInject) as refusal:
        inject(a_pod(containers=[mounting]), settings)

    told = f"container web mounts {volume}, which is reserved for the sidecar"
    assert refusal.value.problems == (told,)


def test_a_pod_with_a_token_like_the_sidecars_is_denied() -> None:
    def asking(audience: str) -> Json:
        source = {"serviceAccountToken": {"audience": audience, "path": "t"}}
        return a_pod(volumes=[{"name": "mine", "projected": {"sources": [source]}}])

    settings = needing("vault", audience="sealyard")
    with pytest.raises(CannotInject) as refusal:
        inject(asking("sealyard"), settings)

    assert "volume mine: a token for `sealyard` opens the keyring" in refusal.value.detail
    assert inject(asking("vault"), settings)
    assert inject(asking(""), needing("aws-kms"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--root=vault", "--root-audience=a b"], "--root-audience: must be printable"),
        (["--root=pkcs11", "--root-module=Pod/x"], "--root-module: must be PersistentVolume"),
        (["--root-module=HostPath/opt/x"], "only a root `pkcs11` has a module"),
        (
            ["--root=pkcs11", "--root-module=HostPath/x", "--root-module-path=/etc/sealyard/keys"],
            "--root-module-path: must be a folder that nothing else has",
        ),
        (
            ["--root=pkcs11", "--root-module=HostPath/x", "--root-module-path=/opt/../etc"],
            "--root-module-path: must be a folder that nothing else has",
        ),
        (
            ["--root=pkcs11", "--root-module=HostPath/x", "--root-module-path=/opt"],
            "--root-module-path: must be a folder that nothing else has",
        ),
        (["--keys-secret=ConfigMap/k"], "a ConfigMap keeps no secret, and a root `file` has one"),
        (
            ["--keys-secret=ConfigMap/k", "--root=vault", "--root=passphrase"],
            "a ConfigMap keeps no secret, and a root `passphrase` has one",
        ),
        (["--root=kms"], "is not one of"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: Sequence[str], told: str) -> None:
    done = CliRunner().invoke(command, ["--image=x", "-f", "-", *options], input="")

    assert done.exit_code == 2
    assert told in " ".join(done.output.split())


def test_the_command_gives_the_sidecar_what_the_options_say() -> None:
    options = ["--root=vault", "--root=shares", "--root-audience=sealyard"]
    source = ["--image=registry.example/sealyard:1.0", "--keys-secret=ConfigMap/keyring"]
    done = CliRunner().invoke(
        command, [*source, *options, "-f", "-"], input=json.dumps(a_pod()), catch_exceptions=False
    )
    settings = replace(
        needing("vault", "shares", audience="sealyard"), keys_secret="ConfigMap/keyring"
    )

    expected = inject(a_pod(), settings)["spec"]

    assert done.exit_code == 0, done.output
    assert yaml.safe_load(done.stdout)["spec"] == expected
