from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.core.errors import KeyringError, UnfitEnvironment
from proxy.keys.audit import AuditLog, file_beside
from proxy.keys.keyring.file import create_keyring, open_keyring
from proxy.keys.keyring.keyring import create
from proxy.keys.keyring.merging import adopt
from proxy.keys.operations.keyring_revocations import KeyringRevocations

from ..builders import NOW, Time, a_keyring, a_root, some_bytes

NAME = "A" * 22


@pytest.fixture
def keeper(tmp_path: Path) -> KeyringRevocations:
    path, root = tmp_path / "keyring.jwe", a_root(tmp_path)
    create_keyring(path, keyring := a_keyring("k2"), root)
    return KeyringRevocations(path, root, AuditLog(file_beside(path), Time()), lambda: keyring.id)


def test_a_revocation_is_kept_and_nothing_else_changes(keeper: KeyringRevocations) -> None:
    before = open_keyring(keeper.path, keeper.roots)
    keeper.revoke(NAME, NOW)
    keeper.revoke(NAME, NOW - 5)
    assert open_keyring(keeper.path, keeper.roots) == before.revoke(NAME, NOW)
    lines = [json.loads(line) for line in keeper.audit.path.read_text().splitlines()]
    assert [(line["event"], line["scope"], line["not_before"]) for line in lines[1:]] == [
        ("keys.revoke", NAME, NOW),
        ("keys.revoke", NAME, NOW - 5),
    ]


def test_what_cannot_be_written_down_is_not_done(
    keeper: KeyringRevocations, tmp_path: Path
) -> None:
    before = keeper.path.read_bytes()
    closed = KeyringRevocations(
        keeper.path,
        keeper.roots,
        AuditLog(tmp_path / "none" / "audit", Time()),
        keeper.keyring_id,
    )
    with pytest.raises(UnfitEnvironment):
        closed.revoke(NAME, NOW)
    assert keeper.path.read_bytes() == before


def test_a_keyring_that_is_full_of_revocations_says_so(
    keeper: KeyringRevocations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.keys.keyring.kek.MAX_REVOCATIONS", 1)
    keeper.revoke(NAME, NOW)
    with pytest.raises(KeyringError, match="at most 1 revocations"):
        keeper.revoke("B" * 22, NOW)


def test_nothing_is_written_into_another_keyring_than_the_one_in_use(
    keeper: KeyringRevocations,
) -> None:
    ours = open_keyring(keeper.path, keeper.roots)
    keeper.path.unlink()
    create_keyring(keeper.path, a_keyring(), keeper.roots)
    before = keeper.path.read_bytes()
    with pytest.raises(KeyringError, match="holds another keyring than the one in use"):
        keeper.revoke(NAME, NOW)
    assert keeper.path.read_bytes() == before
    keeper.path.unlink()
    adopted = adopt(create("k9", now=NOW, random=some_bytes), ours, now=NOW)
    create_keyring(keeper.path, adopted, keeper.roots)
    keeper.revoke(NAME, NOW)  # one that has adopted it knows its names
    assert open_keyring(keeper.path, keeper.roots).not_before(NAME) == NOW
