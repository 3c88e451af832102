"""What every kind of root does, whatever holds its secret. A new kind adds one line to SUBJECTS."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.core.errors import KeyringError
from proxy.keys import private_file
from proxy.keys.keyring import keyring as keyrings
from proxy.keys.keyring.file import create_keyring, open_keyring, update_keyring
from proxy.keys.keyring.root_secret import RootKey
from proxy.keys.keyring.roots import ROOTS, RootProvider, create_root_file, provider

CANARY = b"canary: 43 bytes of a root key and its head"
KEYRING = keyrings.create("k", now=1, random=os.urandom)


def _key_file(path: Path) -> SecretReference:
    create_root_file(path, random=os.urandom)
    return SecretReference(file=path)


def _passphrase_file(path: Path) -> SecretReference:
    private_file.write(path, os.urandom(20).hex().encode())
    return SecretReference(file=path)


SUBJECTS: Mapping[str, Callable[[Path], object]] = {
    "file": _key_file,
    "passphrase": _passphrase_file,
}
"""The options of a root of each kind with a secret of its own; without its file there is none."""

SERVICES = frozenset({"aws-kms", "azure-kv", "gcp-kms", "pkcs11", "shares", "vault"})
"""Kinds that need a server or a token: their tests call `holds_the_contract` of root_service.py.
Shares need operators, and have tests of their own."""


@pytest.fixture(params=sorted(ROOTS.keys() - SERVICES))
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of root whose secret is on this machine."""
    name: str = request.param
    assert name in SUBJECTS, f"give `{name}` a line in SUBJECTS"
    return name


def a_root(kind: str, path: Path) -> RootProvider:
    """Return a root with a secret of its own."""
    return ROOTS[kind](SUBJECTS[kind](path), {})


@pytest.fixture
def root(kind: str, tmp_path: Path) -> RootProvider:
    """A root of each kind."""
    return a_root(kind, tmp_path / "secret")


def test_a_root_is_of_the_kind_that_it_is_registered_as(kind: str, root: RootProvider) -> None:
    assert root.kind == kind


def test_what_is_wrapped_unwraps_again(root: RootProvider) -> None:
    assert root.unwrap(root.wrap(CANARY, KEYRING.id), KEYRING.id) == CANARY


def test_a_wrapping_fits_into_the_file_and_shows_nothing(root: RootProvider) -> None:
    members = root.wrap(CANARY, KEYRING.id)

    assert not {"kind", "key", "made"} & set(members)
    for value in members.values():
        assert type(value) is int or (type(value) is str and value.isprintable())
        assert len(str(value)) <= 4096
    assert "canary" not in str(members)


def test_no_two_wrappings_are_the_same(root: RootProvider) -> None:
    assert root.wrap(CANARY, KEYRING.id) != root.wrap(CANARY, KEYRING.id)


def test_another_secret_does_not_unwrap(kind: str, root: RootProvider, tmp_path: Path) -> None:
    with pytest.raises(KeyringError):
        a_root(kind, tmp_path / "other").unwrap(root.wrap(CANARY, KEYRING.id), KEYRING.id)


def test_a_changed_wrapping_does_not_unwrap(root: RootProvider) -> None:
    members = root.wrap(CANARY, KEYRING.id)
    texts = [name for name, value in members.items() if isinstance(value, str)]

    assert texts
    for name in texts:
        text = str(members[name])
        for changed in (
            text[:-1],
            text + "A",
            ("B" if text[-8] == "A" else "A").join((text[:-8], text[-7:])),
        ):
            with pytest.raises(KeyringError):
                root.unwrap({**members, name: changed}, KEYRING.id)


def test_missing_and_unknown_members_are_refused(root: RootProvider) -> None:
    members = root.wrap(CANARY, KEYRING.id)
    for changed in ({}, {**members, "more": 1}, *({**members, name: 0} for name in members)):
        with pytest.raises(KeyringError):
            root.unwrap(changed, KEYRING.id)


def test_without_its_secret_a_root_neither_wraps_nor_unwraps(
    root: RootProvider, tmp_path: Path
) -> None:
    members = root.wrap(CANARY, KEYRING.id)
    secret = (tmp_path / "secret").read_text().strip()
    (tmp_path / "secret").unlink()

    for attempt in (
        lambda: root.wrap(CANARY, KEYRING.id),
        lambda: root.unwrap(members, KEYRING.id),
    ):
        with pytest.raises(KeyringError) as refused:
            attempt()
        assert secret not in str(refused.value)
        assert secret not in repr(root)


def test_a_keyring_is_created_changed_and_opened(root: RootProvider, tmp_path: Path) -> None:
    path = tmp_path / "keyring.jwe"
    create_keyring(path, KEYRING, root)
    added = update_keyring(path, root, lambda one: one.add("k2", now=2, random=os.urandom))

    assert open_keyring(path, root) == added


def test_a_wrapping_of_another_keyring_is_refused(root: RootProvider) -> None:
    other = keyrings.create("k", now=1, random=os.urandom)
    wrapping = provider.wrap(RootKey(bytes(32)), other, root, now=1)

    with pytest.raises(KeyringError, match="another keyring"):
        provider.unwrap(wrapping, KEYRING.id, root)
