"""What every root that is a key service does; the tests of each kind call it with their server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.core.errors import KeyringError, RootUnavailable
from proxy.keys.keyring import keyring as keyrings
from proxy.keys.keyring.file import create_keyring, open_keyring, update_keyring
from proxy.keys.keyring.roots import ROOTS, RootProvider, Roots

CANARY = b"canary: 49 bytes of a root key, its head, its id!"
ID, OTHER_ID = "A" * 22, "B" * 22


def holds_the_contract(root: RootProvider, other: RootProvider, folder: Path) -> None:
    """Fail unless `root` behaves as a root must; `other` has another key of the same service."""
    assert root.kind == other.kind
    assert root.kind in ROOTS
    assert 1 <= len(root.key) <= 1024
    assert root.key.isprintable()
    assert root.key.isascii()
    assert root.key != other.key
    members = _wraps(root)
    for changed in _changed(members):
        with pytest.raises(KeyringError):
            root.unwrap(changed, ID)
    with pytest.raises(KeyringError):
        root.unwrap(members, OTHER_ID)
    with pytest.raises(KeyringError):
        other.unwrap(members, ID)
    _opens_a_keyring(root, other, folder)


def _wraps(root: RootProvider) -> dict[str, str | int]:
    members = dict(root.wrap(CANARY, ID))
    assert root.unwrap(members, ID) == CANARY
    assert not {"kind", "key", "made"} & set(members)
    for value in members.values():
        assert type(value) is int or (type(value) is str and value.isprintable())
        assert len(str(value)) <= 4096
    assert "canary" not in str(members)
    return members


def _changed(members: dict[str, str | int]) -> list[dict[str, str | int]]:
    found: list[dict[str, str | int]] = [{}, {**members, "more": 1}]
    for name, value in members.items():
        found.append({**members, name: 0})
        found.append({one: members[one] for one in members if one != name})
        if isinstance(value, str):
            middle = len(value) // 2
            other = "B" if value[middle] != "B" else "C"
            found.append({**members, name: value[:middle] + other + value[middle + 1 :]})
    return found


def _opens_a_keyring(root: RootProvider, other: RootProvider, folder: Path) -> None:
    keyring, path = keyrings.create("k", now=1, random=os.urandom), folder / "service.json"
    create_keyring(path, keyring, root)
    with pytest.raises(KeyringError, match="write `id: "):
        open_keyring(path, root)  # without the pin
    mine, theirs = Roots((root,), keyring.id), Roots((other,), keyring.id)
    added = update_keyring(path, mine, lambda one: one.add("k2", now=2, random=os.urandom))
    assert open_keyring(path, mine) == added
    with pytest.raises(KeyringError, match="no wrapping for the configured root"):
        open_keyring(path, theirs)
    # What the file names is compared and never used: renamed to the other key, it does not open.
    path.write_text(path.read_text().replace(root.key, other.key))
    with pytest.raises(RootUnavailable):
        open_keyring(path, theirs)
