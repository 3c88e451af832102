"""What operators sign, and what the keys of an old copy of the keyring cannot make."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from proxy.core.errors import KeyringError
from proxy.keys.keyring import file, head, signatures, wrapping_changes
from proxy.keys.keyring.head import State
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.merging import merge
from proxy.keys.keyring.roots import FileRoot, Roots
from proxy.keys.policy import MOST_FORMER

from ..builders import NOW, a_keyring, a_root, some_bytes

PRIVATE: dict[str, Any] = {
    "Ed25519": Ed25519PrivateKey.generate(),
    "P-256": generate_private_key(SECP256R1()),
}


def public(private: Any) -> str:  # noqa: ANN401 - either kind of key
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def pem(path: Path, private: Any, password: bytes | None = None) -> Path:  # noqa: ANN401 - as above
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    path.chmod(0o600)
    return path


@dataclass
class Case:
    path: Path
    root: FileRoot
    key: Path
    signed_by: tuple[str, ...]

    @property
    def roots(self) -> Roots:
        return Roots((self.root,), signed_by=self.signed_by)

    def open(self) -> Keyring:
        return file.open_keyring(self.path, self.roots)

    def signed(self) -> bool | None:
        origin = self.open().origin
        return None if origin is None else origin.signed

    def sign(self) -> None:
        form = file.read_form(self.path)
        made, _ = signatures.sign(form.head.text(), self.key, None)
        file.add_signature(self.path, form, made)

    def change(self, how: Callable[[Keyring], Keyring]) -> None:
        file.update_keyring(self.path, self.roots, how)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    private = PRIVATE["Ed25519"]
    key = pem(tmp_path / "signing.pem", private)
    case = Case(tmp_path / "keyring.jwe", a_root(tmp_path), key, (public(private),))
    file.create_keyring(case.path, a_keyring("k2"), case.root)
    return case


@pytest.mark.parametrize("kind", PRIVATE)
@pytest.mark.parametrize("password", [None, b"canary of a password"])
def test_a_signature_is_verified_by_its_key_alone(
    tmp_path: Path, kind: str, password: bytes | None
) -> None:
    key = pem(tmp_path / "key.pem", PRIVATE[kind], password)
    made, told = signatures.sign(b"text", key, password)
    assert told == public(PRIVATE[kind])
    assert signatures.verifies(made, b"text", told)
    assert not signatures.verifies(made, b"another text", told)
    assert not signatures.verifies(made[:-1] + bytes((made[-1] ^ 1,)), b"text", told)
    for one in (Ed25519PrivateKey.generate(), generate_private_key(SECP256R1())):
        assert not signatures.verifies(made, b"text", public(one))


def test_other_keys_and_passwords_are_refused_without_a_word_of_them(tmp_path: Path) -> None:
    locked = pem(tmp_path / "locked.pem", PRIVATE["Ed25519"], b"canary of a password")
    other = pem(tmp_path / "other.pem", generate_private_key(SECP384R1()))
    for path, password in ((locked, None), (locked, b"canary x"), (other, None)):
        with pytest.raises(KeyringError, match="no private key") as refused:
            signatures.sign(b"text", path, password)
        assert "canary" not in str(refused.value)
    other.chmod(0o644)
    with pytest.raises(KeyringError):
        signatures.sign(b"text", other, None)
    with pytest.raises(KeyringError, match="no public key"):
        signatures.verifies(b"s", b"text", "AAAA")


def test_a_file_is_signed_as_it_is_and_revocations_need_no_signature(case: Case) -> None:
    assert case.signed() is False
    with pytest.raises(KeyringError, match="keys sign"):
        case.open().require_signed()
    case.sign()
    assert case.signed() is True
    case.open().require_signed()
    case.change(lambda keyring: keyring.revoke("A" * 22, 7))
    assert case.signed() is True
    assert case.open().not_before("A" * 22) == 7

    case.change(lambda keyring: keyring.promote("k2"))
    assert case.signed() is False
    case.sign()
    assert case.signed() is True
    case.signed_by = (public(Ed25519PrivateKey.generate()),)
    assert case.signed() is False
    case.signed_by = ()
    assert case.signed() is None
    case.open().require_signed()


def test_a_head_names_the_states_that_it_follows_from(case: Case) -> None:
    states = [case.open().state]
    for name in ("k3", "k4"):
        case.change(lambda one, name=name: one.add(name, now=NOW, random=some_bytes))  # type: ignore[misc]  # a default binds the loop's value
        states.append(case.open().state)
    found = file.read_form(case.path).head
    assert (found.former, found.state) == (tuple(states[:2]), states[2])
    assert all(map(found.follows, states))
    assert not found.follows(State(states[0].generation, states[1].digest))
    for _ in range(MOST_FORMER):
        case.change(lambda one: one.after(0))
    found = file.read_form(case.path).head
    assert len(found.former) == MOST_FORMER
    assert (found.follows(states[2]), found.follows(states[1])) == (True, False)


def test_a_merged_keyring_follows_from_both(case: Case, tmp_path: Path) -> None:
    other = replace(case, path=tmp_path / "other.jwe")
    other.path.write_bytes(case.path.read_bytes())
    other.path.chmod(0o600)
    for one, name in ((case, "k3"), (other, "k4")):
        one.change(lambda ring, name=name: ring.add(name, now=NOW, random=some_bytes))  # type: ignore[misc]  # as above
        one.change(lambda ring: ring.after(0))
    ours, theirs = case.open(), other.open()
    case.change(lambda ring: merge(ring, theirs, now=NOW))
    found = file.read_form(case.path).head
    assert found.follows(ours.state)
    assert found.follows(theirs.state)


def test_a_changed_wrapping_needs_a_signature_though_the_keys_are_the_same(case: Case) -> None:
    case.sign()
    wrapping_changes.rewrap(case.path, case.roots, lambda *_: None, now=NOW)
    assert case.signed() is False
    with pytest.raises(KeyringError, match="keys sign"):
        wrapping_changes.rewrap(case.path, case.roots, lambda *_: None, now=NOW)
    # Whoever has the root key puts another wrapping under the signature of the old one.
    case.sign()
    signed = file.read_form(case.path)
    keyring = case.open()
    root_key = case.roots.unwrap(signed.wrappings, keyring.id).root_key
    planted = (replace(signed.wrappings[0], made=1),)
    case.path.write_bytes(file.compose(keyring, root_key, planted, backup=True))
    assert file.read_form(case.path).origin.signatures
    assert case.signed() is False


def test_who_has_all_keys_of_an_old_copy_makes_no_file_that_is_believed(case: Case) -> None:
    case.sign()
    thief = replace(case, signed_by=())
    thief.change(lambda one: one.add("planted", now=NOW, random=some_bytes).promote("planted"))
    thief.change(lambda one: replace(one, generation=99))
    planted = thief.open()
    assert (planted.generation, planted.id) == (99, case.open().id)
    assert case.signed() is False

    key = pem(thief.path.with_name("thief.pem"), Ed25519PrivateKey.generate())
    replace(thief, key=key).sign()
    assert case.signed() is False
    with pytest.raises(KeyringError, match="keys sign"):
        case.open().require_signed()


def test_a_signature_is_no_part_of_the_mac_and_a_head_is(case: Case) -> None:
    before = json.loads(case.path.read_text())
    case.sign()
    after = json.loads(case.path.read_text())
    assert after.pop("signatures")
    assert after == before
    for edit in (
        {"former": [[1, "A" * 22]], "wrappings": before["head"]["wrappings"]},
        {"former": [], "wrappings": "A" * 43},
    ):
        case.path.write_text(json.dumps({**before, "head": edit}))
        with pytest.raises(KeyringError, match="MAC"):
            case.open()


@pytest.mark.parametrize(
    "edit",
    [
        {"head": []},
        {"head": {"former": []}},
        {"head": {"former": {}, "wrappings": "A" * 43}},
        {"head": {"former": [[1]], "wrappings": "A" * 43}},
        {"head": {"former": [["1", "A" * 22]], "wrappings": "A" * 43}},
        {"head": {"former": [[1, "A"]], "wrappings": "A" * 43}},
        {"head": {"former": [[1, "A" * 22]] * 65, "wrappings": "A" * 43}},
        {"head": {"former": [], "wrappings": 7}},
        {"signatures": {}},
        {"signatures": ["?"]},
        {"signatures": [""]},
        {"signatures": [7]},
        {"signatures": ["AAAA"] * 9},
        {"signatures": ["A" * 172]},
    ],
)
def test_another_form_is_refused(case: Case, edit: dict[str, Any]) -> None:
    case.path.write_text(json.dumps({**json.loads(case.path.read_text()), **edit}))
    with pytest.raises(KeyringError):
        case.open()


def test_what_changed_meanwhile_is_not_signed(case: Case) -> None:
    form = file.read_form(case.path)
    case.change(lambda keyring: keyring.promote("k2"))
    with pytest.raises(KeyringError, match="changed meanwhile"):
        file.add_signature(case.path, form, b"signature")


def test_the_text_that_is_signed_is_fixed() -> None:
    made = head.KeyringHead("A" * 22, State(2, "B" * 22), "C" * 43, (State(1, "D" * 22),))
    assert made.text() == (
        b'{"digest":"BBBBBBBBBBBBBBBBBBBBBB","former":[[1,"DDDDDDDDDDDDDDDDDDDDDD"]],'
        b'"generation":2,"id":"AAAAAAAAAAAAAAAAAAAAAA","sealyard":"keyring-head/v1",'
        b'"wrappings":"' + b"C" * 43 + b'"}'
    )
    digest = hashlib.sha256(b'[{"kind":"file","made":1}]').digest()
    assert head.digest_of([{"kind": "file", "made": 1}]) == (
        base64.urlsafe_b64encode(digest).decode().rstrip("=")
    )
