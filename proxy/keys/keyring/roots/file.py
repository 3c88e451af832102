"""Root provider `file`: 32 random bytes as base64url text in a private file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from ....config.settings import SecretReference
from ....core.crypto import base64url
from ....core.crypto.secret import KEY_BYTES
from ....core.errors import KeyringError, OpenFailed
from ....process import hardening
from ... import private_file
from ..kek import RandomBytes
from ..root_secret import RootKey
from .provider import LocalRoot

_CHARS: Final = base64url.encoded_length(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class FileRoot(LocalRoot):
    """Fetches the root key from a file of mode 0600 or stricter."""

    kind: ClassVar[str] = "file"

    reference: SecretReference
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)

    def fetch(self) -> RootKey:
        """Return the root key; raise KeyringError for a missing, shared or malformed file."""
        path = self.reference.file
        if path is None:
            raise KeyringError("a root key is read from a file, never from the environment")
        line = private_file.read_secret_line(path, _CHARS)
        text = bytes(line)
        hardening.overwrite(line)
        try:
            material = base64url.decode(text)
        except OpenFailed:
            material = b""
        finally:
            hardening.overwrite_bytes(text)
        if len(material) != KEY_BYTES:
            raise KeyringError(
                f"{path}: not a root key, which is {_CHARS} characters of base64url;"
                " restore its copy"
            )
        return RootKey(material)


def create_root_file(path: Path, *, random: RandomBytes) -> None:
    """Write a new root key to `path`; raise KeyringError when `path` exists already."""
    with private_file.locked(path):
        if path.exists() or path.is_symlink():
            raise KeyringError(f"{path}: exists already")
        private_file.write(path, base64url.encode(random(KEY_BYTES)) + b"\n")
