"""The scenes of the drills under every kind of root that tests can have."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from proxy.cli.commands.keys_unlock import _asked as asked
from proxy.cli.support.console import Failure
from proxy.config.settings import SecretReference
from proxy.config.settings.roots.azure_kv import AzureKvOptions
from proxy.config.settings.roots.gcp_kms import GcpFederation, GcpKmsOptions
from proxy.keys.keyring.roots import FileRoot, PassphraseRoot, create_root_file
from proxy.keys.keyring.roots.azure_kv import AzureKvRoot
from proxy.keys.keyring.roots.gcp_kms import GcpKmsRoot
from tests.drills.scene import Scene
from tests.keys.keyring.roots.json_service import served
from tests.keys.keyring.roots.test_azure_kv import AUDIENCE as AZURE_AUDIENCE
from tests.keys.keyring.roots.test_azure_kv import KeyVault
from tests.keys.keyring.roots.test_gcp_kms import AUDIENCE as GCP_AUDIENCE
from tests.keys.keyring.roots.test_gcp_kms import RING, CloudKms
from tests.scenarios.root_scenes import SCENES, RootScene, make_keyring
from tests.scenarios.test_shares import made

PRINTED: Final = "printed.txt"
"""What commands of an operator with shares have printed."""
VARIABLE: Final = "SEALYARD_PASSPHRASE"


@contextmanager
def variable_scene(folder: Path) -> Iterator[RootScene]:
    """A passphrase in the environment, which a process overwrites once it has the keyring."""
    text = os.urandom(20).hex()
    variables = {VARIABLE: text}
    root = PassphraseRoot(SecretReference(env=VARIABLE), variables)
    configured = f"passphrase: {{env: {VARIABLE}}}"
    yield RootScene(
        folder, make_keyring(folder, root), root, configured, (text.encode(),), variables
    )


@contextmanager
def gcp_scene(folder: Path) -> Iterator[RootScene]:
    """Cloud KMS by workload identity federation: a double of ours."""
    (folder / "platform.token").write_text("a.b.c")
    kms = CloudKms()
    with served(kms.answer) as (kms.url, kms.asked):
        federation = GcpFederation(GCP_AUDIENCE, str(folder / "platform.token"))
        options = GcpKmsOptions(f"{RING}/one", federation, kms.url, kms.url, kms.url)
        root = GcpKmsRoot(options, {})
        configured = (
            f"gcp-kms: {{key: {RING}/one, endpoint: '{kms.url}', sts: '{kms.url}',"
            f" iam: '{kms.url}',"
            f" federation: {{audience: '{GCP_AUDIENCE}', token: {folder}/platform.token}}}}"
        )
        yield RootScene(folder, make_keyring(folder, root), root, configured, (kms.token.encode(),))


@contextmanager
def azure_scene(folder: Path) -> Iterator[RootScene]:
    """Key Vault by workload identity: a double of ours."""
    (folder / "platform.token").write_text("a.b.c")
    variables = {
        "AZURE_CLIENT_ID": "client",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_FEDERATED_TOKEN_FILE": str(folder / "platform.token"),
    }
    vault = KeyVault()
    with served(vault.answer) as (vault.url, vault.asked):
        options = AzureKvOptions(vault.url, "one", audience=AZURE_AUDIENCE, authority=vault.url)
        root = AzureKvRoot(options, variables)
        configured = (
            f"azure-kv: {{vault: '{vault.url}', key: one, audience: '{AZURE_AUDIENCE}',"
            f" authority: '{vault.url}'}}"
        )
        made = make_keyring(folder, root)
        yield RootScene(folder, made, root, configured, (vault.token.encode(),), variables)


def printed(file: Path) -> list[str]:
    """Return the shares of the last split that is printed in a file; none where there is none."""
    text = file.read_text() if file.exists() else ""
    pages = [one for one in text.split("share ") if " of 3; " in one][-3:]
    return ["\n".join(one.splitlines()[2:6]) for one in pages]


@contextmanager
def shares_scene(folder: Path) -> Iterator[RootScene]:
    """Shares of three operators, two of whom open; who changes the keyring has a root key, too.

    Wherever a process waits below the parent of the folder, two of them hand in: of the last split
    that a command of the operator has printed.
    """
    create_root_file(folder / "root.key", random=os.urandom)
    key = FileRoot(SecretReference(file=folder / "root.key"))
    keyring, shares = made(folder, key)
    configured = "shares: {needed: 2, of: 3, socket: unlock.sock}"
    values = tuple(one.value.reveal().hex().encode() for one in shares)
    ended = threading.Event()

    def hand_in() -> None:
        while not ended.wait(0.2):
            texts = printed(folder.parent / "operator" / PRINTED) or [one.text() for one in shares]
            for path in folder.parent.glob("*/unlock.sock"):
                with suppress(Failure):  # it has opened meanwhile
                    seen = asked(path, do="look")
                    for text in texts[seen["held"] : seen["needed"]]:
                        asked(path, do="hand-in", attempt=seen["attempt"], share=text)

    operators = threading.Thread(target=hand_in)
    operators.start()
    try:
        yield RootScene(folder, keyring, key, configured, values)
    finally:
        ended.set()
        operators.join()


KINDS: Final[Mapping[str, Callable[[Path], AbstractContextManager[RootScene]]]] = {
    **SCENES,
    "passphrase in the environment": variable_scene,
    "gcp-kms": gcp_scene,
    "azure-kv": azure_scene,
    "shares": shares_scene,
}
EVERY_KIND: Final = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            kind,
            marks=pytest.mark.skipif(
                kind == "pkcs11" and sys.platform != "linux", reason="SoftHSM is built for Linux"
            ),
        )
        for kind in KINDS
    ],
)


@asynccontextmanager
async def under(
    scene: Scene, kind: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> AsyncIterator[RootScene]:
    """Do as `laid_out`, beside a scene that is asynchronous."""
    with laid_out(scene, kind, monkeypatch, folder) as root:
        yield root


@contextmanager
def laid_out(
    scene: Scene, kind: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Iterator[RootScene]:
    """Give the operator and the pods of a scene a keyring under this kind of root, and a backup.

    What opens it is in the environment of all of them, or in files of their folders.
    """
    folder.mkdir(mode=0o700)
    with KINDS[kind](folder) as root:
        for name, value in root.variables.items():
            monkeypatch.setenv(name, value)
        for place in (scene.mine, *scene.places):
            (place.folder / "root.key").unlink()
            for one in folder.iterdir():
                if one.is_file():
                    shutil.copy2(one, place.folder)
            config = place.folder / "sealyard.yaml"
            named = root.root
            if place is scene.mine and kind == "shares":
                named = f"roots: [{{key: {{file: root.key}}}}, {{{root.root}}}]"
                scene.operator.print_into(PRINTED)
            elif kind == "shares":
                (place.folder / "root.key").unlink()
            pinned = f"id: {root.keyring.id}, {named}"
            config.write_text(config.read_text().replace("key: {file: root.key}", pinned))
        if (folder / "maker.token").exists():  # the operator may encrypt, and pods may not
            shutil.copy2(folder / "maker.token", scene.mine.folder / "token")
        scene.operator.follow("rm backup.jwe; sealyard keys export backup.jwe")
        yield root
