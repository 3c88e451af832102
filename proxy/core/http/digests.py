"""Digests of a request's body (RFC 9530, RFC 1864): checked before the body is changed.

A sealed body has another digest, so the backend cannot verify that of the client. Sealyard, which
changes the body, has to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Final

from ..errors import DigestMismatch
from ..slices import pieces
from .message import HeadFacts

_DIGESTS: Final = (b"content-digest", b"repr-digest")
_MD5: Final = b"content-md5"
_CHECKED: Final = frozenset({*_DIGESTS, _MD5})
_MEMBER: Final = re.compile(
    rb"[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,;]*)*[ \t]*"
)
_HASHES: Final = {b"sha-256": hashlib.sha256, b"sha-512": hashlib.sha512}


def promised(facts: HeadFacts) -> bool:
    """Return whether these headers have a digest that `verify` checks."""
    return not _CHECKED.isdisjoint(facts)


class Digests:
    """The digests in the headers of a message, compared with its body as it arrives."""

    __slots__ = ("_promises",)

    def __init__(self, facts: HeadFacts) -> None:
        """Read the digests in the headers `facts`; raise DigestMismatch if one is malformed.

        Algorithms other than SHA-256, SHA-512 and MD5 are ignored, as RFC 9530 section 2 allows.
        """
        self._promises = [
            (value.strip(b" \t"), hashlib.md5(usedforsecurity=False))
            for value in facts.get(_MD5, ())
        ]
        for name in _DIGESTS:
            for value in facts.get(name, ()):
                self._promises += _members(value)

    def update(self, data: bytes) -> None:
        """Add a piece of the body as it arrived, still compressed."""
        for _, found in self._promises:
            found.update(data)

    def check(self) -> None:
        """Raise DigestMismatch unless the body matches its digests."""
        for promise, found in self._promises:
            _compare(promise, found.digest())


def digests_of(facts: HeadFacts) -> Digests | None:
    """Return the digests that headers have of a body, or None if there are none."""
    return Digests(facts) if promised(facts) else None


def verify(facts: HeadFacts, body: bytes) -> None:
    """Raise DigestMismatch for a body that does not match its digests.

    `facts` are the headers of its message; `body` is as it arrived, still compressed.
    """
    digests = digests_of(facts)
    if digests is not None:
        for piece in pieces(body):
            digests.update(piece)
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
