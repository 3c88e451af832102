"""Key material that will not print, pickle, copy or compare carelessly."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final, NoReturn, Self

from ..errors import KeyUnavailable

KEY_BYTES: Final = 32


class Secret:
    """32 bytes of key material behind one method, `reveal`.

    Only the modules that pass bytes to the cryptographic library call `reveal`. Everything by which
    Python could spread a value (repr, format, pickle, copy, iteration, hashing) refuses.
    """

    __slots__ = ("__material",)

    def __init__(self, material: bytes) -> None:
        """Take exactly 32 bytes; raise ValueError (naming the length alone) for anything else."""
        if type(material) is not bytes or len(material) != KEY_BYTES:
            message = f"key material is exactly {KEY_BYTES} bytes"
            raise ValueError(message)
        self.__material = material

    def reveal(self) -> bytes:
        """Return the bytes, for the cryptographic library alone.

        Raises KeyUnavailable once they were given up.
        """
        if not self.__material:
            raise KeyUnavailable("root-lease-ended")
        return self.__material

    def give_up(self) -> bytes:
        """Return the bytes to whoever overwrites them, and hold none from then on.

        It is for the end of the root's lease: whatever has the key loses it at once.
        """
        material, self.__material = self.__material, b""
        return material

    def __repr__(self) -> str:
        """Show the class, nothing of the material."""
        return f"<{type(self).__name__} hidden>"

    def __format__(self, spec: str) -> str:
        """Format as `repr` does, whatever the spec."""
        return repr(self)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time, within one class."""
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self.__material, other.__material)

    __hash__ = None  # type: ignore[assignment]  # a hash table would keep a digest of the material

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied; `copy` and `pickle` both call this."""
        message = f"{type(self).__name__} cannot be pickled or copied"
        raise TypeError(message)


class Kek(Secret):
    """A key-encryption key. Only labelled derivations read it."""

    __slots__ = ()


class SessionKey(Secret):
    """The AES-256 key of one conversation's messages for a while (JOSE: CEK)."""

    __slots__ = ()


class StreamKey(Secret):
    """The key of one sealed stream, sealed at its beginning."""

    __slots__ = ()


class IdentityKey(Secret):
    """What a keyring is told by, whatever is rotated in it: its id is derived from it."""

    __slots__ = ()


class NameKey(Secret):
    """The key that hashes record names in the store."""

    __slots__ = ()


class IndexSecret(Secret):
    """What the keys of tags are derived from: no KEK, so that rotating those breaks no index."""

    __slots__ = ()


class RotatedKey(Secret):
    """A key, and those that were in use before it: what they authenticated then still counts."""

    __slots__ = ("past",)

    def __init__(self, material: bytes, past: Sequence[Self] = ()) -> None:
        """Take the key in use, and the others."""
        super().__init__(material)
        self.past: tuple[Self, ...] = tuple(past)

    @property
    def all(self) -> tuple[Self, ...]:
        """The key in use, and those before it."""
        return (self, *self.past)


class RecordKey(RotatedKey):
    """The key that authenticates records in the store.

    `also` are keys that authenticate records beside it while it is being rotated, each up to a time
    in seconds since 1970. `past` counts for what is no record: lines of the audit log, receipts and
    poison tokens.
    """

    __slots__ = ("also",)

    def __init__(
        self,
        material: bytes,
        past: Sequence[Self] = (),
        also: Sequence[tuple[Self, float]] = (),
    ) -> None:
        """Take the key in use, and the others."""
        super().__init__(material, past)
        self.also: tuple[tuple[Self, float], ...] = tuple(also)


class PoisonKey(RotatedKey):
    """The key by which poison tokens are recognised."""

    __slots__ = ()


class AuditKey(RotatedKey):
    """The key that chains the lines of the audit log."""

    __slots__ = ()


class CallerKey(RotatedKey):
    """The key that names callers in the audit log; former ones find lines of their time."""

    __slots__ = ()
