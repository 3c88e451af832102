"""Digests of a request's body (RFC 9530, RFC 1864): checked before the body is changed.

A sealed body has another digest, so the backend cannot check what the client promised. Whoever
changes the body must.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

from .errors import DigestMismatch
from .message import Told

_DIGESTS: Final = (b"content-digest", b"repr-digest")
_MD5: Final = b"content-md5"
_CHECKED: Final = frozenset({*_DIGESTS, _MD5})
_MEMBER: Final = re.compile(
    rb"[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,;]*)*[ \t]*"
)
_HASHES: Final = {b"sha-256": hashlib.sha256, b"sha-512": hashlib.sha512}


def promised(told: Told) -> bool:
    """Tell whether these headers hold a digest that `verify` looks at."""
    return not _CHECKED.isdisjoint(told)


def verify(told: Told, body: bytes) -> None:
    """Refuse a body that is not the one its digests tell of; `body` is as it came, still coded.

    `told` are the headers of its message. Other algorithms than SHA-256, SHA-512 and MD5 are passed
    over, as RFC 9530 section 2 allows. Raises DigestMismatch.
    """
    if not promised(told):
        return
    for value in told.get(_MD5, ()):
        _compare(value.strip(b" \t"), hashlib.md5(body, usedforsecurity=False).digest())
    for name in _DIGESTS:
        for value in told.get(name, ()):
            _verify_members(value, body)


def _verify_members(value: bytes, body: bytes) -> None:
    for one in value.split(b","):
        member = _MEMBER.fullmatch(one)
        if member is None:
            raise DigestMismatch("digest-malformed")
        algorithm = _HASHES.get(member[1])
        if algorithm is not None:
            _compare(member[2], algorithm(body).digest())


def _compare(text: bytes, digest: bytes) -> None:
    try:
        promised = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise DigestMismatch("digest-malformed") from None
    if promised != digest:
        raise DigestMismatch("digest-differs")
