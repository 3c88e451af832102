"""The scenes of the drills under every kind of root that tests can have."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from proxy.cli.commands.keys_unlock import _asked as asked
from proxy.cli.support.console import Failure
from proxy.config.settings import SecretReference
from proxy.config.settings.root_kinds import ROOT_NAMES
from proxy.config.settings.roots.azure_kv import AzureKvOptions
from proxy.config.settings.roots.gcp_kms import GcpFederation, GcpKmsOptions
from proxy.config.settings.roots.shares import SharesOptions
from proxy.keys import private_file
from proxy.keys.keyring.roots import FileRoot, create_root_file
from proxy.keys.keyring.roots.azure_kv import AzureKvRoot
from proxy.keys.keyring.roots.gcp_kms import GcpKmsRoot
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.keys.keyring.roots.shares import Collection, SharesRoot
from tests.drills.scene import Scene
from tests.keys.keyring.roots.json_service import Refused, served
from tests.keys.keyring.roots.test_azure_kv import AUDIENCE as AZURE_AUDIENCE
from tests.keys.keyring.roots.test_azure_kv import KeyVault
from tests.keys.keyring.roots.test_gcp_kms import AUDIENCE as GCP_AUDIENCE
from tests.keys.keyring.roots.test_gcp_kms import RING, CloudKms
from tests.redis.pods import Place
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


def refusing(
    double: CloudKms | KeyVault, gone: Refused
) -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    """Return what lets a double have no key, be away, and be back."""
    refuse = partial(setattr, double, "refusal")
    return partial(refuse, gone), partial(refuse, Refused(503, {})), partial(refuse, None)


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
        secrets, made = (kms.token.encode(),), make_keyring(folder, root)
        gone = Refused(404, {"error": {"code": 404, "status": "NOT_FOUND"}})
        yield RootScene(folder, made, root, configured, secrets, {}, *refusing(kms, gone))


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
        secrets, made = (vault.token.encode(),), make_keyring(folder, root)
        handles = refusing(vault, Refused(404, {"error": {"code": "KeyNotFound"}}))
        yield RootScene(folder, made, root, configured, secrets, variables, *handles)


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
    keyring, split = made(folder, key)
    configured = "shares: {needed: 2, of: 3, socket: unlock.sock}"
    values = tuple(one.value.reveal().hex().encode() for one in split)
    ended = threading.Event()

    def hand_in() -> None:
        while not ended.wait(0.2):
            texts = printed(folder.parent / "operator" / PRINTED) or [one.text() for one in split]
            for path in folder.parent.glob("*/unlock.sock"):
                with suppress(Failure):  # it has opened meanwhile
                    seen = asked(path, do="look")
                    for text in texts[seen["held"] : seen["needed"]]:
                        asked(path, do="hand-in", attempt=seen["attempt"], share=text)

    operators = threading.Thread(target=hand_in)
    operators.start()
    try:
        options = SharesOptions(2, 3, str(folder / "unlock.sock"))
        typed = iter([one.text() for one in split])
        thief = SharesRoot(options, {}, Collection(), ask=lambda _: next(typed))
        yield RootScene(folder, keyring, key, configured, values, withdraw=ended.set, leaked=thief)
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


def every_kind(*but: str) -> pytest.MarkDecorator:
    """Let a drill run under each kind of root, `but` those that `WHY_NOT` in page.py excuses."""
    softhsm = pytest.mark.skipif(sys.platform != "linux", reason="SoftHSM is built for Linux")
    kinds = [one for one in KINDS if one not in but]
    return pytest.mark.parametrize(
        "kind", [pytest.param(one, marks=softhsm) if one == "pkcs11" else one for one in kinds]
    )


EVERY_KIND: Final = every_kind()


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
        told = (one for place in scene.places for one in place.folder.iterdir())
        for one in (one for one in told if one.suffix in {".log", ".audit"}):
            assert not any(secret in one.read_bytes() for secret in root.secrets), one


def replaced(place: Place, before: str, after: str) -> None:
    """Replace a text in a place's configuration."""
    config = place.folder / "sealyard.yaml"
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))


def name_of(root: str) -> str:
    """Return the product's name of the kind of a root, as a configuration has it."""
    return ROOT_NAMES[root.partition(":")[0].lstrip("{")]


def lose(scene: Scene, root: RootScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what opens the keyring: the key where it is, or the secret everywhere."""
    if root.withdraw is not None:
        root.withdraw()
        return
    for name in root.variables:
        monkeypatch.delenv(name)
    for one in root.folder.iterdir():
        if one.is_file() and one.name != "keyring.jwe":
            for place in (scene.mine, *scene.places):
                (place.folder / one.name).unlink()


def with_another(scene: Scene, kind: str, root: RootScene, then: str = "") -> tuple[str, str]:
    """Let a second root open the keyring, too; return both as the configuration has them.

    It is a root key, or beside such a one a passphrase; `then` is what follows both there.
    """
    folder = scene.mine.folder
    one, other, file = f"{{{root.root}}}", "{key: {file: root.key}}", folder / "root.key"
    if kind == "file":
        other, file = "{passphrase: {file: passphrase}}", folder / "passphrase"
        private_file.write(file, b"words that nobody else knows\n")
    elif kind != "shares":  # whose operator has a root key already
        create_root_file(file, random=os.urandom)
    both = f"roots: [{one}, {other}]{then}"
    before = f"roots: [{other}, {one}]" if kind == "shares" else root.root
    replaced(scene.mine, before, both)
    if kind != "shares":
        scene.operator.follow("sealyard keys roots add; sealyard keys roots check")
    scene.operator.follow(f"distribute {file.name}; distribute keyring.jwe")
    for place in scene.places:
        replaced(place, root.root, both)
    return one, other
