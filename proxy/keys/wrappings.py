"""Wrappings: the root key of a keyring's file, once for each root that opens it.

What is wrapped is u8 version ‖ keyring id:16 ‖ root key:32, so that a wrapping of one keyring never
opens another. Of the roots in a file only those are tried that the configuration names: what a file
says of a root (an address, the name of a key) is never gone by.

A new kind is one line in KINDS, and one file beside the others in `roots` for its provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..core.crypto import base64url, derivation
from ..core.crypto.secret import KEY_BYTES
from ..core.errors import KeyringError
from . import envelope
from .roots.provider import RootKey, RootProvider

VERSION: Final = 1
MOST: Final = 16
"""Wrappings in one file."""

_CTY: Final = "octet-stream"
_HEAD_BYTES: Final = 1 + derivation.KEYRING_ID_BYTES

Members = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Wrapping:
    """The root key as one root holds it: the kind of root, and what the file says besides.

    Each has `made`, when it was made (seconds since 1970); the rest depends on the kind.
    """

    kind: str
    members: Members

    def to_json(self) -> dict[str, str | int]:
        """Return it as it stands in the file."""
        return {"kind": self.kind, **self.members}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How roots of one kind wrap bytes, and unwrap them again."""

    wrap: Callable[[bytes, RootProvider], Members]
    unwrap: Callable[[Members, RootProvider], bytes]


def _wrap_here(plaintext: bytes, root: RootProvider) -> Members:
    return {"jwe": envelope.encrypt(plaintext, root.fetch(), cty=_CTY).decode()}


def _unwrap_here(members: Members, root: RootProvider) -> bytes:
    if set(members) != {"made", "jwe"}:
        raise KeyringError("a wrapping has missing or unknown members")
    return envelope.decrypt(str(members["jwe"]).encode(), root.fetch(), cty=_CTY)


KINDS: Final[Mapping[str, _Kind]] = {
    "file": _Kind(_wrap_here, _unwrap_here),
    "passphrase": _Kind(_wrap_here, _unwrap_here),
}


def wrap(root_key: RootKey, keyring_id: str, root: RootProvider, *, now: int) -> Wrapping:
    """Return the wrapping of the root key by `root`; `now` is in seconds since 1970.

    Raises KeyringError where the root cannot be had, or is too weak to guard anything new.
    """
    head = bytes([VERSION]) + base64url.decode(keyring_id.encode())
    members = KINDS[root.kind].wrap(head + root_key.reveal(), root)
    return Wrapping(root.kind, {"made": now, **members})


def unwrap(wrappings: tuple[Wrapping, ...], keyring_id: str, root: RootProvider) -> RootKey:
    """Return the root key by the one wrapping of the configured root; no other is tried.

    Raises KeyringError where there is none or several, and where it is of another keyring.
    """
    found = [one for one in wrappings if one.kind == root.kind]
    if len(found) != 1:
        held = ", ".join(sorted({one.kind for one in wrappings}))
        number = "several wrappings" if found else "no wrapping"
        reason = f"{number} for the configured root `{root.kind}`; its roots are: {held}"
        raise KeyringError(f"the keyring has {reason}")
    plaintext = KINDS[root.kind].unwrap(found[0].members, root)
    if len(plaintext) != _HEAD_BYTES + KEY_BYTES or plaintext[0] != VERSION:
        raise KeyringError("what the root unwraps is no root key of this version")
    if base64url.encode(plaintext[1:_HEAD_BYTES]).decode() != keyring_id:
        raise KeyringError("a wrapping is that of another keyring")
    return RootKey(plaintext[_HEAD_BYTES:])
