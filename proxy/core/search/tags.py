r"""Tags: what stands for a word or a value at the backend, beside or behind its token.

A tag is one character of the generation and base32 (RFC 4648) in lower case: four characters for a
word, 26 for a value as a whole. Behind a token stands `~`, and each tag with a `~` behind it. No
token has that character, and it is no wildcard of `LIKE` or of regular expressions.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from struct import iter_unpack
from typing import Final, Literal, NamedTuple, Protocol

from ..crypto import derivation
from ..crypto.blocks import block_cipher
from ..crypto.context import Scope
from ..crypto.equal import EqualSession
from ..crypto.secret import IndexSecret
from ..errors import KeyUnavailable, ValueTooLong
from ..leaves.tokens import TAGS
from ..policy import INDEX_KEYS

TagKind = Literal["words", "exact"]

BETWEEN: Final = "~"
EXACT_CHARS: Final = 27

_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = [one + other for one in _CHARACTERS for other in _CHARACTERS]
_EXACT_BYTES: Final = 16
_BLOCK: Final = 16
_FROM_RIGHT: Final = range(120, -1, -10)
_LENGTHS: Final = [bytes((one,)) for one in range(_BLOCK)]
_LONG_WORD: Final = b"\xff"
_BEHIND: Final = re.compile(TAGS.decode() + r"\Z")


class IndexKeys:
    """Makes the tags of one generation of an index secret.

    Which key is used depends on the tenant, the conversation (where the scope has one), the field
    and the kind of tags: tags of two of them cannot be compared.
    """

    __slots__ = ("_exact_key", "_secret", "_word_cipher", "equal", "generation", "mark")

    def __init__(self, secret: IndexSecret, generation: int) -> None:
        """Take the secret and the number of its generation, from 1 on."""
        self._secret = secret
        self.generation = generation
        self.mark = _CHARACTERS[generation % len(_CHARACTERS)]
        """The character with which its tags begin."""
        self._exact_key = lru_cache(INDEX_KEYS)(self._make_exact_key)
        self._word_cipher = lru_cache(INDEX_KEYS)(self._make_word_cipher)
        self.equal = lru_cache(INDEX_KEYS)(self._make_equal)
        """Seals and opens values of a scope in the equal form."""

    def word_tags(self, scope: Scope, field: str, words: Sequence[str]) -> list[str]:
        """Return the tag of each word, as `words` has it, by one encryption of all: 5 characters.

        A block is the length of the word in UTF-8, the word and zeros, or 255 and the beginning of
        its SHA-256 where it does not fit. The first 20 bits of the encrypted block are the tag.
        """
        blocks = b"".join(
            [
                (_LENGTHS[len(text)] + text).ljust(_BLOCK, b"\0")
                if len(text) < _BLOCK
                else _long(text)
                for text in map(str.encode, words)
            ]
        )
        encrypted = self._word_cipher(scope, field)(blocks)
        mark = self.mark
        return [
            mark + _PAIRS[one >> 22] + _PAIRS[one >> 12 & 1023]
            for (one,) in iter_unpack(">I12x", encrypted)
        ]

    def exact_tag(self, scope: Scope, field: str, normal: str) -> str:
        """Return the tag of the normal form of a value: 27 characters."""
        digest = hmac.digest(self._exact_key(scope, field), normal.encode(), "sha256")
        bits = int.from_bytes(digest[:_EXACT_BYTES]) << 2  # 13 pairs of characters have 130
        return self.mark + "".join([_PAIRS[bits >> at & 1023] for at in _FROM_RIGHT])

    def _make_equal(self, scope: Scope) -> EqualSession:
        return EqualSession(self._secret, self.generation, scope)

    def _make_exact_key(self, scope: Scope, field: str) -> bytes:
        return derivation.index_key(self._secret, _info(scope, field, "exact", self.generation))

    def _make_word_cipher(self, scope: Scope, field: str) -> Callable[[bytes], bytes]:
        info = _info(scope, field, "words", self.generation)
        return block_cipher(derivation.index_key(self._secret, info))


def _info(scope: Scope, field: str, kind: TagKind, generation: int) -> bytes:
    of_scope = scope.encode()  # each part has a label and its length
    name = field.encode()
    parts = (of_scope, name, kind.encode())
    return b"".join(len(one).to_bytes(4) + one for one in parts) + generation.to_bytes(4)


def _long(text: bytes) -> bytes:
    return _LONG_WORD + sha256(text).digest()[: _BLOCK - 1]


class Index(Protocol):
    """How the values of a field are indexed."""

    def tags(self, keys: IndexKeys, scope: Scope, field: str, text: str) -> list[str]:
        """Return the tags of a value; raise NotIndexable for one that cannot be indexed."""


def of_value(
    index: Index, keys: Sequence[IndexKeys], scope: Scope, field: str, text: bytes
) -> list[str]:
    """Return the tags of a value, of each generation; `text` is UTF-8.

    Raises NotIndexable as the index does, KeyUnavailable where there is no index secret.
    """
    if not keys:
        raise KeyUnavailable("no-index-secret")
    return [tag for one in keys for tag in index.tags(one, scope, field, text.decode())]


def within(most: int | None, text: str, field: str) -> bytes:
    """Return a token with its tags; raise ValueTooLong where the backend does not accept it."""
    if most is not None and len(text) > most:
        told = f"{field}: token and tags have {len(text)} characters, at most {most} fit."
        raise ValueTooLong("value-too-long", detail=told)
    return text.encode()


class Cut(NamedTuple):
    """A token, and the tags that stood behind it."""

    token: str
    tags: tuple[str, ...] = ()


def listed(tags: Iterable[str]) -> str:
    """Return tags as a member holds them: sorted, each once, between `~`."""
    return BETWEEN + "".join(f"{one}{BETWEEN}" for one in sorted(set(tags)))


def behind(token: str, tags: Iterable[str]) -> str:
    """Return a token with its tags behind it; a value without tags is the token alone."""
    text = listed(tags)
    return token if text == BETWEEN else token + text


def cut(text: str) -> Cut:
    """Return what stands before the tags of a text, and the tags; a text without any is whole."""
    found = _BEHIND.search(text) if text.endswith(BETWEEN) else None
    if found is None:
        return Cut(text)
    return Cut(text[: found.start()], tuple(found[0][1:-1].split(BETWEEN)))
