"""What records say is sealed so that equal records are equal bytes, and nothing can be moved."""

from __future__ import annotations

import pytest

from proxy.core.crypto import derivation
from proxy.core.crypto.context import Scope
from proxy.core.crypto.record_seal import open_record, seal_record
from proxy.core.crypto.secret import AuditKey, IdentityKey, NameKey, RecordKey
from proxy.core.errors import OpenFailed

KEYS = derivation.record_seal(RecordKey(bytes(32)))


def test_equal_records_are_equal_bytes_and_open() -> None:
    sealed = seal_record(KEYS, b"who", b"place")
    assert sealed == seal_record(KEYS, b"who", b"place")
    assert b"who" not in sealed
    assert open_record(KEYS, sealed, b"place") == b"who"
    assert sealed[:12] != seal_record(KEYS, b"who", b"another")[:12]


@pytest.mark.parametrize("at", [0, 12, -1])
def test_what_was_changed_or_moved_does_not_open(at: int) -> None:
    sealed = bytearray(seal_record(KEYS, b"who", b"place"))
    with pytest.raises(OpenFailed):
        open_record(KEYS, bytes(sealed), b"another")
    sealed[at] ^= 1
    for one in (bytes(sealed), b"", bytes(11)):
        with pytest.raises(OpenFailed):
            open_record(KEYS, one, b"place")


def test_names_of_packages_and_participants_have_keys_and_labels_of_their_own() -> None:
    scope, key = Scope("clinic", "c1"), NameKey(bytes(32))
    assert derivation.packages_name(key, scope) != derivation.record_name(key, scope)
    assert derivation.participant_names(IdentityKey(bytes(32))) != key


def test_keys_of_a_rotated_record_key_come_with_those_before_it() -> None:
    old, new = RecordKey(bytes(32)), RecordKey(bytes(31) + b"1", [RecordKey(bytes(32))])
    own, before = derivation.audit_key(new).all
    assert before == derivation.audit_key(old)
    assert isinstance(own, AuditKey)
    assert derivation.poison_key(new).past == (derivation.poison_key(old),)
