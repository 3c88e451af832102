"""The keyring's file: opened with a root, created once, changed under a lock.

It is a JSON object with wrappings of a root key. A change of the keyring keeps both.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ...core.crypto import base64url, derivation
from ...core.crypto.secret import KEY_BYTES
from ...core.errors import KeyringError
from ...process import hardening
from .. import private_file
from ..policy import (
    MAX_FILE_BYTES,
    MOST_FORMER,
    MOST_SIGNATURE_BYTES,
    MOST_SIGNATURES,
    MOST_WRAPPINGS,
)
from . import envelope, head, jwk_set
from .head import KeyringHead, Origin, State
from .keyring import Keyring
from .root_secret import RootKey
from .roots.opening import RootRefusal, Roots
from .roots.provider import RootName, RootProvider, Wrapping

VERSION: Final = 1

_MEMBERS: Final = frozenset(
    {"sealyard", "id", "generation", "digest", "wrappings", "head", "keyring", "mac"}
)
_SIGNATURES: Final = "signatures"
"""Beside the MAC, which does not cover them: each proves itself, and who signs needs no root."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_MAC: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_TEXT: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyringForm:
    """A file that was parsed and is not verified yet."""

    id: str
    wrappings: tuple[Wrapping, ...]
    members: _Members
    origin: Origin

    @property
    def head(self) -> KeyringHead:
        """What a signature covers."""
        return self.origin.head

    def opened(self, root_key: RootKey) -> Keyring:
        """Return the keyring; raise KeyringError unless the MAC of the file verifies."""
        expected = _mac(self.members, root_key)
        if not hmac.compare_digest(expected, str(self.members["mac"])):
            raise KeyringError("the keyring's MAC does not verify: the file was changed")
        sealed = str(self.members["keyring"]).encode()
        keyring = _decrypted(sealed, root_key)
        outside = self.members["id"], self.members["generation"], self.members["digest"]
        if outside != (keyring.id, keyring.generation, keyring.digest):
            raise KeyringError("the keyring's file does not match the keyring inside")
        return replace(keyring, origin=self.origin)

    def signed_by(self, keys: tuple[str, ...]) -> bool:
        """Whether one of these public keys signed this file, with these wrappings."""
        from . import signatures  # noqa: PLC0415 - only where keys are configured

        wrapped = head.digest_of([one.to_json() for one in self.wrappings])
        return self.origin.head.wrappings == wrapped and signatures.signed(self.origin, keys)

    def with_signature(self, signature: bytes) -> bytes:
        """Return the file with another signature over its head."""
        listed = [*self.origin.signatures, signature][-MOST_SIGNATURES:]
        texts = [base64url.encode(one).decode() for one in listed]
        return _text({**self.members, _SIGNATURES: texts})


def _decrypted(text: bytes, root_key: RootKey) -> Keyring:
    plaintext = envelope.decrypt(text, root_key)
    try:
        return jwk_set.decode(plaintext)
    finally:
        hardening.overwrite_bytes(plaintext)


def compose(
    keyring: Keyring, root_key: RootKey, wrappings: tuple[Wrapping, ...], *, backup: bool = False
) -> bytes:
    """Return the file of a keyring.

    A backup has the head and the signatures of the file that it was made of, so that a restored
    keyring can be believed.
    """
    origin = keyring.origin
    if origin is None or not backup:
        listed = [one.to_json() for one in wrappings]
        origin = head.next_origin(origin, keyring.id, keyring.state, listed)
    members: _Members = {
        "sealyard": VERSION,
        "id": keyring.id,
        "generation": keyring.generation,
        "digest": keyring.digest,
        "wrappings": [one.to_json() for one in wrappings],
        "head": {
            "wrappings": origin.head.wrappings,
            "former": [list(one) for one in origin.head.former],
        },
        "keyring": envelope.encrypt(jwk_set.encode(keyring), root_key).decode(),
    }
    members["mac"] = _mac(members, root_key)
    if origin.signatures:
        texts = [base64url.encode(one).decode() for one in origin.signatures]
        members[_SIGNATURES] = texts
    return _text(members)


def _text(members: _Members) -> bytes:
    return json.dumps(members, indent=1).encode() + b"\n"


def parse(text: bytes) -> KeyringForm:
    """Return the parsed file; raise KeyringError for any other format."""
    members = jwk_set.parse_object(text)
    if members is None or "sealyard" not in members:
        raise KeyringError(
            "the keyring's file is not a JSON object of Sealyard;"
            " name the one that `keys init` wrote"
        )
    version = members["sealyard"]
    if type(version) is not int or version > VERSION:
        raise KeyringError("the keyring was written by a newer Sealyard; install that one")
    if version != VERSION or set(members) - {_SIGNATURES} != _MEMBERS:
        raise KeyringError("the keyring's file has missing or unknown members")
    if type(members["generation"]) is not int:
        raise KeyringError("the keyring's generation is not an integer")
    for name, pattern in (("id", _ID), ("digest", _ID), ("mac", _MAC)):
        if not isinstance(members[name], str) or not pattern.fullmatch(members[name]):
            raise KeyringError(f"the keyring's {name} is not base64url of its length")
    if not isinstance(members["keyring"], str) or not members["keyring"].isascii():
        raise KeyringError("the keyring's file holds no keyring")
    return KeyringForm(members["id"], _wrappings(members["wrappings"]), members, _origin(members))


def _origin(members: _Members) -> Origin:
    found, texts = members["head"], members.get(_SIGNATURES, [])
    if not isinstance(found, dict) or set(found) != {"wrappings", "former"}:
        raise KeyringError("the keyring's head has missing or unknown members")
    former, wrapped = found["former"], found["wrappings"]
    if not isinstance(wrapped, str) or not _MAC.fullmatch(wrapped) or not isinstance(former, list):
        raise KeyringError("a keyring's head has a digest of its wrappings, and former states")
    if not isinstance(texts, list) or len(texts) > MOST_SIGNATURES:
        raise KeyringError(f"a keyring's file has at most {MOST_SIGNATURES} signatures")
    signatures = tuple(jwk_set.decoded(one) or b"" for one in texts)
    if not all(1 <= len(one) <= MOST_SIGNATURE_BYTES for one in signatures):
        raise KeyringError("a signature of the keyring is not base64url of its length")
    state = State(members["generation"], members["digest"])
    states = tuple(map(_state, former))
    if len(states) > MOST_FORMER:
        raise KeyringError(f"a keyring's head names at most {MOST_FORMER} former states")
    return Origin(KeyringHead(members["id"], state, wrapped, states), signatures)


def _state(found: object) -> State:
    match found:
        case [generation, str(digest)] if type(generation) is int and _ID.fullmatch(digest):
            return State(generation, digest)
    raise KeyringError("a former state of a keyring is a generation and a digest")


def _wrappings(listed: object) -> tuple[Wrapping, ...]:
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_WRAPPINGS:
        raise KeyringError(f"a keyring's file has 1 to {MOST_WRAPPINGS} wrappings")
    return tuple(map(_wrapping, listed))


def _wrapping(found: object) -> Wrapping:
    if not isinstance(found, dict):
        raise KeyringError("a wrapping is a JSON object")
    plain = all(
        type(value) is int or (isinstance(value, str) and _TEXT.fullmatch(value))
        for value in found.values()
    )
    kind, made, key = found.get("kind"), found.get("made"), found.get("key", "")
    if not plain or not (isinstance(kind, str) and isinstance(key, str) and type(made) is int):
        raise KeyringError("a wrapping needs a kind, the time it was made, and plain members")
    own = found.keys() - {"kind", "made", "key"}
    return Wrapping(kind, made, {name: found[name] for name in found if name in own}, key)


def _mac(members: _Members, root_key: RootKey) -> str:
    """Return the MAC over all members but itself, in the canonical form of RFC 8785."""
    covered = {name: members[name] for name in _MEMBERS - {"mac"} if name in members}
    text = json.dumps(covered, separators=(",", ":"), sort_keys=True).encode()
    return base64url.encode(derivation.keyring_mac(root_key.reveal(), text)).decode()


@dataclass(frozen=True, slots=True)
class KeyringLock:
    """What encrypts a file: its root key, and the wrappings of that key."""

    root_key: RootKey
    wrappings: tuple[Wrapping, ...]


@dataclass(frozen=True, slots=True)
class OpenedKeyring:
    """A keyring, the root that opened its file, and those that were tried before."""

    keyring: Keyring
    by: RootName
    refusals: tuple[RootRefusal, ...] = ()


def open_keyring(path: Path, root: RootProvider | Roots) -> Keyring:
    """Return the keyring of the file; takes about 0.15 s with a passphrase, all of it CPU.

    Raises KeyringError, naming the path, when file, root secret or content is invalid, and
    RootUnavailable where it might open later.
    """
    return read_keyring(path, root).keyring


def read_keyring(path: Path, root: RootProvider | Roots) -> OpenedKeyring:
    """Do as `open_keyring`, and return which root opened it."""
    return _read(path, Roots.of(root))[0]


def create_keyring(
    path: Path, keyring: Keyring, root: RootProvider | Roots, *, backup: bool = False
) -> None:
    """Write a new file, wrapped by every root; raise KeyringError when `path` exists already."""
    roots, root_key = Roots.of(root), RootKey(os.urandom(KEY_BYTES))
    wrappings = roots.wrap(root_key, keyring, now=int(time.time()))
    content = compose(keyring, root_key, wrappings, backup=backup)
    with private_file.locked(path):
        if path.exists() or path.is_symlink():
            raise KeyringError(f"{path}: exists already and is not overwritten")
        private_file.write(path, content)


def update_keyring(
    path: Path, root: RootProvider | Roots, change: Callable[[Keyring], Keyring]
) -> Keyring:
    """Replace the file's keyring by what `change` makes of it, and return that.

    Reading, changing and writing happen under one lock, so concurrent updates lose nothing.
    Whatever `change` raises leaves the file as it was.
    """
    return update_lock(path, Roots.of(root), lambda keyring, lock: (change(keyring), lock))


def read_form(path: Path) -> KeyringForm:
    """Return the file as it can be read without a root: nothing in it is verified.

    Raises KeyringError, naming the path, for any other file.
    """
    text = private_file.read(path, MAX_FILE_BYTES).strip()
    try:
        return parse(text)
    except KeyringError as error:
        reason = error.reason
    raise KeyringError(f"{path}: {reason}")


Locked = tuple[Keyring, KeyringLock]


def add_signature(path: Path, form: KeyringForm, signature: bytes) -> None:
    """Write a signature beside those of a file; raise KeyringError if the file was changed since.

    No root is needed.
    """
    with private_file.locked(path):
        found = read_form(path)
        if found.origin.head != form.origin.head:
            raise KeyringError(f"{path}: was changed meanwhile; look at it again before you sign")
        private_file.write(path, found.with_signature(signature))


def update_lock(
    path: Path, roots: Roots, change: Callable[[Keyring, KeyringLock], Locked]
) -> Keyring:
    """Replace a file's keyring, root key or wrappings as `change` says; return the keyring.

    Whatever `change` raises leaves the file as it was.
    """
    with private_file.locked(path):
        opened, lock = _read(path, roots)
        changed, locked = change(opened.keyring, lock)
        private_file.write(path, compose(changed, locked.root_key, locked.wrappings))
    return changed


def _read(path: Path, roots: Roots) -> tuple[OpenedKeyring, KeyringLock]:
    try:
        found = path.exists()
    except OSError as error:
        raise KeyringError(f"{path}: {error.strerror}") from None
    if not found:
        reason = "No such file or directory; `sealyard keys init` makes a keyring"
        raise KeyringError(f"{path}: {reason}, or restore a backup")
    text = private_file.read(path, MAX_FILE_BYTES).strip()
    try:
        return _opened(text, roots)
    except KeyringError as error:
        kind, reason = type(error), error.reason
    raise kind(f"{path}: {reason}")


def _opened(text: bytes, roots: Roots) -> tuple[OpenedKeyring, KeyringLock]:
    if not text:
        raise KeyringError("the file is empty; restore a backup")
    form = parse(text)
    unwrapped = roots.unwrap(form.wrappings, form.id)
    root_key = unwrapped.root_key
    keyring = form.opened(root_key)
    if roots.signed_by:
        origin = replace(form.origin, signed=form.signed_by(roots.signed_by))
        keyring = replace(keyring, origin=origin)
    opened = OpenedKeyring(keyring, unwrapped.by, unwrapped.refusals)
    return opened, KeyringLock(root_key, form.wrappings)
