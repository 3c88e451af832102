"""What a root provider is, and the two kinds of secret that open a keyring."""

from __future__ import annotations

import hmac
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from ....core.crypto.secret import KEY_BYTES, Secret
from ....core.errors import KeyringError
from ....process.hardening import overwrite

LEAST_CHARS: Final = 12
_LEAST_DIFFERENT: Final = 6
_LEAST_COUNTING: Final = 8
_SHORTEST_RUN: Final = 3
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
    """Return what a passphrase (UTF-8) lacks to guard something new; None where it will do.

    It makes copies, which it overwrites.
    """
    size = sum(byte & 0xC0 != 0x80 for byte in text)  # noqa: PLR2004 - UTF-8
    if size < LEAST_CHARS:
        return f"has at least {LEAST_CHARS} characters"
    if len(set(text)) < _LEAST_DIFFERENT:
        return f"has at least {_LEAST_DIFFERENT} different characters"
    folded, spelled = text.translate(_FOLDED), text.translate(_SPELLED)
    try:
        told = set(_runs(folded)) | set(_words(folded)) | set(_words(spelled))
        counting = len(set(range(_period(folded))) - told)
    finally:
        overwrite(folded)
        overwrite(spelled)
    if counting < _LEAST_COUNTING:
        return "is no common word, no row of keys and no repetition; take a few random words"
    return None


def _period(text: bytearray) -> int:
    """Return after how many bytes a text begins again and goes on so to its end."""
    for period in range(1, len(text) // 2 + 1):
        if all(text[at] == text[at - period] for at in range(period, len(text))):
            return period
    return len(text)


def _runs(text: bytearray) -> Iterator[int]:
    """Yield the places that go on with a run of equal bytes, or along a row, in one direction."""
    for row in _ROWS:
        for way in (row, row[::-1]):
            begun = 0
            for at in range(1, len(text) + 1):
                if at < len(text) and _goes_on(text[at - 1], text[at], way):
                    continue
                if at - begun >= _SHORTEST_RUN:
                    yield from range(begun + 1, at)
                begun = at


def _goes_on(before: int, after: int, way: bytes) -> bool:
    if before == after:
        return True
    place = way.find(before)
    return 0 <= place < len(way) - 1 and way[place + 1] == after


def _words(text: bytearray) -> Iterator[int]:
    """Yield the places within common words, but for their first."""
    for word in _COMMON:
        at = text.find(word)
        while at >= 0:
            yield from range(at + 1, at + len(word))
            at = text.find(word, at + 1)


MAX_PASSPHRASE_BYTES: Final = 1024
FORGOTTEN: Final = (
    "the passphrase was forgotten once it had opened the keyring, and this is under another salt:"
    " start anew, or let the passphrase stand in a file"
)
_MOST_DERIVED: Final = 8


class RootKey(Secret):
    """32 random bytes that wrap a content key (A256KW): of a keyring, or of a wrapping of one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Salted:
    """What PBKDF2 takes besides the passphrase: the salt and the number of rounds."""

    salt: bytes
    count: int


class Passphrase:
    """A passphrase that opens the keyring (PBES2) and will not print, pickle or copy.

    It stands in one place, which is overwritten by `forget` and when nobody has the object any
    more. What was derived from it stays usable: it opens what it was derived for, and nothing else.
    """

    __slots__ = ("__derived", "__text")

    def __init__(self, text: str | bytearray) -> None:
        """Take the text, or its UTF-8 bytes, which are this object's from now on.

        Raises KeyringError when it is empty, above 1024 bytes, or no UTF-8.
        """
        self.__derived: dict[Salted, RootKey] = {}
        self.__text = text if isinstance(text, bytearray) else _encoded(text)
        if not 1 <= len(self.__text) <= MAX_PASSPHRASE_BYTES or not _is_utf8(self.__text):
            raise KeyringError(f"a passphrase is 1 to {MAX_PASSPHRASE_BYTES} bytes of UTF-8")

    @property
    def derived(self) -> Mapping[Salted, RootKey]:
        """What was derived from it so far, the latest last."""
        return self.__derived

    def derive(self, salted: Salted, *, keep: bool = True) -> RootKey:
        """Return the key for one salt (RFC 8018, PBKDF2-HMAC-SHA-512), which takes 0.15 s once.

        It is kept for the next time where `keep` says so. Raises KeyringError where the passphrase
        was forgotten and the key not kept.
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
        """Keep what another process has derived from the same passphrase."""
        self.__derived.pop(salted, None)
        self.__derived[salted] = key
        while len(self.__derived) > _MOST_DERIVED:
            del self.__derived[next(iter(self.__derived))]

    def forget(self) -> None:
        """Overwrite the passphrase; only what was derived from it is left."""
        text, self.__text = self.__text, bytearray()
        overwrite(text)

    @classmethod
    def forgotten(cls) -> Passphrase:
        """Return a passphrase that is forgotten already, to be told what was derived from it."""
        made = cls(bytearray(1))
        made.forget()
        return made

    def reveal(self) -> bytes:
        """Return the passphrase's UTF-8 bytes, for those who hand it to another process."""
        return bytes(self.__text)

    @property
    def weakness(self) -> str | None:
        """What the passphrase lacks to guard something new; None where it will do."""
        return weakness(self.__text)

    def require_strength(self) -> None:
        """Raise KeyringError when the passphrase is too weak to guard something new.

        What it guards already it goes on to open.
        """
        if (lacks := self.weakness) is not None:
            raise KeyringError(f"a new passphrase {lacks}")

    def __del__(self) -> None:
        """Overwrite it."""
        with suppress(AttributeError):  # the constructor was refused
            overwrite(self.__text)

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
    """Tell it a byte at a time: a decoder that is given all of it makes a copy of it."""
    decoder = getincrementaldecoder("utf-8")()
    try:
        for byte in text:
            decoder.decode(bytes((byte,)))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


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
