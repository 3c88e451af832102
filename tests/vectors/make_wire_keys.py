"""Vectors of packages, private keys, keyrings, records and receipts; see make_wire."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from proxy.config.settings import SecretReference
from proxy.core.crypto import base64url, derivation
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Name
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.keys.audit import line
from proxy.keys.end_to_end import package_records
from proxy.keys.end_to_end.package_records import Listed, StoredPackage
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.name_keys import packages_name, record_name
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.keys.operations import erase_receipt
from proxy.keys.participants import Use as KeyUse
from proxy.keys.participants import package, pins, private_key, registry
from proxy.keys.participants.package import Identity
from proxy.keys.participants.participant import Participant, ParticipantKey
from proxy.keys.participants.pins import Pins
from proxy.keys.participants.public_key import PublicKey, from_members
from proxy.keys.sessions import agreement, kek_usage
from proxy.keys.sessions.kek_usage import Use, Uses
from proxy.keys.stores import records
from proxy.keys.stores.records import SessionRecord
from tests.keys.participants.builders import a_private_jwk, a_public_jwk
from tests.vectors.wire_names import (
    MEMBERS,
    NEW,
    NOW,
    PASSPHRASE,
    Vector,
    a_context,
    spelled,
)

_KEYS: Final[dict[str, KeyUse]] = {
    "alice-sig": "sig",
    "alice-ps": "sig",
    "bob-enc": "enc",
    "bob-x": "enc",
    "bob-xw": "enc",
    "outsider-enc": "enc",
}


def the_keys() -> Vector:
    """Return the participants' keys, private sides and all."""
    return {
        name: {"public": one.to_jwk(), "private": a_private_jwk(name)}
        for name, one in _publics().items()
    }


def _publics() -> dict[str, PublicKey]:
    return {name: from_members(_public(name), use) for name, use in _KEYS.items()}


def _public(name: str) -> dict[str, Any]:
    members = a_public_jwk(name)
    keep = {"kty", "n", "e", "crv", "x", "pub"} | ({"alg"} if members["kty"] == "AKP" else set())
    return {member: value for member, value in members.items() if member in keep}


def packages() -> list[Vector]:
    """Return key packages, each with a token under its key."""
    made = []
    everybody = ("bob-enc", "bob-x", "bob-xw")
    for name, sender, recipients, parts in (
        ("RSA", "alice-sig", ("bob-enc",), {"tenant": "clinic", "conversation": "c1"}),
        ("X25519", "alice-sig", ("bob-x",), {"tenant": "clinic", "conversation": "c1"}),
        ("X-Wing", "alice-sig", ("bob-xw",), {"tenant": "clinic", "conversation": "c1"}),
        ("all, by PS256", "alice-ps", everybody, {"tenant": "clinic", "conversation": "Grüße 🌍"}),
        ("members", "alice-sig", ("bob-x",), {"tenant": "clinic", "conversation": MEMBERS}),
        (
            "a text that reads so",
            "alice-sig",
            ("bob-x",),
            {"tenant": "clinic", "conversation": "5:alice3:bob"},
        ),
        ("unnamed", "alice-sig", ("bob-x",), {}),
    ):
        made.append(_package(name, sender, recipients, parts))
    swapped = {**made[4], "name": "for a text", "parts": made[5]["parts"], "opens": False}
    other = {**made[5], "name": "for members", "parts": made[4]["parts"], "opens": False}
    forged = {**made[1], "name": "another sender", "sender": "alice-ps", "opens": False}
    stranger = {
        **made[0],
        "name": "not for this key",
        "recipients": ["outsider-enc"],
        "opens": False,
    }
    return [*made, swapped, other, forged, stranger]


def _package(name: str, sender: str, recipients: tuple[str, ...], parts: Any) -> Vector:  # noqa: ANN401 - names
    keys, key, sid = _publics(), os.urandom(32), NEW.to_bytes(4) + os.urandom(8)
    scope = a_context(parts).scope
    text = package.seal(
        SessionKey(key),
        sid=sid,
        scope=scope,
        sender=Identity(keys[sender], a_private_jwk(sender)),
        recipients=[keys[one] for one in recipients],
        now=NOW,
        ttl=86_400,
    )
    session = Session(SessionKey(key), sid=sid, scope=scope, packaged=True)
    token = session.seal(b"for the recipients", Context(scope, "content"))
    return {
        "name": name,
        "opens": True,
        "sender": sender,
        "recipients": list(recipients),
        "parts": spelled(parts),
        "package": json.loads(text),
        "key": key.hex(),
        "sid": base64url.encode(sid).decode(),
        "token": token.decode(),
        "field": "content",
        "plaintext": base64.b64encode(b"for the recipients").decode(),
    }


def private_keys(keyring: Keyring) -> list[Vector]:
    """Return private keys under a passphrase and under the keyring."""
    made = []
    for name in ("bob-x", "bob-xw", "alice-sig", "bob-enc"):
        members = {**a_private_jwk(name), "use": _KEYS[name]}
        made.append(
            {
                "name": f"{name}, passphrase",
                "jwe": private_key.seal(members, Passphrase(PASSPHRASE))[1],
                "passphrase": PASSPHRASE,
                "jwk": a_private_jwk(name),
            }
        )
    sealed = private_key.seal(a_private_jwk("bob-x"), private_key.keyring_opener(keyring))[1]
    told = {"jwe": sealed, "record_key": keyring.record_key.reveal().hex()}
    return [*made, {"name": "bob-x, keyring", **told, "jwk": a_private_jwk("bob-x")}]


def keyrings(keyring: Keyring) -> list[Vector]:
    """Return the file of the keyring."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keyring.jwe"
        create_keyring(path, keyring, PassphraseRoot(SecretReference(env="P"), {"P": PASSPHRASE}))
        return [{"name": "passphrase", "file": path.read_text(), "passphrase": PASSPHRASE}]


def the_records(keyring: Keyring) -> list[Vector]:
    """Return a record of each kind, with what it says."""
    key, scope = keyring.record_key, Scope("clinic", MEMBERS)
    name = record_name(keyring.name_key, scope)
    sid = NEW.to_bytes(4) + bytes(range(8))
    times = NOW * 1000 + 1, NEW * 1000, NOW * 1000 + 5000, NOW * 1000 + 9000
    durable = SessionRecord(*times, keyring.primary.number, sid)
    session_key = SessionKey(bytes(range(32)))
    wrapped = agreement.with_key(durable, name, keyring.primary.key, session_key)
    said: Vector = {
        **dict(zip(("epoch", "created", "soft_end", "hard_end"), times, strict=True)),
        "kek_number": keyring.primary.number,
        "sid": base64url.encode(sid).decode(),
    }
    person = registry.record_name(keyring.participant_names, "bob")
    public = from_members(_public("bob-x"))
    participant = Participant(3, (ParticipantKey(public, "phone", NEW),))
    pinned = pins.PinBook.place(_Book(keyring), person)  # type: ignore[arg-type]  # it needs the names alone
    packaged = packages_name(keyring.name_key, scope)
    listed = Listed(2, ((said["sid"], NOW),))
    package_of = StoredPackage(sid, 1, person, public.kid, (person,), NEW, NOW, b"{}")
    use = Uses(NEW, {7: Use(1, NOW, 2, NEW)}, 4)
    base, label = {"record_key": key.reveal().hex()}, "sealyard/v1/record/"
    made = [
        ("session", name, records.encode_session(durable, name, key), said),
        (
            "session",
            name,
            records.encode_session(wrapped, name, key),
            {**said, "session_key": session_key.reveal().hex()},
        ),
        ("revocation", name, records.encode_revocation(NOW, name, key), {"not_before": NOW}),
        (
            "participant",
            person,
            registry.encode(participant, person, key),
            {"epoch": 3, "json": {"keys": [registry.key_members(participant.keys[0])]}},
        ),
        (
            "pins",
            pinned,
            pins.encode(Pins(5, frozenset({public.kid})), pinned, key),
            {"epoch": 5, "json": {"enc": [public.kid], "sig": []}},
        ),
        (
            "kek-use",
            kek_usage.NAME,
            kek_usage.encode(use, key),
            {"epoch": 4, "since": NEW, "uses": {"7": [1, NOW, 2, NEW]}},
        ),
        ("package", packaged, package_records.encode(package_of, packaged, key), {"epoch": 1}),
        (
            "packages",
            packaged,
            package_records.encode_list(listed, packaged, key),
            {"epoch": 2, "json": {"packages": [[said["sid"], NOW]]}},
        ),
    ]
    vectors: list[Vector] = [
        {
            **base,
            "label": label + kind,
            "name": one,
            "record": data.hex(),
            "opens": True,
            "says": says,
        }
        for kind, one, data, says in made
    ]
    names = {"sessions": name, "packages": packaged, "participant": person, "pins": pinned}
    for of, one in names.items():
        whose = {"identity_key": keyring.identity.reveal().hex()} if one in {person, pinned} else {}
        vectors.append(
            {
                **whose,
                "of": of,
                "parts": spelled({"tenant": "clinic", "conversation": MEMBERS}),
                "id": "bob",
                "expected": one,
            }
        )
    moved = {**vectors[0], "name": packaged, "opens": False}
    edited = {
        **vectors[2],
        "record": vectors[2]["record"][:2] + "ff" + vectors[2]["record"][4:],
        "opens": False,
    }
    return [*vectors, moved, edited]


class _Book:
    def __init__(self, keyring: Keyring) -> None:
        self._names = keyring.participant_names


def receipts(keyring: Keyring) -> list[Vector]:
    """Return a receipt, and lines of an audit log."""
    parts: dict[str, Name] = {"tenant": "clinic", "conversation": MEMBERS}
    scope = a_context(parts).scope
    said = erase_receipt.of_sessions(
        scope,
        ["AAAAAAAAAAAAAAAA"],
        name=record_name(keyring.name_key, scope),
        names=[record_name(keyring.name_key, scope)],
        not_before=NOW,
        revoked_in_store=True,
        revoked_in_keyring=True,
        shared=True,
    )
    signed = erase_receipt.sign(said, keyring.record_key, now=NOW)
    before, lines = b"", []
    mac_of = line.LineMac(derivation.audit_key(keyring.record_key))
    for seq, event in enumerate(("audit.began", "keys.init", "sessions.revoke"), 1):
        members = line.spelled({"at": line.stamp(NOW), "event": event, "note": "ü"})
        text, before = line.encode(seq, before, members, mac_of)
        lines.append(text.decode().rstrip("\n"))
    base = {"record_key": keyring.record_key.reveal().hex()}
    return [
        {
            **base,
            "name": "receipt",
            "receipt": signed,
            "parts": spelled(parts),
            "says": said,
            "opens": True,
        },
        {
            **base,
            "name": "another scope",
            "receipt": signed,
            "parts": {"tenant": "clinic"},
            "opens": False,
        },
        {
            **base,
            "name": "audit",
            "lines": lines,
            "events": ["audit.began", "keys.init", "sessions.revoke"],
            "opens": True,
        },
        {**base, "name": "a line is missing", "lines": [lines[0], lines[2]], "opens": False},
    ]
