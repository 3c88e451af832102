"""The form of a keyring's file: who may open it, and what an edit of it comes to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey

from proxy.config.settings import SecretReference
from proxy.core.errors import KeyringError
from proxy.keys.keyring import envelope, jwk_set
from proxy.keys.keyring.file import create_keyring, open_keyring, update_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.root_secret import Passphrase, RootKey
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.keyring.roots.passphrase import PassphraseRoot

from ..builders import a_keyring, a_root, some_bytes

CANARY = "canary horse battery"
PHRASE = PassphraseRoot(SecretReference(env="P"), {"P": CANARY})
Members = dict[str, Any]
Edit = Callable[[Members, Members], object]


@dataclass
class Case:
    path: Path
    root: FileRoot
    keyring: Keyring

    @property
    def members(self) -> Members:
        members: Members = json.loads(self.path.read_text())
        return members

    def open(self) -> Keyring:
        return open_keyring(self.path, self.root)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    case = Case(tmp_path / "keyring.jwe", a_root(tmp_path), a_keyring("k2"))
    create_keyring(case.path, case.keyring, case.root)
    return case


def test_a_file_tells_which_keyring_it_is_without_being_opened(case: Case) -> None:
    told = case.members
    assert (told["sealyard"], told["id"]) == (1, case.keyring.id)
    assert (told["generation"], told["digest"]) == (case.keyring.generation, case.keyring.digest)
    assert [one["kind"] for one in told["wrappings"]] == ["file"]


def test_a_change_raises_the_generation_and_leaves_the_wrappings(case: Case) -> None:
    before = case.members
    update_keyring(case.path, case.root, lambda keyring: keyring.promote("k2"))
    after = case.members
    assert after["wrappings"] == before["wrappings"]
    assert after["generation"] == before["generation"] + 1
    assert after["digest"] != before["digest"]
    update_keyring(case.path, case.root, lambda keyring: keyring.revoke("A" * 22, 7))
    assert (case.members["generation"], case.members["digest"]) == (
        after["generation"],
        after["digest"],
    )


def another(case: Case) -> Members:
    """Return the file of another keyring under the same root."""
    path = case.path.with_name("other.jwe")
    create_keyring(path, a_keyring("k2"), case.root)
    members: Members = json.loads(path.read_text())
    return members


EDITS: dict[str, Edit] = {
    "a wrapping is removed": lambda ours, _: ours["wrappings"].clear(),
    "a wrapping is added": lambda ours, theirs: ours["wrappings"].append(
        {"kind": "passphrase", "made": 1, "jwe": theirs["wrappings"][0]["jwe"]}
    ),
    "a wrapping of an unknown kind is added": lambda ours, _: ours["wrappings"].append(
        {"kind": "vault", "made": 1, "ct": "x", "address": "http://169.254.169.254"}
    ),
    "a wrapping is there twice": lambda ours, _: ours["wrappings"].append(ours["wrappings"][0]),
    "a wrapping is swapped": lambda ours, theirs: ours.update(wrappings=theirs["wrappings"]),
    "a wrapping is dated back": lambda ours, _: ours["wrappings"][0].update(made=1),
    "the keyring is swapped": lambda ours, theirs: ours.update(keyring=theirs["keyring"]),
    "keyring and wrapping are swapped": lambda ours, theirs: ours.update(
        keyring=theirs["keyring"], wrappings=theirs["wrappings"]
    ),
    "all but the id is swapped": lambda ours, theirs: ours.update(theirs | {"id": ours["id"]}),
    "the generation is raised": lambda ours, _: ours.update(generation=99),
    "the generation is a text": lambda ours, _: ours.update(generation="2"),
    "the id is another": lambda ours, theirs: ours.update(id=theirs["id"]),
    "the id is no id": lambda ours, _: ours.update(id="x"),
    "the digest is another": lambda ours, theirs: ours.update(digest=theirs["digest"]),
    "the MAC is another": lambda ours, theirs: ours.update(mac=theirs["mac"]),
    "the MAC is missing": lambda ours, _: ours.pop("mac"),
    "the MAC is empty": lambda ours, _: ours.update(mac=""),
    "a member is added": lambda ours, _: ours.update(more=1),
    "the version is newer": lambda ours, _: ours.update(sealyard=2),
    "the version is older": lambda ours, _: ours.update(sealyard=0),
    "the version is no integer": lambda ours, _: ours.update(sealyard=True),
    "the keyring is no text": lambda ours, _: ours.update(keyring=1),
    "the keyring is not ASCII": lambda ours, _: ours.update(keyring="é"),
    "the wrappings are no list": lambda ours, _: ours.update(wrappings={}),
    "a wrapping is no object": lambda ours, _: ours.update(wrappings=["x"]),
    "a wrapping has no kind": lambda ours, _: ours["wrappings"][0].pop("kind"),
    "a wrapping has no time": lambda ours, _: ours["wrappings"][0].pop("made"),
    "a wrapping has no JWE": lambda ours, _: ours["wrappings"][0].pop("jwe"),
    "a wrapping nests": lambda ours, _: ours["wrappings"][0].update(jwe={"a": 1}),
    "there are seventeen wrappings": lambda ours, _: ours.update(
        wrappings=[{"kind": f"x{number}", "made": 1} for number in range(17)]
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_file_that_was_edited_is_refused(case: Case, edit: Edit) -> None:
    members = case.members
    edit(members, another(case))
    case.path.write_text(json.dumps(members))
    with pytest.raises(KeyringError, match=r"keyring\.jwe: ") as refused:
        case.open()
    assert refused.value.__context__ is None


def test_the_whole_file_of_another_keyring_is_another_keyring(case: Case) -> None:
    case.path.write_text(json.dumps(another(case)))
    assert case.open().id != case.keyring.id  # which a pinned id refuses


def test_a_file_that_was_only_written_anew_opens(case: Case) -> None:
    case.path.write_text(json.dumps(case.members, separators=(",", ":"), sort_keys=True))
    assert case.open() == case.keyring


def test_a_root_that_is_not_among_the_wrappings_is_refused_and_its_name_is_told(case: Case) -> None:
    with pytest.raises(KeyringError, match="no wrapping for the configured root `passphrase`"):
        open_keyring(case.path, PHRASE)


def test_a_root_that_is_not_configured_is_never_tried(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = case.path.with_name("phrase.jwe")
    create_keyring(path, case.keyring, PHRASE)
    monkeypatch.setattr(Passphrase, "derive", None)
    assert case.open() == case.keyring
    with pytest.raises(KeyringError, match="no wrapping for the configured root `file`"):
        open_keyring(path, case.root)


def test_a_file_that_says_another_generation_than_the_keyring_inside_is_refused(case: Case) -> None:
    root_key, members = unwrapped(case), case.members
    later = jwk_set.encode(case.keyring.promote("k2"))
    members["keyring"] = envelope.encrypt(later, RootKey(root_key)).decode()
    members["mac"] = mac_of(members, root_key)
    case.path.write_text(json.dumps(members))
    with pytest.raises(KeyringError, match="does not match"):
        case.open()


@pytest.mark.parametrize(
    "text", ["", "\n", "{}", "{", "[]", '{"sealyard":1}', "a.b.c.d.e", "\x00" * 9]
)
def test_a_file_that_is_empty_or_cut_is_refused(case: Case, text: str) -> None:
    case.path.write_text(text)
    with pytest.raises(KeyringError, match=r"keyring\.jwe: "):
        case.open()


def test_a_change_under_a_passphrase_asks_for_it_once(tmp_path: Path) -> None:
    asked: list[str] = []

    class Environment(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict has it
            asked.append(name)
            return super().get(name, default)

    path = tmp_path / "keyring.jwe"
    root = PassphraseRoot(SecretReference(env="P"), Environment(P=CANARY))
    create_keyring(path, a_keyring("k2"), root)
    asked.clear()
    update_keyring(path, root, lambda keyring: keyring.promote("k2"))
    assert asked == ["P"]
    assert CANARY not in path.read_text()


def unwrapped(case: Case) -> bytes:
    """Return the root key as another JOSE library gets it, by the page of the reference."""
    secret = OctKey.import_key(case.root.fetch().reveal())
    opened = jwe.decrypt_compact(case.members["wrappings"][0]["jwe"], secret, registry=REGISTRY)
    plaintext = opened.plaintext
    assert plaintext is not None
    assert (plaintext[0], len(plaintext)) == (1, 49)
    assert base64.urlsafe_b64encode(plaintext[1:17]).rstrip(b"=").decode() == case.keyring.id
    return plaintext[17:]


def mac_of(members: Members, root_key: bytes) -> str:
    """Return the MAC as the page of the reference says it."""
    covered = {name: value for name, value in members.items() if name != "mac"}
    text = json.dumps(covered, separators=(",", ":"), sort_keys=True).encode()
    expanded = hmac.digest(root_key, b"sealyard/v1/keyring-mac\x01", hashlib.sha256)
    tag = hmac.digest(expanded, text, hashlib.sha256)
    return base64.urlsafe_b64encode(tag).rstrip(b"=").decode()


REGISTRY = jwe.JWERegistry(strict_check_header=False, algorithms=["A256KW", "A256GCM"])


def test_another_jose_library_opens_the_file(case: Case) -> None:
    root_key = unwrapped(case)
    assert case.members["mac"] == mac_of(case.members, root_key)
    opened = jwe.decrypt_compact(
        case.members["keyring"], OctKey.import_key(root_key), registry=REGISTRY
    )
    assert opened.plaintext is not None
    keys = json.loads(opened.plaintext)["keys"]
    assert [one["kid"] for one in keys if one["use"] == "kek"] == ["k1", "k2"]


def test_every_new_file_has_a_root_key_of_its_own(case: Case) -> None:
    other = Case(case.path.with_name("copy.jwe"), case.root, case.keyring)
    create_keyring(other.path, case.keyring, case.root)
    assert unwrapped(case) != unwrapped(other)


def test_the_digest_does_not_tell_of_keys_that_somebody_guesses(case: Case) -> None:
    kek = case.keyring.primary.key.reveal()
    shown = case.path.read_text()
    for guess in (kek, hashlib.sha256(kek).digest(), some_bytes(32)):
        assert base64.urlsafe_b64encode(guess)[:16].decode() not in shown
