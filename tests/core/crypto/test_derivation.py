from __future__ import annotations

import base64
import hmac

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from proxy.core.crypto import derivation
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import IdentityKey, Kek, NameKey, RecordKey, SessionKey
from tests.factories import KEK, SCOPE, a_sid


@pytest.mark.parametrize(
    ("kek", "sid", "scope"),
    [
        (Kek(bytes(32)), a_sid(), SCOPE),
        (KEK, a_sid(1), SCOPE),
        (KEK, a_sid(), Scope("clinic", "c2")),
        (KEK, a_sid(), Scope("clinik", "c1")),
        (KEK, a_sid(), Scope("clinic")),
        (KEK, a_sid(), Scope(None, "c1")),
        (KEK, a_sid(), Scope()),
        (KEK, a_sid(), Scope("c1", "clinic")),
    ],
)
def test_a_session_key_depends_on_kek_session_tenant_and_conversation(
    kek: Kek, sid: bytes, scope: Scope
) -> None:
    usual = derivation.session_key(KEK, a_sid(), SCOPE)
    assert usual != derivation.session_key(kek, sid, scope)


@pytest.mark.parametrize("sid", [b"", bytes(11), bytes(13)])
def test_a_session_id_has_12_bytes(sid: bytes) -> None:
    with pytest.raises(ValueError, match="exactly 12 bytes"):
        derivation.session_key(KEK, sid, SCOPE)


def test_a_commitment_is_the_beginning_of_an_hmac() -> None:
    kctx = derivation.commitment_key(SessionKey(bytes(32)))
    expected = hmac.digest(kctx, b"context", "sha256")[:16]
    assert expected == derivation.commitment(kctx, b"context")


def test_a_record_name_does_not_tell_its_scope() -> None:
    name = derivation.record_name(NameKey(bytes(32)), SCOPE)
    assert hmac.digest(bytes(32), SCOPE.encode(), "sha256")[:16] == name
    assert name != derivation.record_name(NameKey(b"1" * 32), SCOPE)
    assert name != derivation.record_name(NameKey(bytes(32)), Scope("clinic"))


def test_a_record_tag_is_a_whole_hmac() -> None:
    tag = derivation.record_tag(RecordKey(bytes(32)), b"record")
    assert hmac.digest(bytes(32), b"record", "sha256") == tag


def test_the_key_of_the_audit_log_is_no_other_key() -> None:
    key = derivation.audit_key(RecordKey(bytes(32))).reveal()
    expected = HKDFExpand(SHA256(), 32, b"sealyard/v1/audit").derive(bytes(32))
    assert key == expected
    assert key != derivation.audit_key(RecordKey(b"1" * 32)).reveal()


def test_a_caller_is_named_by_a_key_that_the_audit_log_does_not_tell() -> None:
    keys = derivation.caller_key(RecordKey(bytes(32), (RecordKey(b"1" * 32),)))
    now, before = (derivation.caller_name(key, "https://id", "anna") for key in keys.all)
    key = expanded(bytes(32), "caller")
    mac = hmac.digest(key, b"https://id\x00anna", "sha256")
    assert now == (
        base64.urlsafe_b64encode(mac[:16]).rstrip(b"=").decode(),
        expanded(key, "caller-key-id")[:4].hex(),
    )
    assert now[0] != before[0]
    assert now[1] != before[1]
    assert derivation.caller_name(keys, "https://id", "\ud800")[0]  # as JSON may have it
    assert keys.reveal() != derivation.audit_key(RecordKey(bytes(32))).reveal()


def test_names_of_clients_are_hashed_under_a_key_of_their_own() -> None:
    record_key = RecordKey(bytes(32))
    keys = {derivation.place_key(record_key), derivation.audit_key(record_key).reveal()}
    assert len(keys | {derivation.caller_key(record_key).reveal(), record_key.reveal()}) == 4


def test_a_poison_session_id_has_its_time_and_a_tag() -> None:
    key = derivation.poison_key(RecordKey(bytes(32)))
    sid = derivation.poison_sid(key, 1_800_000_000)
    assert sid[:4] == (1_800_000_000).to_bytes(4)
    assert sid[4:] == hmac.digest(key.reveal(), sid[:4], "sha256")[:8]
    assert key.reveal() != derivation.audit_key(RecordKey(bytes(32))).reveal()


def test_the_seed_of_receipts_is_no_other_key() -> None:
    seeds = {derivation.receipt_seed(RecordKey(one * 32)) for one in (b"0", b"1")}
    assert len(seeds) == 2
    assert derivation.audit_key(RecordKey(b"0" * 32)).reveal() not in seeds


def expanded(key: bytes, label: str) -> bytes:
    return HKDFExpand(SHA256(), 32, f"sealyard/v1/{label}".encode()).derive(key)


def test_a_keyring_is_known_by_what_is_never_rotated() -> None:
    identity = IdentityKey(bytes(range(32)))
    expected = expanded(bytes(range(32)), "keyring-id")[:16]
    assert expected == derivation.keyring_id(identity)
    expected = expanded(bytes(range(32)), "passphrase-salt")[:16]
    assert expected == derivation.passphrase_salt(identity)


def test_a_state_of_a_keyring_is_known_by_an_hmac_over_its_contents() -> None:
    identity = IdentityKey(bytes(range(32)))
    key = expanded(bytes(range(32)), "keyring-digest")
    expected = hmac.digest(key, b"contents", "sha256")[:16]
    assert expected == derivation.keyring_digest(identity, b"contents")


def test_the_file_of_a_keyring_has_a_whole_hmac_under_its_root_key() -> None:
    key = expanded(bytes(range(32)), "keyring-mac")
    expected = hmac.digest(key, b"text", "sha256")
    assert expected == derivation.keyring_mac(bytes(range(32)), b"text")


def test_a_kek_is_known_by_no_plain_hash_of_it() -> None:
    assert expanded(KEK.reveal(), "kek-thumbprint")[:16] == derivation.key_thumbprint(KEK)
