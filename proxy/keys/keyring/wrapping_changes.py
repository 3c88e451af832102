"""Changes of the wrappings of a keyring's file: added, removed, made anew, checked.

The opened keyring and what is about to change are handed to `note` before the file changes; what it
raises leaves the file as it was. Times are in seconds since 1970.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...core.crypto.secret import KEY_BYTES
from ...core.errors import KeyringError
from ..policy import MOST_WRAPPINGS
from . import file
from .file import KeyringLock, Locked
from .keyring import Keyring
from .root_secret import RootKey
from .roots import provider
from .roots.opening import RootRefusal, Roots, name_of
from .roots.provider import RootName, RootProvider, Wrapping

Note = Callable[[Keyring, tuple[RootName, ...]], None]


def add(path: Path, roots: Roots, note: Note, *, now: int) -> tuple[RootName, ...]:
    """Wrap the root key by each root that has no wrapping yet, and return these.

    One of the roots must open the file. A new wrapping is unwrapped before it is written: the right
    to encrypt alone would leave a wrapping that opens nothing.
    """
    form = file.read_form(path)
    present = {one.root for one in form.wrappings}
    missing = tuple(one for one in roots.listed if name_of(one) not in present)
    added = tuple(map(name_of, missing))
    if not missing:
        raise KeyringError("each configured root has a wrapping already")

    def change(keyring: Keyring, lock: KeyringLock) -> Locked:
        made = _wrapped(lock.root_key, keyring, missing, now)
        listed = lock.wrappings + made
        if len(listed) > MOST_WRAPPINGS or len({one.root for one in listed}) < len(listed):
            raise KeyringError(f"a keyring has at most {MOST_WRAPPINGS} roots, each once")
        keyring.require_signed()
        changed = keyring.after(0)
        note(changed, added)
        return changed, KeyringLock(lock.root_key, listed)

    file.update_lock(path, roots.among(form.wrappings), change)
    return added


def remove(path: Path, roots: Roots, gone: RootName, note: Note, *, now: int) -> Keyring:
    """Make a new root key that the removed root does not open, and return the keyring.

    Each root that stays must be configured, since it wraps the new root key. The generation rises,
    so that an older copy of the file, which the removed root opens, is seen to be older. Raises
    KeyringError for the last wrapping, and for a root that is still configured: processes with that
    configuration would refuse the file.
    """
    form = file.read_form(path)
    present = [one.root for one in form.wrappings]
    stay = [one for one in present if one != gone]
    if gone not in present:
        raise KeyringError(
            f"the keyring has no wrapping for {gone}; it has: {', '.join(map(str, present))}"
        )
    if not stay:
        raise KeyringError(
            f"{gone} is the last root, without which nothing opens the keyring; add another first"
        )
    if gone in map(name_of, roots.listed):
        raise KeyringError(
            f"{gone} is still configured: first take it out of keys.keyring, everywhere"
        )
    return _under_new_root_key(path, roots, stay, lambda keyring: note(keyring, (gone,)), now)


def rewrap(
    path: Path, roots: Roots, note: Note, *, now: int
) -> tuple[Keyring, tuple[RootName, ...]]:
    """Make a new root key, wrapped by each root of the file; return the keyring and these roots.

    What opens an older copy of the file (shares of an earlier split, a former passphrase, the root
    key itself) opens nothing of the new one. A key service uses the latest version of its key, and
    a root with a new secret that one, where another root opens the file. Each root of the file must
    be configured. The generation rises, as in `remove`.
    """
    renewed = tuple(one.root for one in file.read_form(path).wrappings)
    keyring = _under_new_root_key(path, roots, renewed, lambda keyring: note(keyring, renewed), now)
    return keyring, renewed


def _under_new_root_key(
    path: Path,
    roots: Roots,
    stay: Sequence[RootName],
    note: Callable[[Keyring], None],
    now: int,
) -> Keyring:
    """Encrypt the file under a new root key that the roots `stay` wrap; return the keyring."""
    opening = roots.among(file.read_form(path).wrappings)
    by_name = {name_of(one): one for one in roots.listed}
    unknown = [one for one in stay if one not in by_name]
    if unknown:
        raise KeyringError(f"{unknown[0]} is not configured, so it cannot wrap the new root key")

    def change(keyring: Keyring, _: KeyringLock) -> Locked:
        keyring.require_signed()
        root_key = RootKey(os.urandom(KEY_BYTES))
        made = _wrapped(root_key, keyring, tuple(by_name[one] for one in stay), now)
        changed = keyring.after(0)
        note(changed)
        return changed, KeyringLock(root_key, made)

    return file.update_lock(path, opening, change)


def check(path: Path, roots: Roots) -> tuple[RootRefusal, ...]:
    """Return each configured root, and why it does not open the file; "" where it does."""
    return tuple(
        RootRefusal(name_of(one), _refusal(path, replace(roots, listed=(one,))))
        for one in roots.listed
    )


def _refusal(path: Path, only: Roots) -> str:
    try:
        file.open_keyring(path, only)
    except KeyringError as error:
        return error.reason.removeprefix(f"{path}: ")
    return ""


def _wrapped(
    root_key: RootKey, keyring: Keyring, listed: tuple[RootProvider, ...], now: int
) -> tuple[Wrapping, ...]:
    made = []
    for root in listed:
        wrapping = provider.wrap(root_key, keyring, root, now=now)
        if provider.unwrap(wrapping, keyring.id, root) != root_key:
            raise KeyringError(f"{name_of(root)} does not give back what it wrapped")
        made.append(wrapping)
    return tuple(made)
