"""What a release wrote opens today as it did then: keyrings, tokens, streams, packages."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__
from proxy.config.load import load
from proxy.core.crypto import base64url, derivation, sealed_stream, token
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import OpenFailed
from proxy.keys.audit import head_record
from proxy.keys.audit.verification import verify
from proxy.keys.keyring import poison
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.operations import erase_receipt
from proxy.keys.participants import package, private_key
from proxy.keys.participants.package import Identity
from proxy.keys.participants.public_key import PublicKey, from_members
from proxy.keys.sessions import pending_revocations
from proxy.keys.sessions.durable import durable_session
from proxy.keys.stores import MemoryStore
from proxy.migration.report import verified
from proxy.migration.state import StateFile
from tests.archive import make
from tests.archive.make_migration import IDENTITY
from tests.archive.opened import Archive, facts, unpacked
from tests.archive.people import Process, context_of

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


def test_an_archive_can_be_made_at_any_time(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    made = make.write(tmp_path, "any", int(time.time()))

    assert json.loads((tmp_path / made["items"]["tokens"]).read_text())


def test_every_keyring_opens_and_holds_what_it_held(archive: Archive) -> None:
    for item in archive.items["keyrings"]:
        kept = open_keyring(archive.folder / item["file"], archive.root(item))
        found = facts(kept)
        said = item.keys() - {"file", "root", "opened by"}
        assert said >= {"keks", "index", "name key", "record key", "revocations"}
        assert {name: found[name] for name in said} == {name: item[name] for name in said}


async def test_every_token_opens_for_its_context_alone_and_tells_why_not(archive: Archive) -> None:
    items = archive.json(archive.items["tokens"])
    assert {one["form"] for one in items} == set(token.FORMS)
    keyrings = {one.get("keyring", "keyring.jwe") for one in items}
    kept = {file: archive.keyring(file) for file in keyrings}
    for item in items:
        keyring = kept[item.get("keyring", "keyring.jwe")]
        process = Process(keyring, MemoryStore(lambda: 0.0), float(archive.made))
        context = context_of(item["parts"])
        if "session key" in item:
            found = _by_its_key(item, context.scope).open(
                token.decode(item["token"].encode()), context, archive.made
            )
            assert found == unpacked(item["plaintext"])
        elif item["reason"]:
            assert await process.reason("durable", context, item["token"]) == item["reason"], item
        else:
            assert await process.open("durable", context, item["token"]) == unpacked(
                item["plaintext"]
            )
            other = context._replace(message="another")
            assert await process.reason("durable", other, item["token"])
        if "poison" in item:
            assert poison.planted(keyring, item["token"].encode()) == item["poison"]
        decoded = token.decode(item["token"].encode())
        said = item["form"], item.get("cty"), item.get("exp")
        assert (decoded.form, decoded.cty, decoded.exp) == said


def _by_its_key(item: dict[str, Any], scope: Scope) -> Session:
    sid = token.decode(item["token"].encode()).key_id.sid
    return Session(SessionKey(bytes.fromhex(item["session key"])), sid=sid, scope=scope)


def test_every_stream_opens(archive: Archive) -> None:
    kept = archive.keyring()
    for item in archive.items["streams"]:
        data, context = (archive.folder / item["file"]).read_bytes(), context_of(item["parts"])
        head = sealed_stream.read_head(data)
        assert head is not None
        sid = head.token.key_id.sid
        session = durable_session(kept.entry(item["kek"]), sid, context.scope)
        stream = sealed_stream.read_stream(session.open(head.token, context, archive.made))
        opener = sealed_stream.opener(head, stream, context)
        plaintext = opener.update(data[len(head.raw) :]) + opener.finish()
        assert (stream.media_type, len(plaintext)) == (item["media type"], item["size"])
        assert hashlib.sha256(plaintext).hexdigest() == item["sha256"]


@pytest.fixture(scope="session")
def identities(archive: Archive) -> dict[str, Identity]:
    """The participants' keys, opened by their passphrase."""
    said = archive.items["packages"]
    found = {}
    for name, item in archive.json(said["private keys"]).items():
        public = from_members(item["public"])
        members = private_key.unseal(item["private"], Passphrase(said["passphrase"]), public)
        assert item["opened"].items() <= members.items()
        found[name] = Identity(public, members)
    return found


def test_every_package_opens_for_each_recipient(
    archive: Archive, identities: dict[str, Identity]
) -> None:
    for item in archive.json(archive.items["packages"]["packages"]):
        text = json.dumps(item["package"]).encode()
        parts = item["parts"]
        scope = context_of(parts).scope
        sender = identities[item["sender"]].public
        for name in item["recipients"]:
            opened = _unsealed(archive, text, identities[name], sender, scope)
            assert opened.key.reveal().hex() == item["session key"]
            assert base64url.encode(opened.sid).decode() == item["sid"]
            sealed = token.decode(item["token"].encode())
            context = context_of({**parts, "field": item["field"]})
            found = opened.session().open(sealed, context, archive.made)
            assert found == unpacked(item["plaintext"])
        others = set(identities) - {*item["recipients"], "alice-sig", "alice-ps"}
        for name in others:
            with pytest.raises(OpenFailed, match="package-not-for-us"):
                _unsealed(archive, text, identities[name], sender, scope)


def _unsealed(
    archive: Archive, text: bytes, mine: Identity, sender: PublicKey, scope: Scope
) -> package.OpenedPackage:
    return package.unseal(text, mine, sender=sender, scope=scope, now=archive.made)


def test_the_audit_log_is_whole(archive: Archive) -> None:
    item = archive.items["audit"]
    key = derivation.audit_key(archive.keyring().record_key)
    with (archive.folder / item["head"]).open("rb") as file:
        head = head_record.load(file.fileno(), key)
    anchor = head_record.parse_anchor(item["anchor"])
    assert head is not None
    assert anchor is not None
    verdict = verify([archive.folder / one for one in item["files"]], key, head=head, anchor=anchor)
    assert (verdict.problems, verdict.lines, verdict.last) == ([], item["lines"], anchor)
    lines = [
        json.loads(line)
        for one in item["files"]
        for line in (archive.folder / one).read_bytes().splitlines()
    ]
    assert [line["event"] for line in lines] == item["events"]


def test_every_receipt_verifies(archive: Archive) -> None:
    record_key = archive.keyring().record_key
    for item in archive.items["receipts"]:
        text = (archive.folder / item["file"]).read_bytes()
        said = erase_receipt.verified(text, item["key"])
        assert said is not None
        assert item["says"].items() <= said.items()
        assert item["key"] == erase_receipt.public_jwk(record_key)
        if "scope" in item:
            assert erase_receipt.is_about(said, context_of(item["scope"]).scope)


def test_every_pending_revocation_is_understood(archive: Archive) -> None:
    said = archive.items["pending"]
    lines = (archive.folder / said["file"]).read_text().splitlines()
    key = archive.keyring().record_key
    found = [pending_revocations.decode(line, key) for line in lines]
    assert [one and asdict(one) for one in found] == said["revocations"]


def test_the_state_and_the_report_of_a_migration_are_understood(archive: Archive) -> None:
    said = archive.items["migration"]
    state, report = said["state"], said["report"]
    key = archive.keyring().record_key
    parts = StateFile(archive.folder / state["file"], IDENTITY, key).read()
    found = verified((archive.folder / report["file"]).read_bytes(), key)

    assert [one.to_json() for one in parts or ()] == state["parts"]
    assert found is not None
    assert found.tally.to_json()["values"] == report["tally"]["values"]
    for name in ("verb", "keyring", "proof", "began"):
        assert getattr(found, name) == report[name]
    assert list(found.excluded) == report["excluded"]


def test_every_configuration_is_understood(archive: Archive) -> None:
    files = archive.items["configuration"]
    assert {"sealyard.yaml", "every-key.yaml", "every-key-else.yaml", "matrix.yaml"} <= set(files)
    for name in files:
        path: Path = archive.folder / "configuration" / name
        assert load(path, {}).settings.listeners


def test_what_is_released_next_has_every_key_of_a_configuration() -> None:
    made = make.HERE / make.NEXT / "configuration"
    if not made.exists():
        pytest.skip("nothing was archived since the last release")
    assert list(make.unused_keys(made.glob("*.yaml"))) == []
    for file in (make.HERE / "configuration").iterdir():
        assert (made / file.name).read_text() == file.read_text(), "./dev archive"


@pytest.mark.parametrize(
    ("name", "why"), [(__version__, "not written over"), ("9.9.9", "the code of")]
)
def test_no_archive_is_made_of_another_release_or_twice(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / __version__).mkdir()
    monkeypatch.setattr(make, "HERE", tmp_path)
    with pytest.raises(SystemExit, match=why):
        make.main([name])
    assert [one.name for one in tmp_path.iterdir()] == [__version__]
    assert not any((tmp_path / __version__).iterdir())
