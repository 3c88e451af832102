"""D5: what a client promises of its body is checked before the body is changed."""

from __future__ import annotations

import base64
import hashlib

import pytest

from proxy.core.errors import DigestMismatch
from proxy.core.http.digests import verify
from proxy.core.http.message import HeadFacts

BODY = b'{"hello": "world"}'
SHA_256 = base64.b64encode(hashlib.sha256(BODY).digest())
SHA_512 = base64.b64encode(hashlib.sha512(BODY).digest())
MD5 = base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest())
OTHER = base64.b64encode(hashlib.sha256(b"other").digest())


@pytest.mark.parametrize("name", [b"Content-Digest", b"repr-digest"])
@pytest.mark.parametrize(
    "value",
    [
        b"sha-256=:%b:" % SHA_256,
        b"sha-512=:%b:, sha-256=:%b:" % (SHA_512, SHA_256),
        b"sha-256=:%b:;x=1 ,\tunknown=:AAAA:" % SHA_256,
        b"crc32c=:AAAA:",
    ],
)
def test_a_digest_that_is_right_is_passed(name: bytes, value: bytes) -> None:
    verify(HeadFacts(((b"X", b"y"), (name, value))), BODY)


@pytest.mark.parametrize(
    "value",
    [
        b"sha-256=:%b:" % OTHER,
        b"sha-256=:%b:, sha-512=:%b:" % (SHA_256, OTHER),
        b"sha-256=%b" % SHA_256,
        b"sha-256=:%b:x" % SHA_256,
        b"sha-256=:A:",
        b"SHA-256=:%b:" % SHA_256,
        b"",
    ],
)
def test_a_digest_that_is_wrong_or_none_is_refused(value: bytes) -> None:
    with pytest.raises(DigestMismatch):
        verify(HeadFacts(((b"Content-Digest", value),)), BODY)


def test_md5_is_checked_where_it_stands() -> None:
    verify(HeadFacts(((b"Content-MD5", b" " + MD5),)), BODY)
    for wrong in (OTHER, b"no base64!"):
        with pytest.raises(DigestMismatch):
            verify(HeadFacts(((b"content-md5", wrong),)), BODY)


def test_the_example_of_rfc_9530() -> None:
    value = b"sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"

    verify(HeadFacts(((b"Content-Digest", value),)), b'{"hello": "world"}\n')
