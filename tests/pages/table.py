"""Which example of which page is run by which test, and why a few are not run at all.

`tests/test_docs.py` holds that every block of the pages has a place here. A page under `SCENES`
in `scenes.py` is followed from its first command to its last, but for the blocks in `NOT_RUN`.
"""

from __future__ import annotations

import re
from typing import Final

from tests.pages.blocks import Block

BY_OTHERS: Final = {
    "docs/how-to/disasters.md": "tests/drills/page.py",
    "docs/how-to/kubernetes.md": "tests/chart/test_followed.py",
    "docs/how-to/open-elsewhere.md": "tests/interop/test_snippets.py",
    "docs/how-to/roots/vault.md": "tests/keys/keyring/roots/test_vault_page.py",
    "docs/reference/commands.md": "tests/cli/commands/test_reference.py",
}
"""Pages whose commands have a test of their own, which reads them there."""

PROGRAMS_RUN: Final = {
    ("README.md", "js"): "tests/interop/test_packages.py",
    ("README.md", "python"): "tests/interop/test_packages.py",
    ("docs/how-to/open-elsewhere.md", "go"): "tests/interop/test_snippets.py",
    ("docs/how-to/open-elsewhere.md", "java"): "tests/interop/test_snippets.py",
    ("docs/how-to/open-elsewhere.md", "js"): "tests/interop/test_snippets.py",
    ("docs/how-to/open-elsewhere.md", "python"): "tests/interop/test_snippets.py",
    ("docs/how-to/operate.md", "python"): "tests/pages/scenes.py",
    ("docs/how-to/participants.md", "js"): "tests/interop/test_packages.py",
    ("docs/how-to/participants.md", "python"): "tests/interop/test_packages.py",
}
"""The tests that run the programs of a page in one language."""

_CLOUD: Final = "an account in that cloud; its calls are run against a double or an emulator"
_CLUSTER: Final = "a cluster"
_DOCKER: Final = "Docker"
_INDEX: Final = "PyPI, where no release is yet; the wheel itself is installed by `./dev release`"
_ROOT: Final = "root and systemd: tests/release/test_systemd.py runs the unit under a real one"

NOT_RUN: Final = {
    ("docs/how-to/install.md", "pipx install sealyard"): _INDEX,
    ("docs/how-to/install.md", "python3 -m venv /opt/sealyard"): _INDEX,
    ("docs/how-to/install.md", "docker build --tag sealyard ."): _DOCKER,
    (
        "docs/how-to/install.md",
        "/opt/sealyard/bin/pip install --require-hashes --requirement requirements.lock",
    ): _INDEX,
    ("README.md", "pipx install 'sealyard[native]'"): _INDEX,
    (
        "docs/how-to/systemd.md",
        "useradd --system --home-dir /var/lib/sealyard sealyard",
    ): _ROOT,
    ("docs/how-to/systemd.md", "/opt/sealyard/bin/pip install --upgrade 'sealyard[native]'"): _ROOT,
    (
        "docs/how-to/kubernetes-platforms.md",
        "skopeo copy --all docker://REGISTRY/sealyard@sha256:… docker://MIRROR/sealyard",
    ): _CLUSTER,
    (
        "docs/how-to/kubernetes-platforms.md",
        "buildah bud --build-arg BASE=MIRROR/python:3.13-slim-trixie --volume /etc/pip.conf:/etc/pip.conf:ro \\",
    ): "buildah, and a registry",
    (
        "docs/how-to/kubernetes-platforms.md",
        "docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/sealyard --push .",
    ): _DOCKER,
    (
        "docs/how-to/kubernetes-platforms.md",
        "kubectl -n shop debug web-0 -it --image=REGISTRY/sealyard:debug --target=web -- sh",
    ): _CLUSTER,
    ("docs/how-to/mesh.md", "kubectl get pod web-1 -o yaml | sealyard doctor --pod -"): _CLUSTER,
    ("docs/testing-on-a-cluster.md", "kind create cluster"): _CLUSTER,
    (
        "docs/how-to/roots/aws-kms.md",
        "aws kms create-key --description \"root key of Sealyard's keyrings\""
        " --query KeyMetadata.Arn --output text",
    ): _CLOUD,
    ("docs/how-to/roots/pkcs11.md", "$ pip install 'sealyard[pkcs11]'"): _INDEX,
    (
        "docs/how-to/roots/pkcs11.md",
        "$ softhsm2-util --init-token --free --label sealyard",
    ): "pkcs11-tool of OpenSC; the token and its key are made by python-pkcs11",
    (
        "docs/how-to/roots/azure-key-vault.md",
        "$ az keyvault create --name sealyard-keys --resource-group RG --sku premium"
        " --enable-rbac-authorization --enable-purge-protection",
    ): _CLOUD,
    (
        "docs/how-to/roots/gcp-kms.md",
        "$ gcloud kms keyrings create sealyard --location europe-west3",
    ): _CLOUD,
    (
        "docs/how-to/roots/gcp-kms.md",
        "$ gcloud kms keys add-iam-policy-binding keyring-root --keyring sealyard"
        " --location europe-west3 \\",
    ): _CLOUD,
}
"""Blocks with commands that nothing runs, by page and first line, and what they would need."""
PAGES_NOT_RUN: Final = {
    "docs/how-to/migrate.md": "figures of a large database; tests/migration runs each verb",
    "docs/how-to/observe.md": "figures of real traffic; tests/scenarios/test_observe.py has others",
    "docs/how-to/status.md": "goes on until it is stopped; tests/telemetry/test_tap.py has its lines",
}
"""Pages whose commands nothing runs as they are written there, and what runs in their place."""
_OF_THE_CHECKOUT: Final = re.compile(r"(?:\w+=\S+ )*(?:\./dev |python -m bench)")


def of_the_checkout(block: Block) -> bool:
    """Return whether a block has commands for work on Sealyard alone: minutes to hours of tests.

    `test_commands.py` holds that `./dev` knows them.
    """
    return all(_OF_THE_CHECKOUT.match(line) for line in block.text.splitlines() if line.strip())
