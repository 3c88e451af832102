"""What a root provider is, and how the root key of a keyring is wrapped by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from ....core.crypto import base64url, derivation
from ....core.crypto.secret import KEY_BYTES
from ....core.errors import KeyringError
from ....process.fitness import Finding
from .. import envelope
from ..keyring import Keyring
from ..root_secret import Passphrase, RootKey

VERSION: Final = 1

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

    @property
    def key(self) -> str:
        """What tells it from others of its kind; empty for a kind of which there is only one.

        It is the key's name as the configuration gives it, with the region or the server where the
        name alone is not unique: 1 to 1,024 printable ASCII characters. It is written into the
        wrapping, where it finds that wrapping again; a call uses the configuration alone.
        """

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the wrapped bytes, with what `unwrap` needs besides; not `kind`, `key`, `made`.

        A key service binds them to the keyring's id and to PURPOSE.

        Raises KeyringError when it cannot wrap, or when its secret is too weak.
        """

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the bytes that `wrap` took for the same keyring.

        Raises KeyringError, without any secret, for other members and when it cannot unwrap.
        """

    def examine(self) -> list[Finding]:
        """Return what `doctor` should say about the root besides that it opens the keyring.

        Examples are rights that are too wide, and a key that is never rotated. What cannot be asked
        is no finding above `unknown`. It changes nothing. Raises KeyringError when the root cannot
        be asked at all.
        """


class LocalRoot(ABC):
    """A root whose secret is on this machine: it wraps with a JWE."""

    __slots__ = ()

    @property
    @abstractmethod
    def kind(self) -> str:
        """As `RootProvider.kind`."""

    @property
    def key(self) -> str:
        """As `RootProvider.key`: there is one of each local kind."""
        return ""

    @abstractmethod
    def fetch(self) -> RootKey | Passphrase:
        """Return the secret. Raises KeyringError, without the secret, when it is not available."""

    def wrap(self, plaintext: bytes, keyring_id: str, salt: bytes | None = None) -> Members:
        """Return the JWE under the secret, with a salt for a passphrase."""
        return {"jwe": envelope.encrypt(plaintext, self.fetch(), cty=_CTY, salt=salt).decode()}

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext of the JWE."""
        if set(members) != {"jwe"}:
            raise KeyringError("a wrapping has missing or unknown members")
        return envelope.decrypt(str(members["jwe"]).encode(), self.fetch(), cty=_CTY)

    def examine(self) -> list[Finding]:
        """Return nothing: its file is checked whenever it is read."""
        return []


class RootName(NamedTuple):
    """Which root it is: its kind, and its key where a kind has several."""

    kind: str
    key: str

    def __str__(self) -> str:
        """Return it for a sentence."""
        return f"`{self.kind}` {self.key}".rstrip()


@dataclass(frozen=True, slots=True)
class Wrapping:
    """The root key wrapped by one root: its kind, when (seconds since 1970), its key, and the rest.

    `members` depend on the kind of root.
    """

    kind: str
    made: int
    members: Members
    key: str = ""

    @property
    def root(self) -> RootName:
        """Which root made it."""
        return RootName(self.kind, self.key)

    def to_json(self) -> dict[str, str | int]:
        """Return the JSON object of the keyring's file."""
        key = {"key": self.key} if self.key else {}
        return {"kind": self.kind, **key, "made": self.made, **self.members}


def wrap(root_key: RootKey, keyring: Keyring, root: RootProvider, *, now: int) -> Wrapping:
    """Return the wrapping of a keyring's root key by `root`; `now` is in seconds since 1970.

    Raises KeyringError where the root is not available, or too weak for a new wrapping.
    """
    head = bytes([VERSION]) + base64url.decode(keyring.id.encode())
    plaintext = head + root_key.reveal()
    if isinstance(root, LocalRoot):
        members = root.wrap(plaintext, keyring.id, keyring.salt)
    else:
        members = root.wrap(plaintext, keyring.id)
    return Wrapping(root.kind, now, members, root.key)


def unwrap(wrapping: Wrapping, keyring_id: str, root: RootProvider) -> RootKey:
    """Return the root key from a wrapping that `root` made.

    Raises KeyringError where it does not open, and where it is of another keyring.
    """
    plaintext = root.unwrap(wrapping.members, keyring_id)
    if len(plaintext) != _HEAD_BYTES + KEY_BYTES or plaintext[0] != VERSION:
        raise KeyringError("the wrapping holds no root key of this version")
    if base64url.encode(plaintext[1:_HEAD_BYTES]).decode() != keyring_id:
        raise KeyringError("the wrapping belongs to another keyring")
    return RootKey(plaintext[_HEAD_BYTES:])
