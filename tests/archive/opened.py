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
from proxy.keys.keyring.roots import FileRoot, RootProvider
from proxy.keys.keyring.roots.passphrase import PassphraseRoot

_HERE: Final = Path(__file__).parent
RELEASES: Final = tuple(sorted(one.parent.name for one in _HERE.glob("*/manifest.json")))
"""Every release that has an archive, and `next`: what the code wrote before its release."""


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

    def keyring(self, file: str = "keyring.jwe") -> Keyring:
        """Return one of its keyrings: by default the one that most of it was written with."""
        (item,) = (one for one in self.items["keyrings"] if one["file"] == file)
        return open_keyring(self.folder / item["file"], self.root(item))


def laid_out(release: str, folder: Path) -> Archive:
    """Copy the archive of a release into a new folder."""
    place = folder / release
    shutil.copytree(_HERE / release, place)
    for one in (place, *place.rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)
    return Archive(place, json.loads((place / "manifest.json").read_text()))


def facts(kept: Keyring) -> dict[str, Any]:
    """Return all that a keyring holds, as a manifest says it: the keys of archives are of tests."""
    return {
        "keks": [
            {
                "id": one.id,
                "number": one.number,
                "created": one.created,
                "state": one.state,
                "key": one.key.reveal().hex(),
            }
            for one in kept.keks
        ],
        "index": [
            {
                "generation": one.generation,
                "since": one.since,
                "turned": one.turned,
                "key": one.key.reveal().hex(),
            }
            for one in kept.index
        ],
        "identity": kept.identity.reveal().hex(),
        "name key": kept.name_key.reveal().hex(),
        "record key": kept.record_key.reveal().hex(),
        "revocations": {one.name: one.not_before for one in kept.revocations},
        "id": kept.id,
        "generation": kept.generation,
        "digest": kept.digest,
        "retired": sorted(kept.retired),
        "pruned": kept.pruned,
    }


def unpacked(text: str) -> bytes:
    """Return the bytes of a base64 text."""
    return base64.b64decode(text)
