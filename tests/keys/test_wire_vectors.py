"""The frozen vectors of the wire format: what stands in them opens, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.core.crypto import sealed_stream, token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import some_from_json
from proxy.core.crypto.secret import IdentityKey, IndexSecret, Kek, NameKey, RecordKey, SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import OpenFailed
from proxy.core.search.model import ExactIndex, FieldIndex, WordsIndex
from proxy.core.search.normal_forms import normalize
from proxy.core.search.tags import IndexKeys
from proxy.core.search.words import words
from proxy.core.values.key_needs import KeysInUse, Needs
from proxy.keys.keyring.kek import KekEntry, Revocation
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.name_keys import packages_name, record_name
from proxy.keys.participants import package
from proxy.keys.participants.package import Identity
from proxy.keys.participants.public_key import from_members
from proxy.keys.sessions import agreement
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore, records
from proxy.keys.stores.records import RecordRefused

FOLDER: Final = Path(__file__).parents[1] / "vectors" / "wire"
Vector = dict[str, Any]

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


def told(name: str) -> Vector:
    found: Vector = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def a_keyring(said: Vector) -> Keyring:
    keks = tuple(
        KekEntry(one["id"], one["number"], 0, one["state"], Kek(bytes.fromhex(one["key"])))
        for one in said["keks"]
    )
    return Keyring(
        keks,
        IdentityKey(bytes(32)),
        NameKey(bytes.fromhex(said["name_key"])),
        RecordKey(bytes.fromhex(said["record_key"])),
        revocations=tuple(Revocation(*one) for one in said["revocations"].items()),
    )


@pytest.mark.parametrize("one", told("tags")["vectors"], ids=lambda one: one["text"][:12])
def test_tags_are_those_that_were_made_once(one: Vector) -> None:
    names = {part: some_from_json(name) for part, name in one["parts"].items()}
    scope = Scope(names.get("tenant"), names.get("conversation"))
    keys = IndexKeys(IndexSecret(bytes.fromhex(one["secret"])), one["generation"])
    index: FieldIndex = WordsIndex(most=100)
    if one["kind"] == "exact":
        index = ExactIndex(one["normalize"])
        assert one["words"] == [normalize(one["normalize"], one["text"])]
    else:
        assert one["words"] == words(one["text"])
    assert one["tags"] == index.tags(keys, scope, one["field"], one["text"])


def a_context(parts: Vector) -> Context:
    names = {part: some_from_json(name) for part, name in parts.items()}
    scope = Scope(names.get("tenant"), names.get("conversation"))
    rest: list[Any] = [names.get(part) for part in ("field", "message", "purpose", "kind")]
    return Context(scope, *rest)


def some_sessions(said: Vector) -> Sessions:
    return Sessions(
        a_keyring(said["keyring"]),
        MemoryStore(time.monotonic),
        SessionSettings(),
        clock=lambda: float(said["now"]),
        random=bytes,
    )


async def opened(said: Vector, one: Vector, sealed: token.Token, context: Context) -> bytes:
    if one.get("key") is not None:
        key = SessionKey(bytes.fromhex(one["key"]))
        session = Session(key, sid=sealed.key_id.sid, scope=context.scope)
        return session.open(sealed, context, said["now"])
    wanted = frozenset({(context.scope, sealed.key_id)})
    keys = await some_sessions(said).resolve(Needs({}, wanted))
    return KeysInUse(keys).open(sealed, context, said["now"])[1]


def test_names_have_these_encodings() -> None:
    said = told("contexts")
    key = NameKey(bytes.fromhex(said["keyring"]["name_key"]))
    for one in said["vectors"]:
        context = a_context(one["parts"])
        assert context.encode().hex() == one["context"]
        assert context.scope.encode().hex() == one["scope"]
        assert record_name(key, context.scope) == one["sessions"]
        assert packages_name(key, context.scope) == one["packages"]


async def test_tokens_open_or_are_refused() -> None:
    said = told("tokens")
    for one in said["vectors"]:
        context = a_context(one["parts"])
        try:
            sealed = token.decode(one["token"].encode())
            plaintext = await opened(said, one, sealed, context)
        except OpenFailed:
            assert not one["opens"], one
        else:
            assert one["opens"], one
            assert (plaintext, sealed.cty) == (base64.b64decode(one["plaintext"]), one["cty"])


async def test_streams_open_or_are_refused() -> None:
    said = told("streams")
    for one in said["vectors"]:
        data, context = base64.b64decode(one["stream"]), a_context(one["parts"])
        try:
            head = sealed_stream.read_head(data)
            assert head is not None
            plaintext = await opened(said, one, head.token, context)
            stream = sealed_stream.read_stream(plaintext)
            opener = sealed_stream.opener(head, stream, context)
            body = opener.update(data[len(head.raw) :]) + opener.finish()
        except OpenFailed:
            assert not one["opens"], one
        else:
            assert one["opens"], one
            found = stream.media_type, len(body), hashlib.sha256(body).hexdigest()
            assert found == (one["media type"], one["size"], one["sha256"])


def test_packages_open_or_are_refused() -> None:
    said = told("packages")
    keys = {
        name: Identity(from_members(one["public"]), one["private"])
        for name, one in said["keys"].items()
    }
    for one in said["vectors"]:
        scope = a_context(one["parts"]).scope
        text, sender = json.dumps(one["package"]).encode(), keys[one["sender"]].public
        for name in one["recipients"]:
            try:
                found = package.unseal(
                    text, keys[name], sender=sender, scope=scope, now=said["now"]
                )
            except OpenFailed:
                assert not one["opens"], one
            else:
                assert one["opens"], one
                assert found.key.reveal().hex() == one["key"]
                context = Context(scope, one["field"])
                sealed = token.decode(one["token"].encode())
                plaintext = found.session().open(sealed, context, said["now"])
                assert plaintext == base64.b64decode(one["plaintext"])


def test_session_records_say_what_they_said() -> None:
    said = told("records")
    keyring, found = a_keyring(said["keyring"]), 0
    for one in said["vectors"]:
        if not one.get("label", "").endswith("/session"):
            continue
        data = bytes.fromhex(one["record"])
        if not one["opens"]:
            with pytest.raises(RecordRefused):
                records.decode_session(data, one["name"], keyring.record_key)
            continue
        record = records.decode_session(data, one["name"], keyring.record_key)
        names = ("epoch", "created", "soft_end", "hard_end", "kek_number")
        assert {name: getattr(record, name) for name in names}.items() <= one["says"].items()
        if record.wrapped:
            key = agreement.key_of_record(record, one["name"], keyring)
            assert key is not None
            assert key.reveal().hex() == one["says"]["session_key"]
            found += 1
    assert found == 1
