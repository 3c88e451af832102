"""What a root provider is, and the two kinds of secret that open a keyring."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn, Protocol

from ...core.errors import KeyringError
from ...core.secret import Secret

MIN_PASSPHRASE_CHARS: Final = 12
MAX_PASSPHRASE_BYTES: Final = 1024


class RootKey(Secret):
    """32 random bytes that wrap a content key (A256KW): of a keyring, or of a wrapping of one."""

    __slots__ = ()


class Passphrase:
    """A passphrase that opens the keyring (PBES2) and will not print, pickle or copy."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        """Take the text; raise KeyringError when it is empty or above 1024 bytes of UTF-8."""
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            encoded = b""
        if not 1 <= len(encoded) <= MAX_PASSPHRASE_BYTES:
            raise KeyringError(f"a passphrase is 1 to {MAX_PASSPHRASE_BYTES} bytes of UTF-8")
        self.__text = text

    def reveal(self) -> bytes:
        """Return the passphrase's UTF-8 bytes, for the key derivation alone."""
        return self.__text.encode()

    def require_strength(self) -> None:
        """Raise KeyringError when the passphrase is too short to guard a new keyring."""
        if len(self.__text) < MIN_PASSPHRASE_CHARS:
            raise KeyringError(f"a new passphrase has at least {MIN_PASSPHRASE_CHARS} characters")

    def __repr__(self) -> str:
        """Show the class, nothing of the text."""
        return "<Passphrase hidden>"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Passphrase):
            return NotImplemented
        return hmac.compare_digest(self.reveal(), other.reveal())

    __hash__ = None  # type: ignore[assignment]  # a hash table would keep a digest of the text

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a Passphrase cannot be pickled or copied")


class RootProvider(Protocol):
    """The outside holder of the secret that opens the keyring.

    It is asked at start and on reload, never while a message waits. `kind` is what the
    configuration and the wrappings of a file call it.
    """

    @property
    def kind(self) -> str:
        """What kind of root it is."""
        ...

    def fetch(self) -> RootKey | Passphrase:
        """Return the secret. It may block: call it off the event loop.

        Raises KeyringError, without the secret, when it cannot be had.
        """
        ...
