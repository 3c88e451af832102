"""The form of a keyring's file: a JSON object that tells which keyring it is, and who opens it.

The keyring itself is a JWE under a root key; each root that opens it holds a wrapping of that key.
A MAC under the root key covers the whole object, so that nobody without it adds, removes or swaps a
wrapping, or makes the file look newer or older than it is. docs/reference/keyring-file.md has the
form for those who read it with other tools.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from ..core.crypto import base64url, derivation
from ..core.errors import KeyringError
from . import envelope, jwk_set
from .keyring import Keyring
from .roots.provider import RootKey
from .wrappings import MOST, Wrapping

VERSION: Final = 2

_MEMBERS: Final = frozenset(
    {"sealyard", "id", "generation", "digest", "wrappings", "keyring", "mac"}
)
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_MAC: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_TEXT: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """A file that was read, and of which nothing is verified yet."""

    id: str
    wrappings: tuple[Wrapping, ...]
    members: _Members

    def opened(self, root_key: RootKey) -> Keyring:
        """Return the keyring; raise KeyringError unless every member is what the root key says."""
        expected = _mac(self.members, root_key)
        if not hmac.compare_digest(expected, str(self.members["mac"])):
            raise KeyringError("the keyring's MAC does not fit: somebody changed the file")
        sealed = str(self.members["keyring"]).encode()
        keyring = jwk_set.decode(envelope.decrypt(sealed, root_key))
        told = self.members["id"], self.members["generation"], self.members["digest"]
        if told != (keyring.id, keyring.generation, keyring.digest):
            raise KeyringError("the keyring's file says other things than the keyring in it")
        return keyring


def is_form(text: bytes) -> bool:
    """Whether a file has this form, and not that of version 0.1.0 (a JWE alone)."""
    return text.lstrip()[:1] == b"{"


def compose(keyring: Keyring, root_key: RootKey, wrappings: tuple[Wrapping, ...]) -> bytes:
    """Return the file of a keyring."""
    members: _Members = {
        "sealyard": VERSION,
        "id": keyring.id,
        "generation": keyring.generation,
        "digest": keyring.digest,
        "wrappings": [one.to_json() for one in wrappings],
        "keyring": envelope.encrypt(jwk_set.encode(keyring), root_key).decode(),
    }
    members["mac"] = _mac(members, root_key)
    return json.dumps(members, indent=1).encode() + b"\n"


def parse(text: bytes) -> Form:
    """Return what a file says; raise KeyringError for anything but this form."""
    members = jwk_set.parse_object(text)
    if members is None or "sealyard" not in members:
        raise KeyringError("the keyring's file is no JSON object of Sealyard")
    version = members["sealyard"]
    if type(version) is not int or version > VERSION:
        raise KeyringError("the keyring was written by a newer Sealyard")
    if version != VERSION or set(members) != _MEMBERS:
        raise KeyringError("the keyring's file has missing or unknown members")
    if type(members["generation"]) is not int:
        raise KeyringError("the keyring's generation is not an integer")
    for name, pattern in (("id", _ID), ("digest", _ID), ("mac", _MAC)):
        if not isinstance(members[name], str) or not pattern.fullmatch(members[name]):
            raise KeyringError(f"the keyring's {name} is not base64url of its length")
    if not isinstance(members["keyring"], str) or not members["keyring"].isascii():
        raise KeyringError("the keyring's file holds no keyring")
    return Form(members["id"], _wrappings(members["wrappings"]), members)


def _wrappings(listed: object) -> tuple[Wrapping, ...]:
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST:
        raise KeyringError(f"a keyring's file has 1 to {MOST} wrappings")
    return tuple(map(_wrapping, listed))


def _wrapping(found: object) -> Wrapping:
    if not isinstance(found, dict):
        raise KeyringError("a wrapping is a JSON object")
    plain = all(
        type(value) is int or (isinstance(value, str) and _TEXT.fullmatch(value))
        for value in found.values()
    )
    kind = found.get("kind")
    if not plain or not isinstance(kind, str) or type(found.get("made")) is not int:
        raise KeyringError("a wrapping has a kind, when it was made, and plain members")
    return Wrapping(kind, {name: value for name, value in found.items() if name != "kind"})


def _mac(members: _Members, root_key: RootKey) -> str:
    """Return the MAC over all members but itself, in the canonical form of RFC 8785."""
    covered = {name: value for name, value in members.items() if name != "mac"}
    text = json.dumps(covered, separators=(",", ":"), sort_keys=True).encode()
    return base64url.encode(derivation.keyring_mac(root_key.reveal(), text)).decode()
