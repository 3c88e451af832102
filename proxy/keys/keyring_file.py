"""The keyring's file: opened with a root, created once, changed under a lock.

A keyring in the old form has the file of version 0.1.0, one JWE under the root's secret; any other
has the form of `keyring_form`. A change leaves root key and wrappings as they are.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..core.crypto.secret import KEY_BYTES
from ..core.errors import KeyringError
from . import envelope, jwk_set, keyring_form, private_file, wrappings
from .keyring import Keyring
from .roots.provider import Passphrase, RootKey, RootProvider
from .wrappings import Wrapping

# 256 KEKs, 10,000 revocations and 16 wrappings, in base64url.
MAX_FILE_BYTES: Final = 768 * 1024


@dataclass(frozen=True, slots=True)
class _Lock:
    """What a file is locked with: its root key, and who else holds that."""

    root_key: RootKey
    wrappings: tuple[Wrapping, ...]


class _Asked:
    """A root that is asked for its secret once, however often it is needed for one change."""

    def __init__(self, root: RootProvider) -> None:
        self._root = root
        self._secret: RootKey | Passphrase | None = None

    @property
    def kind(self) -> str:
        return self._root.kind

    def fetch(self) -> RootKey | Passphrase:
        if self._secret is None:
            self._secret = self._root.fetch()
        return self._secret


def open_keyring(path: Path, root: RootProvider) -> Keyring:
    """Return the keyring of the file; takes about 0.15 s with a passphrase, all of it CPU.

    Raises KeyringError, naming the path, when file, root secret or content is not as it must be.
    """
    return _read(path, root)[0]


async def open_keyring_async(path: Path, root: RootProvider) -> Keyring:
    """Do as `open_keyring` in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(open_keyring, path, root)


def create_keyring(path: Path, keyring: Keyring, root: RootProvider) -> None:
    """Write a new file; raise KeyringError when something stands at `path` already."""
    content = _content(keyring, root, None)
    with private_file.locked(path):
        if path.exists() or path.is_symlink():
            raise KeyringError(f"{path}: exists already and is not overwritten")
        private_file.write(path, content)


def update_keyring(path: Path, root: RootProvider, change: Callable[[Keyring], Keyring]) -> Keyring:
    """Replace the file's keyring by what `change` makes of it, and return that.

    Reading, changing and writing happen under one lock, so concurrent updates lose nothing.
    Whatever `change` raises leaves the file as it was.
    """
    root = _Asked(root)
    with private_file.locked(path):
        before, lock = _read(path, root)
        changed = change(before)
        private_file.write(path, _content(changed, root, lock))
    return changed


def _read(path: Path, root: RootProvider) -> tuple[Keyring, _Lock | None]:
    text = private_file.read(path, MAX_FILE_BYTES).strip()
    try:
        return _opened(text, root)
    except KeyringError as error:
        reason = error.reason
    raise KeyringError(f"{path}: {reason}")


def _opened(text: bytes, root: RootProvider) -> tuple[Keyring, _Lock | None]:
    if not text:
        raise KeyringError("the file is empty")
    if keyring_form.is_form(text):
        form = keyring_form.parse(text)
        root_key = wrappings.unwrap(form.wrappings, form.id, root)
        return form.opened(root_key), _Lock(root_key, form.wrappings)
    keyring = jwk_set.decode(envelope.decrypt(text, root.fetch()))
    if keyring.joined_since is not None:
        raise KeyringError("a keyring of the new form stands in a file of the old one")
    return keyring, None


def _content(keyring: Keyring, root: RootProvider, lock: _Lock | None) -> bytes:
    if keyring.joined_since is None:
        return envelope.encrypt(jwk_set.encode(keyring), root.fetch()) + b"\n"
    if lock is None:
        root_key = RootKey(os.urandom(KEY_BYTES))
        made = wrappings.wrap(root_key, keyring.id, root, now=int(time.time()))
        lock = _Lock(root_key, (made,))
    return keyring_form.compose(keyring, lock.root_key, lock.wrappings)
