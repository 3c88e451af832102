"""The recipes that bring keys into namespaces: valid, and fitting what the injector mounts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml

from proxy.config.load import load
from proxy.config.settings.roots.vault import JwtLogin, VaultOptions
from proxy.injector.inject import inject
from proxy.injector.pod_reader import Json
from tests.chart.conftest import ROOT, VERSIONS, Tool
from tests.injector.pods import STRICT, a_pod

RECIPES = ROOT / "deploy" / "keys"
FILES = {"keyring.jwe", "root.key"}


def closed(required: dict[str, Json], **optional: Json) -> Json:
    """Return the schema of an object that has these members and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def one_of(*values: str) -> Json:
    """Return the schema of a few texts."""
    return {"enum": list(values)}


TEXT: Json = {"type": "string", "minLength": 1}
# What the custom resources of these versions may have, as far as the recipes use it.
SCHEMAS: dict[tuple[str, str], Json] = {
    ("external-secrets.io/v1", "SecretStore"): closed(
        {
            "provider": closed(
                {
                    "vault": closed(
                        {
                            "server": TEXT,
                            "auth": closed(
                                {
                                    "kubernetes": closed(
                                        {"mountPath": TEXT, "role": TEXT},
                                        serviceAccountRef=closed({"name": TEXT}),
                                    )
                                }
                            ),
                        },
                        path=TEXT,
                        version=one_of("v1", "v2"),
                    )
                }
            )
        }
    ),
    ("external-secrets.io/v1", "ExternalSecret"): closed(
        {
            "secretStoreRef": closed(
                {"name": TEXT}, kind=one_of("SecretStore", "ClusterSecretStore")
            ),
            "data": {
                "type": "array",
                "items": closed(
                    {
                        "secretKey": TEXT,
                        "remoteRef": closed({"key": TEXT}, property=TEXT, version=TEXT),
                    }
                ),
            },
        },
        refreshInterval={"type": "string", "pattern": "^[0-9]+(s|m|h)$"},
        target=closed(
            {"name": TEXT},
            creationPolicy=one_of("Owner", "Orphan", "Merge", "None"),
            deletionPolicy=one_of("Delete", "Merge", "Retain"),
        ),
    ),
    ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass"): closed(
        {
            "provider": TEXT,
            "parameters": {"type": "object", "additionalProperties": {"type": "string"}},
        }
    ),
}
CUSTOM = {kind for _, kind in SCHEMAS}


def objects(recipe: str) -> list[Json]:
    """Return the objects of a recipe."""
    return list(yaml.safe_load_all((RECIPES / recipe).read_text()))


def the(recipe: str, kind: str) -> Json:
    """Return the one object of a kind."""
    [found] = [one for one in objects(recipe) if one["kind"] == kind]
    return found


def key_volume(source: str) -> Json:
    """Return the volume with the keys in a pod whose operator chose that source."""
    made = inject(a_pod(), replace(STRICT, keys_secret=source))
    [volume] = [one for one in made["spec"]["volumes"] if one["name"] == "sealyard-keys"]
    return {key: value for key, value in volume.items() if key != "name"}


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_recipe_is_valid(tool: Tool, recipe: Path) -> None:
    for version in VERSIONS[::4]:
        done = tool("kubernetes-validate", "--strict", "-k", version, recipe)
        assert done.code == 0, done.said + done.complained
        unknown = set(re.findall(r"schema for kind (\w+)", done.said + done.complained))
        assert unknown == {one["kind"] for one in objects(recipe.name)} & CUSTOM
    for one in objects(recipe.name):
        assert one["metadata"]["namespace"] == "shop"
        if one["kind"] in CUSTOM:
            jsonschema.validate(one["spec"], SCHEMAS[one["apiVersion"], one["kind"]])


_NOT_OURS = "CKV_K8S_11,CKV_K8S_15,CKV_K8S_43,CKV_K8S_38,CKV_K8S_8,CKV_K8S_9,CKV_K8S_29,CKV2_K8S_6"


@pytest.mark.parametrize("recipe", ["vault-agent.yaml", "kms-keyring.yaml", "vault-keyring.yaml"])
def test_a_policy_linter_finds_nothing_in_a_recipe(tool: Tool, recipe: str) -> None:
    # CKV_K8S_11, 15, 43: as in test_chart. CKV_K8S_38: the token is for Vault and the API server.
    # 8, 9, 29 and NetworkPolicies: affairs of the application, which the recipe only outlines.
    done = tool(
        *("checkov", "-f", RECIPES / recipe, "--framework", "kubernetes", "--compact", "--quiet"),
        *("--skip-download", "--skip-check", _NOT_OURS),
    )

    assert done.code == 0, done.said


def test_external_secrets_fill_the_secret_that_is_mounted() -> None:
    spec = the("external-secrets.yaml", "ExternalSecret")["spec"]
    store = the("external-secrets.yaml", "SecretStore")

    assert key_volume(spec["target"]["name"])["secret"]["secretName"] == "sealyard-keys"
    assert {one["secretKey"] for one in spec["data"]} == FILES
    assert spec["secretStoreRef"]["name"] == store["metadata"]["name"]


def test_the_csi_driver_makes_files_that_the_sidecar_accepts() -> None:
    made = the("secrets-store-csi.yaml", "SecretProviderClass")
    csi = key_volume(f"SecretProviderClass/{made['metadata']['name']}")["csi"]
    files = yaml.safe_load(made["spec"]["parameters"]["objects"])

    assert csi["volumeAttributes"] == {"secretProviderClass": made["metadata"]["name"]}
    assert {one["objectName"] for one in files} == FILES
    assert {one["filePermission"] for one in files} == {0o440}


def test_what_vault_agent_writes_becomes_the_secret_that_is_mounted(
    tool: Tool, tmp_path: Path
) -> None:
    data = the("vault-agent.yaml", "ConfigMap")["data"]
    rule = the("vault-agent.yaml", "Role")["rules"]
    written = set(re.findall(r'destination += "/handover/keys/([a-z.]+)"', data["agent.hcl"]))
    (tmp_path / "kustomization.yaml").write_text(data["kustomization.yaml"])
    (tmp_path / "keys").mkdir()
    for name in written:
        (tmp_path / "keys" / name).write_text("canary")
    done = tool("kubectl", "kustomize", tmp_path)
    secret = yaml.safe_load(done.said)

    assert written == FILES
    assert (secret["metadata"]["name"], secret["metadata"]["namespace"]) == (
        key_volume("sealyard-keys")["secret"]["secretName"],
        "shop",
    )
    assert set(secret["data"]) == FILES
    assert [(one["resourceNames"], one["verbs"]) for one in rule] == [
        (["sealyard-keys"], ["get", "patch"])
    ]


def test_a_keyring_in_a_config_map_has_no_root_key_beside_it(tmp_path: Path) -> None:
    configuration, made = (one for one in objects("kms-keyring.yaml") if one["kind"] == "ConfigMap")
    (tmp_path / "sealyard.yaml").write_text(configuration["data"]["sealyard.yaml"])
    loaded = load(tmp_path / "sealyard.yaml", {})

    assert loaded.warnings == ()
    assert [one.kind for one in loaded.settings.keys.keyring.roots] == ["aws-kms"]
    assert set(made["data"]) == {loaded.settings.keys.keyring.file.name}
    assert key_volume(f"ConfigMap/{made['metadata']['name']}") == {
        "configMap": {"name": "sealyard-keyring", "defaultMode": 0o440}
    }


def test_vault_opens_the_keyring_of_a_config_map_for_the_sidecar_alone(tmp_path: Path) -> None:
    configuration, files = (
        one["data"] for one in objects("vault-keyring.yaml") if one["kind"] == "ConfigMap"
    )
    pod = the("vault-keyring.yaml", "Deployment")["spec"]["template"]["spec"]
    manifest = (ROOT / "deploy" / "sidecar" / "deployment.yaml").read_text()
    [deployed] = [one for one in yaml.safe_load_all(manifest) if one["kind"] == "Deployment"]
    plain = deployed["spec"]["template"]["spec"]
    (tmp_path / "sealyard.yaml").write_text(configuration["sealyard.yaml"])
    loaded = load(tmp_path / "sealyard.yaml", {})
    (root,) = loaded.settings.keys.keyring.roots
    assert isinstance(root.options, VaultOptions)
    assert isinstance(root.options.login, JwtLogin)
    [sidecar], [web] = pod["initContainers"], pod["containers"]
    mounts = {one["mountPath"]: one["name"] for one in sidecar["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"]}

    assert loaded.warnings == ()
    assert set(files) == {
        loaded.settings.keys.keyring.file.name,
        str(root.options.ca).split("/")[-1],
    }
    login = Path(root.options.login.token)
    [source] = volumes[mounts[str(login.parent)]]["projected"]["sources"]
    assert (source["serviceAccountToken"]["path"], "volumeMounts" in web) == (login.name, False)
    assert pod["automountServiceAccountToken"] is False
    assert sidecar["securityContext"] == plain["initContainers"][0]["securityContext"]
    assert web["securityContext"] == plain["containers"][0]["securityContext"]
