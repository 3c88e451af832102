"""The scenes of the drills under every kind of root that tests can have."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from proxy.config.settings import SecretReference
from proxy.keys.keyring.roots import PassphraseRoot
from tests.drills.scene import Scene
from tests.scenarios.root_scenes import SCENES, RootScene, make_keyring

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


KINDS: Final[Mapping[str, Callable[[Path], AbstractContextManager[RootScene]]]] = {
    **SCENES,
    "passphrase in the environment": variable_scene,
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
            pinned = f"id: {root.keyring.id}, {root.root}"
            config.write_text(config.read_text().replace("key: {file: root.key}", pinned))
        if (folder / "maker.token").exists():  # the operator may encrypt, and pods may not
            shutil.copy2(folder / "maker.token", scene.mine.folder / "token")
        scene.operator.follow("rm backup.jwe; sealyard keys export backup.jwe")
        yield root
