"""What a root provider is, and how the root key of a keyring is wrapped by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ....core.crypto import base64url, derivation
from ....core.crypto.secret import KEY_BYTES
from ....core.errors import KeyringError
from .. import envelope
from ..root_secret import Passphrase, RootKey

VERSION: Final = 1
MOST_WRAPPINGS: Final = 16
"""Wrappings in one file."""

PURPOSE: Final = "keyring-root/v1"
"""What a key service wraps the bytes for, besides the keyring; it never changes."""

_CTY: Final = "octet-stream"
_HEAD_BYTES: Final = 1 + derivation.KEYRING_ID_BYTES

Members = Mapping[str, str | int]
"""What a keyring's file holds of one wrapping: texts and whole numbers."""


class RootProvider(Protocol):
    """Wraps the root key of a keyring, with a secret of its own or a key service.

    It is used at start and on reload, never while a message waits. Its methods may block: call them
    off the event loop.
    """

    @property
    def kind(self) -> str:
        """Its name in ROOTS, in the configuration and in the wrappings of a keyring's file."""
        ...

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the wrapped bytes, with what `unwrap` needs besides; not `kind` and `made`.

        A key service binds them to the keyring's id and to PURPOSE.

        Raises KeyringError when it cannot wrap, or when its secret is too weak.
        """
        ...

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the bytes that `wrap` took for the same keyring.

        Raises KeyringError, without any secret, for other members and when it cannot unwrap.
        """
        ...


class LocalRoot(ABC):
    """A root whose secret is on this machine: it wraps with a JWE, and opens the old format too."""

    __slots__ = ()

    @property
    @abstractmethod
    def kind(self) -> str:
        """As `RootProvider.kind`."""

    @abstractmethod
    def fetch(self) -> RootKey | Passphrase:
        """Return the secret. Raises KeyringError, without the secret, when it is not available."""

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the JWE under the secret."""
        return {"jwe": envelope.encrypt(plaintext, self.fetch(), cty=_CTY).decode()}

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext of the JWE."""
        if set(members) != {"jwe"}:
            raise KeyringError("a wrapping has missing or unknown members")
        return envelope.decrypt(str(members["jwe"]).encode(), self.fetch(), cty=_CTY)


@dataclass(frozen=True, slots=True)
class Wrapping:
    """The root key wrapped by one root: the kind of root, when (seconds since 1970), and the rest.

    `members` depend on the kind of root.
    """

    kind: str
    made: int
    members: Members

    def to_json(self) -> dict[str, str | int]:
        """Return the JSON object of the keyring's file."""
        return {"kind": self.kind, "made": self.made, **self.members}


def wrap(root_key: RootKey, keyring_id: str, root: RootProvider, *, now: int) -> Wrapping:
    """Return the wrapping of the root key by `root`; `now` is in seconds since 1970.

    Raises KeyringError where the root is not available, or too weak for a new wrapping.
    """
    head = bytes([VERSION]) + base64url.decode(keyring_id.encode())
    return Wrapping(root.kind, now, root.wrap(head + root_key.reveal(), keyring_id))


def unwrap(wrappings: tuple[Wrapping, ...], keyring_id: str, root: RootProvider) -> RootKey:
    """Return the root key from the one wrapping of the configured root; no other is tried.

    Raises KeyringError where there is none or several, and where it is of another keyring.
    """
    found = [one for one in wrappings if one.kind == root.kind]
    if len(found) != 1:
        kinds = ", ".join(sorted({one.kind for one in wrappings}))
        number = "several wrappings" if found else "no wrapping"
        reason = f"{number} for the configured root `{root.kind}`; its roots are: {kinds}"
        raise KeyringError(f"the keyring has {reason}")
    plaintext = root.unwrap(found[0].members, keyring_id)
    if len(plaintext) != _HEAD_BYTES + KEY_BYTES or plaintext[0] != VERSION:
        raise KeyringError("the wrapping holds no root key of this version")
    if base64url.encode(plaintext[1:_HEAD_BYTES]).decode() != keyring_id:
        raise KeyringError("the wrapping belongs to another keyring")
    return RootKey(plaintext[_HEAD_BYTES:])
