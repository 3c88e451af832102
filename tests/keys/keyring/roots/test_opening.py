"""Several roots of one keyring: which wrapping opens, in which order, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.core.errors import KeyringError, RootUnavailable
from proxy.keys.keyring.file import create_keyring, open_keyring, read_keyring, update_keyring
from proxy.keys.keyring.roots import FileRoot, Roots
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.keys.keyring.roots.provider import Members, RootName
from proxy.process.fitness import Finding

from ...builders import a_keyring

PHRASE = PassphraseRoot(SecretReference(env="P"), {"P": "canary horse battery"})


@dataclass
class Service:
    """A key service that wraps with a mask of its key and counts what it is asked."""

    key: str
    kind: str = "service"
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        return {"ct": self._masked(plaintext, keyring_id).hex()}

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        self.asked.append(keyring_id)
        if self.away:
            raise KeyringError("refuses connections")
        return self._masked(bytes.fromhex(str(members["ct"])), keyring_id)

    def examine(self) -> list[Finding]:
        return []

    def _masked(self, data: bytes, keyring_id: str) -> bytes:
        mask = (f"{self.key}{keyring_id}" * 9).encode()
        return bytes(a ^ b for a, b in zip(data, mask, strict=False))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.jwe"


KEYRING = a_keyring("k2")


def roots(*listed: Service | FileRoot | PassphraseRoot) -> Roots:
    return Roots(listed, KEYRING.id)


def test_any_one_of_the_roots_opens_and_the_first_that_can_does(path: Path) -> None:
    one, two = Service("one"), Service("two")
    create_keyring(path, KEYRING, roots(one, two, PHRASE))

    opened = read_keyring(path, roots(one, two, PHRASE))
    assert (opened.by, opened.refusals) == (RootName("service", "one"), ())
    assert two.asked == []
    one.away = True
    opened = read_keyring(path, roots(one, two, PHRASE))
    assert opened.by == RootName("service", "two")
    assert [(one.root.key, one.reason) for one in opened.refusals] == [
        ("one", "refuses connections")
    ]
    two.away = True
    opened = read_keyring(path, roots(one, two, PHRASE))
    assert opened.by == RootName("passphrase", "")
    for single in (Service("one"), Service("two"), PHRASE):
        assert open_keyring(path, roots(single)) == KEYRING


def test_roots_that_might_come_back_are_not_a_broken_file(path: Path) -> None:
    one = Service("one", away=True)
    create_keyring(path, KEYRING, roots(one, PHRASE))
    with pytest.raises(RootUnavailable, match=r"keyring\.jwe: .*`service` one: refuses conn"):
        open_keyring(path, roots(one))
    wrong = PassphraseRoot(SecretReference(env="P"), {"P": "another horse battery"})
    with pytest.raises(RootUnavailable, match="`passphrase`: the keyring does not open"):
        open_keyring(path, roots(one, wrong))
    with pytest.raises(KeyringError) as refused:
        open_keyring(path, roots(wrong))
    assert type(refused.value) is KeyringError


def test_a_configured_root_without_a_wrapping_is_refused_before_any_is_asked(path: Path) -> None:
    one = Service("one")
    create_keyring(path, KEYRING, roots(one))
    for others in ((one, Service("two")), (PHRASE, one)):
        with pytest.raises(KeyringError, match="no wrapping for the configured root"):
            open_keyring(path, roots(*others))
    assert one.asked == []


def test_a_service_opens_no_keyring_that_is_not_pinned(path: Path) -> None:
    """Whoever may use its key can wrap a keyring of his own, and replace the file by that."""
    one = Service("one")
    create_keyring(path, KEYRING, one)
    with pytest.raises(KeyringError, match=f"write `id: {KEYRING.id}`"):
        open_keyring(path, one)
    path.unlink()
    create_keyring(path, a_keyring("k2"), one)
    with pytest.raises(KeyringError, match="keyring-mismatch"):
        open_keyring(path, roots(one))
    assert one.asked == []


def test_a_keyring_that_is_not_the_pinned_one_is_not_made(path: Path) -> None:
    with pytest.raises(KeyringError, match="keyring-mismatch"):
        create_keyring(path, a_keyring("k2"), roots(Service("one")))
    assert not path.exists()


@pytest.mark.parametrize(
    "edit",
    [
        lambda listed: listed.pop(0),
        lambda listed: listed.append({**listed[0], "key": "three"}),
        lambda listed: listed.append(listed[0]),
        lambda listed: (listed[0].update(key="two"), listed[1].update(key="one")),
        lambda listed: listed[0].update(key=7),
        lambda listed: listed[0].update(made=1),
        lambda listed: listed[0].pop("key"),
        lambda listed: listed.reverse(),
    ],
)
def test_wrappings_that_were_edited_open_nothing(
    path: Path, edit: Callable[[list[dict[str, object]]], object]
) -> None:
    both = roots(Service("one"), Service("two"))
    create_keyring(path, KEYRING, both)
    members = json.loads(path.read_text())
    edit(members["wrappings"])
    path.write_text(json.dumps(members))
    for opener in (both, roots(Service("one")), roots(Service("two"))):
        with pytest.raises(KeyringError):
            open_keyring(path, opener)


def test_a_change_keeps_all_wrappings_and_asks_one_root_once(path: Path) -> None:
    one, two = Service("one"), Service("two")
    create_keyring(path, KEYRING, roots(one, two))
    before = json.loads(path.read_text())["wrappings"]
    update_keyring(path, roots(two), lambda keyring: keyring.promote("k2"))

    assert json.loads(path.read_text())["wrappings"] == before
    assert (len(one.asked), len(two.asked)) == (0, 1)


def test_two_roots_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(KeyringError, match="configured twice"):
        roots(Service("one"), Service("one"))
