"""The two kinds of secret that open a keyring: a passphrase and a root key."""

from __future__ import annotations

import hmac
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from ...core.crypto.secret import KEY_BYTES, Secret
from ...core.errors import KeyringError, PassphraseError
from ...process.hardening import overwrite
from .. import policy

_ROWS: Final = (
    b"abcdefghijklmnopqrstuvwxyz",
    b"12345678901",
    b"qwertyuiop",
    b"qwertzuiop",
    b"azertyuiop",
    b"asdfghjkl",
    b"qsdfghjklm",
    b"zxcvbnm",
    b"yxcvbnm",
    b"wxcvbn",
)
_COMMON: Final = (
    b"administrator",
    b"admin",
    b"baseball",
    b"changeme",
    b"changeit",
    b"correcthorsebatterystaple",
    b"correct horse battery staple",
    b"default",
    b"dragon",
    b"football",
    b"iloveyou",
    b"letmein",
    b"login",
    b"master",
    b"monkey",
    b"passphrase",
    b"password",
    b"passwort",
    b"princess",
    b"sealyard",
    b"secret",
    b"sunshine",
    b"superman",
    b"trustno",
    b"welcome",
)
_FOLDED: Final = bytes(
    ord(chr(one).lower()) if one < 128 else one  # noqa: PLR2004 - ASCII
    for one in range(256)
)
_SPELLED: Final = _FOLDED.translate(bytes.maketrans(b"@4301!$57", b"aaeoiisst"))


def weakness(text: bytearray) -> str | None:
    """Return the requirement for new passphrases that `text` (UTF-8) fails; None where it passes.

    Copies that it makes are overwritten.
    """
    size = sum(byte & 0xC0 != 0x80 for byte in text)  # noqa: PLR2004 - UTF-8
    if size < policy.LEAST_CHARS:
        return f"needs at least {policy.LEAST_CHARS} characters"
    if len(set(text)) < policy.LEAST_DIFFERENT:
        return f"needs at least {policy.LEAST_DIFFERENT} different characters"
    folded, spelled = text.translate(_FOLDED), text.translate(_SPELLED)
    try:
        predictable = set(_runs(folded)) | set(_words(folded)) | set(_words(spelled))
        counting = len(set(range(_period(folded))) - predictable)
    finally:
        overwrite(folded)
        overwrite(spelled)
    if counting < policy.LEAST_COUNTING:
        return "is not a common word, a row of keys or a repetition: use a few random words"
    return None


def _period(text: bytearray) -> int:
    """Return the period of a text that repeats itself to its end; its length if it does not."""
    for period in range(1, len(text) // 2 + 1):
        if all(text[at] == text[at - period] for at in range(period, len(text))):
            return period
    return len(text)


def _runs(text: bytearray) -> Iterator[int]:
    """Yield the offsets that continue a run of equal bytes, or a row of keys in one direction."""
    for row in _ROWS:
        for way in (row, row[::-1]):
            begun = 0
            for at in range(1, len(text) + 1):
                if at < len(text) and _goes_on(text[at - 1], text[at], way):
                    continue
                if at - begun >= policy.SHORTEST_RUN:
                    yield from range(begun + 1, at)
                begun = at


def _goes_on(before: int, after: int, way: bytes) -> bool:
    if before == after:
        return True
    place = way.find(before)
    return 0 <= place < len(way) - 1 and way[place + 1] == after


def _words(text: bytearray) -> Iterator[int]:
    """Yield the offsets within common words, except their first."""
    for word in _COMMON:
        at = text.find(word)
        while at >= 0:
            yield from range(at + 1, at + len(word))
            at = text.find(word, at + 1)


FORGOTTEN: Final = (
    "the passphrase was overwritten in memory after it opened the keyring, and this has"
    " another salt: restart, or keep the passphrase in a file"
)


class RootKey(Secret):
    """32 random bytes that wrap a content key (A256KW), of a keyring or of one of its wrappings."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Salted:
    """The input of PBKDF2 besides the passphrase: the salt and the number of iterations."""

    salt: bytes
    count: int


class Passphrase:
    """A passphrase that opens the keyring (PBES2) and cannot be printed, pickled or copied.

    It is in one buffer, which `forget` overwrites, as does the end of the object. Keys that were
    derived from it stay usable, each for what it was derived for.
    """

    __slots__ = ("__derived", "__text")

    def __init__(self, text: str | bytearray) -> None:
        """Take the text, or its UTF-8 bytes; the object owns the buffer from now on.

        Raises KeyringError when it is empty, above 1024 bytes, or not UTF-8.
        """
        self.__derived: dict[Salted, RootKey] = {}
        self.__text = text if isinstance(text, bytearray) else _encoded(text)
        if not 1 <= len(self.__text) <= policy.MAX_PASSPHRASE_BYTES or not _is_utf8(self.__text):
            raise KeyringError(f"a passphrase is 1 to {policy.MAX_PASSPHRASE_BYTES} bytes of UTF-8")

    @property
    def derived(self) -> Mapping[Salted, RootKey]:
        """The keys derived from it so far, the latest last."""
        return self.__derived

    def derive(self, salted: Salted, *, keep: bool = True) -> RootKey:
        """Return the key for one salt (RFC 8018, PBKDF2-HMAC-SHA-512), which takes 0.15 s once.

        The key is kept for the next time if `keep`. Raises KeyringError where the passphrase was
        overwritten and the key not kept.
        """
        known = self.__derived.get(salted)
        if known is None:
            if not self.__text:
                raise KeyringError(FORGOTTEN)
            kdf = PBKDF2HMAC(SHA512(), KEY_BYTES, salted.salt, salted.count)
            known = RootKey(kdf.derive(self.__text))
        if keep:
            self.remember(salted, known)
        return known

    def remember(self, salted: Salted, key: RootKey) -> None:
        """Keep a key that another process derived from the same passphrase."""
        self.__derived.pop(salted, None)
        self.__derived[salted] = key
        while len(self.__derived) > policy.MOST_DERIVED:
            del self.__derived[next(iter(self.__derived))]

    def forget(self) -> None:
        """Overwrite the passphrase; only the derived keys are left."""
        text, self.__text = self.__text, bytearray()
        overwrite(text)

    @classmethod
    def forgotten(cls) -> Passphrase:
        """Return an overwritten passphrase, to which derived keys can be added."""
        made = cls(bytearray(1))
        made.forget()
        return made

    def reveal(self) -> bytes:
        """Return the passphrase's UTF-8 bytes, to hand them to another process."""
        return bytes(self.__text)

    @property
    def weakness(self) -> str | None:
        """The requirement for new passphrases that it fails; None where it passes."""
        return weakness(self.__text)

    def require_strength(self) -> None:
        """Raise PassphraseError when the passphrase is too weak to protect something new.

        It still opens what it already protects.
        """
        if (lacks := self.weakness) is not None:
            raise PassphraseError(f"a new passphrase {lacks}; choose another")

    def __del__(self) -> None:
        """Overwrite it.

        Without `overwrite`: at the exit of the interpreter, globals may be None already.
        """
        with suppress(AttributeError):  # the constructor was refused
            self.__text[:] = bytes(len(self.__text))

    def __repr__(self) -> str:
        """Show the class, nothing of the text."""
        return "<Passphrase hidden>"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Passphrase):
            return NotImplemented
        return hmac.compare_digest(self.__text, other.__text)

    __hash__ = None  # type: ignore[assignment]  # a hash table would keep a digest of the text

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a Passphrase cannot be pickled or copied")


def _encoded(text: str) -> bytearray:
    try:
        return bytearray(text.encode())
    except UnicodeEncodeError:
        return bytearray()


def _is_utf8(text: bytearray) -> bool:
    """Decode one byte at a time: a decoder that gets the whole text makes a copy of it."""
    decoder = getincrementaldecoder("utf-8")()
    try:
        for byte in text:
            decoder.decode(bytes((byte,)))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
