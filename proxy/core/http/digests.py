"""Digests of a request's body (RFC 9530, RFC 1864): checked before the body is changed.

A sealed body has another digest, so the backend cannot check what the client promised. Whoever
changes the body must.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Final

from ..errors import DigestMismatch
from .message import HeadFacts

_DIGESTS: Final = (b"content-digest", b"repr-digest")
_MD5: Final = b"content-md5"
_CHECKED: Final = frozenset({*_DIGESTS, _MD5})
_MEMBER: Final = re.compile(
    rb"[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,;]*)*[ \t]*"
)
_HASHES: Final = {b"sha-256": hashlib.sha256, b"sha-512": hashlib.sha512}


def promised(told: HeadFacts) -> bool:
    """Tell whether these headers hold a digest that `verify` looks at."""
    return not _CHECKED.isdisjoint(told)


class Digests:
    """What a message promises of its body, compared with what has come of it, piece by piece."""

    __slots__ = ("_promises",)

    def __init__(self, told: HeadFacts) -> None:
        """Take what the headers `told` promise; raise DigestMismatch where that is malformed.

        Other algorithms than SHA-256, SHA-512 and MD5 are passed over, as RFC 9530 section 2
        allows.
        """
        self._promises = [
            (value.strip(b" \t"), hashlib.md5(usedforsecurity=False))
            for value in told.get(_MD5, ())
        ]
        for name in _DIGESTS:
            for value in told.get(name, ()):
                self._promises += _members(value)

    def update(self, data: bytes) -> None:
        """Take a piece of the body as it came, still coded."""
        for _, found in self._promises:
            found.update(data)

    def check(self) -> None:
        """Raise DigestMismatch unless what has come is the body that was promised."""
        for promise, found in self._promises:
            _compare(promise, found.digest())


def digests_of(told: HeadFacts) -> Digests | None:
    """Return the digests that headers tell of a body, or None where they tell of none."""
    return Digests(told) if promised(told) else None


def verify(told: HeadFacts, body: bytes) -> None:
    """Refuse a body that is not the one its digests tell of; `body` is as it came, still coded.

    `told` are the headers of its message. Raises DigestMismatch.
    """
    digests = digests_of(told)
    if digests is not None:
        digests.update(body)
        digests.check()


def _members(value: bytes) -> Iterator[tuple[bytes, hashlib._Hash]]:
    for one in value.split(b","):
        member = _MEMBER.fullmatch(one)
        if member is None:
            raise DigestMismatch("digest-malformed")
        algorithm = _HASHES.get(member[1])
        if algorithm is not None:
            yield member[2], algorithm()


def _compare(text: bytes, digest: bytes) -> None:
    try:
        wanted = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise DigestMismatch("digest-malformed") from None
    if wanted != digest:
        raise DigestMismatch("digest-differs")
