"""The archive of a release, laid out as a process finds it: a private folder, and what it says."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import FileRoot, PassphraseRoot, RootProvider

RELEASES: Final = ("0.1.0",)
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Archive:
    """A copy of it, whose files nobody else may read: version control keeps no such modes."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def made(self) -> int:
        """When it was made, in seconds since 1970."""
        return int(self.manifest["made"])

    @property
    def items(self) -> dict[str, Any]:
        """What is in it."""
        items: dict[str, Any] = self.manifest["items"]
        return items

    def json(self, file: str) -> Any:  # noqa: ANN401 - JSON
        """Return what a JSON file of it holds."""
        return json.loads((self.folder / file).read_text())

    def root(self, item: dict[str, Any]) -> RootProvider:
        """Return what opens a keyring of it."""
        secret = SecretReference(file=self.folder / item["opened by"])
        return FileRoot(secret) if item["root"] == "file" else PassphraseRoot(secret, {})

    def keyring(self) -> Keyring:
        """Return the keyring that most of it was written with."""
        (item,) = (one for one in self.items["keyrings"] if one["file"] == "keyring.jwe")
        return open_keyring(self.folder / item["file"], self.root(item))


def laid_out(release: str, folder: Path) -> Archive:
    """Copy the archive of a release into a new folder."""
    place = folder / release
    shutil.copytree(_HERE / release, place)
    for one in (place, *place.rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)
    return Archive(place, json.loads((place / "manifest.json").read_text()))


def unpacked(text: str) -> bytes:
    """Return the bytes of a base64 text."""
    return base64.b64decode(text)
