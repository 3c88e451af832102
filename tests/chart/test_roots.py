"""The chart for each kind of root: what its configuration names is there in the pod."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from proxy.cli.commands.inject import inject
from proxy.config.load import load
from proxy.config.settings.root_kinds import ROOT_KINDS
from proxy.injector.pod_reader import Json
from tests.chart.conftest import CHART, HELMS, ROOT, VERSIONS, Render, Tool
from tests.injector.pods import a_pod, container

DEFAULT = CHART / "ci" / "default-values.yaml"
SEALED = ROOT / "deploy" / "kustomize" / "sealed" / "sealyard.yaml"
FILE = re.compile(r"(?<![\w:/])/(?!/)[\w./-]+")
ID = "id: lXJ6nQm9bTq0x3VfYkR2dA"
IN_CONFIG_MAP = "sidecar.keysSecret=ConfigMap/sealyard-keyring"


@dataclass(frozen=True, slots=True)
class Case:
    """The members of `keys.keyring` beside its file, and the values of the chart that fit."""

    keyring: tuple[str, ...]
    values: tuple[str, ...] = ()
    kinds: str = ""


CASES = {
    "file": Case(("key: {file: /etc/sealyard/keys/root.key}",)),
    "passphrase": Case(("passphrase: {file: /etc/sealyard/keys/passphrase}",)),
    "vault": Case(
        (
            ID,
            "vault:",
            "  address: https://vault.example:8200",
            "  ca: /etc/sealyard/keys/vault-ca.pem",
            "  key: sealyard",
            "  kubernetes: {role: sealyard-shop, token: /var/run/secrets/sealyard/token}",
        ),
        ("keys.root.audience=sealyard", IN_CONFIG_MAP),
    ),
    "aws-kms": Case(
        (ID, "aws-kms: {key: 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab'}"),
        (IN_CONFIG_MAP,),
    ),
    "gcp-kms": Case(
        (
            ID,
            "gcp-kms:",
            "  key: projects/p/locations/l/keyRings/r/cryptoKeys/k",
            "  federation:",
            "    audience: //iam.googleapis.com/projects/1/locations/global/pools/p/providers/q",
            "    token: /var/run/secrets/sealyard/token",
        ),
        (
            "keys.root.audience=//iam.googleapis.com/projects/1/locations/global/pools/p/providers/q",
            IN_CONFIG_MAP,
        ),
    ),
    "azure-kv": Case(
        (ID, "azure-kv: {vault: 'https://sealyard-keys.vault.azure.net', key: keyring-root}"),
        (IN_CONFIG_MAP,),
    ),
    "pkcs11": Case(
        (
            ID,
            "pkcs11:",
            "  module: /opt/cloudhsm/lib/libcloudhsm_pkcs11.so",
            "  token: hsm1",
            "  serial: '42'",
            "  key: keyring-root",
            "  pin: {file: /etc/sealyard/keys/hsm.pin}",
        ),
        ("keys.root.module=HostPath/opt/cloudhsm", "keys.root.modulePath=/opt/cloudhsm"),
    ),
    "shares": Case(
        (ID, "shares: {needed: 2, of: 3, socket: /run/sealyard/unlock.sock}"), (IN_CONFIG_MAP,)
    ),
    "aws-kms and shares": Case(
        (
            ID,
            "roots:",
            "  - aws-kms: {key: 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab'}",
            "  - shares: {needed: 2, of: 3, socket: /run/sealyard/unlock.sock}",
        ),
        (IN_CONFIG_MAP,),
        "aws-kms,shares",
    ),
}


def options(name: str) -> list[str]:
    """Return the options of Helm for a case."""
    case = CASES[name]
    values = (f"keys.root.kinds={{{case.kinds or name}}}", *case.values)
    return [word for one in values for word in ("--set", one)]


def sealed_pod(render: Render, *words: str) -> Json:
    """Return a pod as the injector makes it with the arguments that the chart renders."""
    deployed = render(DEFAULT, *words).one("Deployment")["spec"]["template"]["spec"]
    known = {f"{one}=" for each in inject.params for one in each.opts}
    arguments = [
        one
        for one in deployed["containers"][0]["args"]
        if any(one.startswith(each) for each in known)
    ]
    done = CliRunner().invoke(inject, [*arguments, "-f", "-"], input=yaml.safe_dump(a_pod()))
    assert done.exit_code == 0, done.output
    pod: Json = yaml.safe_load(done.stdout)
    return pod


def test_there_is_a_case_for_every_kind() -> None:
    assert CASES.keys() >= ROOT_KINDS.keys()


@pytest.mark.parametrize("name", CASES)
def test_what_the_configuration_names_is_mounted_in_the_sidecar(
    tool: Tool, render: Render, tmp_path: Path, name: str
) -> None:
    text = SEALED.read_text()
    root = "key: {file: /etc/sealyard/keys/root.key}"
    assert root in text
    (tmp_path / "sealyard.yaml").write_text(text.replace(root, "\n    ".join(CASES[name].keyring)))
    roots = load(tmp_path / "sealyard.yaml", {}).settings.keys.keyring.roots
    pod = sealed_pod(render, *options(name))
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump({**pod, "metadata": {"name": "web"}}))
    folders = [f"{one['mountPath']}/" for one in container(pod, "sealyard").get("volumeMounts", [])]
    files = FILE.findall("\n".join(CASES[name].keyring))

    assert ",".join(one.kind for one in roots) == (CASES[name].kinds or name)
    assert all(any(file.startswith(one) for one in folders) for file in files), (files, folders)
    for version in VERSIONS[::4]:
        done = tool("kubernetes-validate", "--strict", "-k", version, tmp_path / "pod.yaml")
        assert done.code == 0, done.said + done.complained
        assert "WARN" not in done.said + done.complained


@pytest.mark.parametrize("helm", HELMS)
def test_helm_finds_no_fault_in_any(tool: Tool, helm: str) -> None:
    for name in CASES:
        done = tool(helm, "lint", "--strict", CHART, "-f", DEFAULT, *options(name))
        assert done.code == 0, done.said + done.complained


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((IN_CONFIG_MAP,), "a ConfigMap keeps no secret, and a root file has one"),
        (
            (IN_CONFIG_MAP, "keys.root.kinds={vault,passphrase}"),
            "a ConfigMap keeps no secret, and a root passphrase has one",
        ),
        (
            (IN_CONFIG_MAP, "keys.root.kinds={pkcs11}"),
            "a ConfigMap keeps no secret, and a root pkcs11 has one",
        ),
        (("keys.root.module=HostPath/opt/x",), "only a root pkcs11 has a module"),
        (("keys.root.kinds={kms}",), "kinds"),
        (("keys.root.audience=a b",), "audience"),
        (("keys.root.module=Image/x",), "module"),
        (("keys.root.modulePath=opt/x",), "modulePath"),
        (("keys=null",), "keys"),
    ],
)
def test_values_that_do_not_fit_are_refused(tool: Tool, values: Sequence[str], told: str) -> None:
    words = [word for one in values for word in ("--set", one)]
    for helm in HELMS:
        done = tool(helm, "template", "x", CHART, "-f", DEFAULT, *words)
        assert done.code != 0, values
        assert told in done.complained
