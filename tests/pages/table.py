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
    "docs/how-to/observe.md": "tests/scenarios/test_ladder.py",
    "docs/how-to/open-elsewhere.md": "tests/interop/test_snippets.py",
    "docs/how-to/roots/vault.md": "tests/keys/keyring/roots/test_vault_page.py",
    "docs/how-to/search-before-backends.md": "tests/acceptance/searched.py",
    "docs/how-to/who-sees-what.md": "tests/cli/commands/test_callers.py",
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
    ("docs/how-to/operate.md", "promql"): "tests/pages/scenes_of_tasks.py",
    ("docs/how-to/operate.md", "python"): "tests/pages/scenes.py",
    ("docs/how-to/participants.md", "js"): "tests/interop/test_packages.py",
    ("docs/how-to/participants.md", "python"): "tests/interop/test_packages.py",
}
"""The tests that run the programs of a page in one language."""

_CLOUD: Final = "an account in that cloud; its calls are run against a double or an emulator"
_CLUSTER: Final = "a cluster"
_DOCKER: Final = "Docker"
_INDEX: Final = "packages from PyPI; the wheel itself is installed by `./dev release`"
_OPENSC: Final = "pkcs11-tool of OpenSC; python-pkcs11 makes token and key here"
_PACKAGE: Final = "a package of a sender's sidecar: tests/scenarios/test_package_keys.py has one"
_ROOT: Final = "root and systemd: tests/release/test_systemd.py runs the unit under a real one"

NOT_RUN: Final = {
    ("README.md", "pipx install"): _INDEX,
    ("docs/how-to/install.md", "pipx install"): _INDEX,
    ("docs/how-to/install.md", "python3 -m venv /opt/sealyard"): _INDEX,
    ("docs/how-to/install.md", "docker build"): _DOCKER,
    ("docs/how-to/install.md", "/opt/sealyard/bin/pip install"): _INDEX,
    ("docs/how-to/systemd.md", "useradd"): _ROOT,
    ("docs/how-to/systemd.md", "/opt/sealyard/bin/pip install"): _ROOT,
    ("docs/how-to/kubernetes-platforms.md", "skopeo"): _CLUSTER,
    ("docs/how-to/kubernetes-platforms.md", "buildah bud"): "buildah, and a registry",
    ("docs/how-to/kubernetes-platforms.md", "docker buildx"): _DOCKER,
    ("docs/how-to/kubernetes-platforms.md", "kubectl"): _CLUSTER,
    ("docs/how-to/mesh.md", "helm upgrade"): f"{_CLUSTER}; tests/chart/test_policy.py renders it",
    ("docs/how-to/mesh.md", "kubectl"): _CLUSTER,
    ("docs/testing-on-a-cluster.md", "kind create cluster"): _CLUSTER,
    ("docs/how-to/participants.md", "sealyard sessions package"): _PACKAGE,
    ("docs/how-to/roots/aws-kms.md", "aws kms"): _CLOUD,
    ("docs/how-to/roots/azure-key-vault.md", "$ az keyvault"): _CLOUD,
    ("docs/how-to/roots/gcp-kms.md", "$ gcloud kms keyrings"): _CLOUD,
    ("docs/how-to/roots/gcp-kms.md", "$ gcloud kms keys"): _CLOUD,
    ("docs/how-to/roots/pkcs11.md", "$ pip install"): _INDEX,
    ("docs/how-to/roots/pkcs11.md", "$ softhsm2-util"): _OPENSC,
}
"""Blocks with commands that nothing runs, by page and beginning, and what they would need."""

PAGES_NOT_RUN: Final = {
    "docs/how-to/migrate.md": (
        "figures of a large database; tests/migration/test_clinic_page.py runs the clinic, others"
        " beside it each verb, tests/acceptance/test_migrate_kinto.py the part on Kinto"
    ),
    "docs/how-to/status.md": (
        "figures of a service with traffic, and what goes on until it is stopped;"
        " tests/cli/commands/test_status.py runs both"
    ),
}
"""Pages whose commands nothing runs as they are written there, and what runs in their place."""
_OF_THE_CHECKOUT: Final = re.compile(r"(?:\w+=\S+ )*(?:\./dev |python -m tools.bench)")


def is_not_run(block: Block) -> bool:
    """Return whether a block is listed as one that nothing runs."""
    listed = ((page, begin) for page, begin in NOT_RUN if page == block.page)
    return any(block.text.startswith(begin) for _, begin in listed)


def of_the_checkout(block: Block) -> bool:
    """Return whether a block has commands for work on Sealyard alone: minutes to hours of tests.

    `test_commands.py` holds that `./dev` knows them.
    """
    return all(_OF_THE_CHECKOUT.match(line) for line in block.text.splitlines() if line.strip())
