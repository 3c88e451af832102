"""What no reader opens, whatever stands in the store or comes from the backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.core.crypto import base64url, derivation, token
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import KeyId, decode
from proxy.core.errors import OpenFailed
from proxy.core.leaves import token_text
from proxy.keys.end_to_end import package_records
from proxy.keys.end_to_end.package_records import StoredPackage
from proxy.keys.keyring.name_keys import packages_name
from proxy.keys.participants import package
from proxy.keys.participants.package import Identity
from tests.keys.builders import NOW
from tests.keys.end_to_end.builders import (
    GRACE,
    KEYRING,
    MAX_AGE,
    TTL,
    Process,
    a_fleet,
    context,
)
from tests.keys.end_to_end.salamander import salamander
from tests.keys.participants.builders import a_private_jwk, a_public_key

SCOPE = Scope("clinic", "c1")
OTHER_KEY = SessionKey(bytes(range(32)))
Forge = Callable[[StoredPackage], StoredPackage]


async def refusal(process: Process, reader: str, sealed: bytes) -> str:
    with pytest.raises(OpenFailed) as refused:
        await process.open_for(reader, sealed)
    return refused.value.reason


async def put(process: Process, package: StoredPackage) -> None:
    """Put a package into the store as whoever has the keyring could."""
    name = packages_name(KEYRING.name_key, SCOPE)
    record = package_records.encode(package, name, KEYRING.record_key)
    stands = (await process.store.find(name, [package.key_id])).keys[0]
    seen = None if stands is None else stands.record
    held = await process.store.keep(name, package.key_id, record, 10**7, seen=seen)
    assert held.record == record


async def the_package(process: Process) -> StoredPackage:
    (one,) = await process.keys.package_store.packages(SCOPE, "bob")
    return one


def forged(one: StoredPackage, change: Callable[[dict[str, Any]], None]) -> StoredPackage:
    members = json.loads(one.package)
    change(members)
    return replace(one, issue=one.issue + 1, package=json.dumps(members).encode())


def made(
    one: StoredPackage,
    *,
    key: SessionKey = OTHER_KEY,
    signer: str = "alice-sig",
    **more: Any,  # noqa: ANN401 - values of any part
) -> StoredPackage:
    """Return another package for the same session."""
    parts: dict[str, Any] = {
        "sid": one.sid,
        "scope": SCOPE,
        "sender": Identity(a_public_key(signer), a_private_jwk(signer)),
        "recipients": [a_public_key("bob-enc")],
        "now": one.issued,
        "ttl": one.ends - one.issued,
    }
    text = package.seal(key, **{**parts, **more})
    return replace(one, issue=one.issue + 1, package=text)


def other_alg(members: dict[str, Any]) -> None:
    members["recipients"][0]["header"]["alg"] = "RSA1_5"


def cut_tag(members: dict[str, Any]) -> None:
    members["tag"] = members["tag"][:-4]


REFUSED: list[tuple[str, Forge, str]] = [
    ("an alg that does not fit the key", lambda one: forged(one, other_alg), "package-not-for-us"),
    ("a shorter tag", lambda one: forged(one, cut_tag), "package-not-for-us"),
    (
        "signed by another",
        lambda one: made(one, signer="outsider-sig"),
        "package-signature",
    ),
    (
        "for another conversation",
        lambda one: made(one, scope=Scope("clinic", "c2")),
        "package-conversation",
    ),
    ("for another tenant", lambda one: made(one, scope=Scope("x", "c1")), "package-conversation"),
    ("for another session", lambda one: made(one, sid=bytes(12)), "package-session"),
    (
        "for somebody else",
        lambda one: made(one, recipients=[a_public_key("outsider-enc")]),
        "package-not-for-us",
    ),
    ("over before it began", lambda one: made(one, now=one.issued - 10**6), "package-expired"),
    ("that outlives its record", lambda one: made(one, ttl=10**6), "package-session"),
]


@pytest.mark.parametrize(
    ("forge", "reason"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED]
)
async def test_a_package_is_refused(forge: Forge, reason: str) -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    await put(one, forge(await the_package(one)))
    assert await refusal(one, "bob", sealed) == reason


async def test_a_package_without_its_signature_is_refused() -> None:
    from joserfc import jwe  # noqa: PLC0415 - only here
    from joserfc.jwk import RSAKey  # noqa: PLC0415 - only here

    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    before = await the_package(one)
    claims = json.dumps({"jwk": {"kty": "oct", "k": "x", "kid": before.key_id}}).encode()
    for inside in (claims, b"e30." + base64url.encode(claims) + b"."):
        written = jwe.GeneralJSONEncryption({"typ": "sy1-package", "enc": "A256GCM"}, inside)
        bob = a_public_key("bob-enc")
        written.add_recipient(
            {"alg": "RSA-OAEP-256", "kid": bob.kid}, RSAKey.import_key(dict(bob.required))
        )
        text = jwe.encrypt_json(written, None, algorithms=["RSA-OAEP-256", "A256GCM"])
        before = replace(before, issue=before.issue + 1, package=json.dumps(text).encode())
        await put(one, before)
        assert await refusal(one, "bob", sealed) == "package-signature"
        one.time.advance(MAX_AGE)


async def test_the_key_of_a_session_is_never_replaced() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", sealed) == b"hello"
    await put(one, made(await the_package(one)))
    one.time.advance(MAX_AGE)
    assert await refusal(one, "bob", sealed) == "package-key-replaced"


async def test_an_older_package_is_not_taken_again() -> None:
    (one,) = await a_fleet()
    await one.seal(b"hello", "alice", ["bob"])
    older = await the_package(one)
    sealed = await one.seal(b"again", "alice", ["bob", "eve"])
    assert await one.open_for("bob", sealed) == b"again"
    # A store that lies: it has thrown the newer one away and shows the older.
    name = packages_name(KEYRING.name_key, SCOPE)
    one.store._keys[name].pop(older.key_id)  # type: ignore[attr-defined]  # the store of the tests
    await put(one, older)
    one.time.advance(MAX_AGE)
    assert await refusal(one, "bob", sealed) == "no-package"
    assert one.notices == ["record-stale"]


async def test_a_package_that_has_ended_is_refused_though_it_stands_in_the_store() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", sealed) == b"hello"
    await put(one, replace(await the_package(one), issue=2))
    one.time.advance(TTL + GRACE)
    assert await refusal(one, "bob", sealed) == "no-package"


async def test_a_token_that_opens_under_two_keys_is_refused_by_one_of_them() -> None:
    (one,) = await a_fleet()
    await one.session("alice", ["bob"])
    sid = (NOW - 5).to_bytes(4) + bytes(8)
    first, second = bytes(range(32)), bytes(range(32, 64))
    sessions = [
        Session(SessionKey(key), sid=sid, scope=SCOPE, packaged=True) for key in (first, second)
    ]
    # The sender who means harm commits to the first key, and lets the second fit as well.
    encoded = context(SCOPE).encode()
    commitment = derivation.commitment(derivation.commitment_key(SessionKey(first)), encoded, 32)
    head = token.encode_header(KeyId(sid), commitment)
    iv = bytes(12)
    made_up = salamander(first, second, iv, head)
    sealed = token_text(head, iv, made_up)

    texts = [AESGCM(key).decrypt(iv, made_up, head) for key in (first, second)]
    assert texts[0] != texts[1]  # to AES-GCM it is good under both
    assert sessions[0].open(decode(sealed), context(SCOPE), NOW) == texts[0]
    with pytest.raises(OpenFailed, match="wrong-context"):
        sessions[1].open(decode(sealed), context(SCOPE), NOW)


async def test_what_fits_two_packages_is_read_alike_by_all() -> None:
    one, other = await a_fleet(processes=2)
    await one.seal(b"hello", "alice", ["bob"])
    before = await the_package(one)
    first, second = bytes(range(32)), bytes(range(32, 64))
    commitment = derivation.commitment(
        derivation.commitment_key(SessionKey(first)), context(SCOPE).encode(), 32
    )
    head = token.encode_header(KeyId(before.sid), commitment)
    sealed = token_text(head, bytes(12), salamander(first, second, bytes(12), head))
    # Alice gives bob the first key, and then eve the second, for one and the same session.
    await put(one, made(before, key=SessionKey(first)))
    assert await one.open_for("bob", sealed)
    for_eve = made(before, key=SessionKey(second), recipients=[a_public_key("outsider-enc")])
    await put(one, replace(for_eve, issue=9))
    assert await refusal(other, "eve", sealed) == "wrong-context"
