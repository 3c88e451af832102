"""The keyring's file: opened with a root secret, created once, changed under a lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..core.errors import KeyringError
from . import envelope, jwk_set, private_file
from .keyring import Keyring
from .roots.provider import Passphrase, RootKey, RootProvider

# 256 KEKs and 10,000 revocations, in base64url.
MAX_FILE_BYTES: Final = 640 * 1024


def open_keyring(path: Path, root: RootProvider) -> Keyring:
    """Return the keyring of the file; takes about 0.15 s with a passphrase, all of it CPU.

    Raises KeyringError, naming the path, when file, root secret or content is not as it must be.
    """
    return _read(path, root.fetch())


async def open_keyring_async(path: Path, root: RootProvider) -> Keyring:
    """Do as `open_keyring` in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(open_keyring, path, root)


def create_keyring(path: Path, keyring: Keyring, root: RootProvider) -> None:
    """Write a new file; raise KeyringError when something stands at `path` already."""
    content = _encrypt(keyring, root.fetch())
    with private_file.locked(path):
        if path.exists() or path.is_symlink():
            raise KeyringError(f"{path}: exists already and is not overwritten")
        private_file.write(path, content)


def update_keyring(path: Path, root: RootProvider, change: Callable[[Keyring], Keyring]) -> Keyring:
    """Replace the file's keyring by what `change` makes of it, and return that.

    Reading, changing and writing happen under one lock, so concurrent updates lose nothing.
    Whatever `change` raises leaves the file as it was.
    """
    secret = root.fetch()
    with private_file.locked(path):
        changed = change(_read(path, secret))
        private_file.write(path, _encrypt(changed, secret))
    return changed


def _read(path: Path, secret: RootKey | Passphrase) -> Keyring:
    text = private_file.read(path, MAX_FILE_BYTES).strip()
    try:
        return jwk_set.decode(envelope.decrypt(text, secret))
    except KeyringError as error:
        reason = error.reason
    raise KeyringError(f"{path}: {reason}")


def _encrypt(keyring: Keyring, secret: RootKey | Passphrase) -> bytes:
    return envelope.encrypt(jwk_set.encode(keyring), secret) + b"\n"
