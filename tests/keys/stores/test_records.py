from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import NameKey, RecordKey
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.stores import records
from proxy.keys.stores.records import RecordRefused, RecordUnknown, SessionRecord

KEY = RecordKey(b"r" * 32)
NAMES = NameKey(b"n" * 32)
NAME = record_name(NAMES, Scope("clinic", "c1"))

u64 = st.integers(0, 2**64 - 1)
session_records = st.builds(
    SessionRecord,
    epoch=u64,
    created=u64,
    soft_end=u64,
    hard_end=u64,
    kek_number=st.integers(0, 65535),
    sid=st.binary(min_size=12, max_size=12),
    wrapped=st.sampled_from([b"", b"w" * 60]),
)
A_RECORD = SessionRecord(5, 1000, 2000, 3000, 1, b"s" * 12)


@given(session_records)
def test_what_is_encoded_is_decoded(value: SessionRecord) -> None:
    assert records.decode_session(records.encode_session(value, NAME, KEY), NAME, KEY) == value


def test_a_name_is_22_characters_and_tells_nothing() -> None:
    assert len(NAME) == 22
    assert "clinic" not in NAME
    assert record_name(NAMES, Scope("clinic", "c2")) != NAME


def test_each_flipped_byte_is_refused() -> None:
    data = records.encode_session(A_RECORD, NAME, KEY)
    for index in range(len(data)):
        flipped = data[:index] + bytes((data[index] ^ 1,)) + data[index + 1 :]
        with pytest.raises(RecordRefused):
            records.decode_session(flipped, NAME, KEY)


def test_a_renamed_record_is_refused() -> None:
    with pytest.raises(RecordRefused):
        records.decode_session(records.encode_session(A_RECORD, NAME, KEY), NAME[:-1] + "x", KEY)


def test_a_record_under_another_key_is_refused() -> None:
    with pytest.raises(RecordRefused):
        records.decode_session(
            records.encode_session(A_RECORD, NAME, RecordKey(b"x" * 32)), NAME, KEY
        )


@given(st.binary(max_size=160))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RecordRefused):
        records.decode_session(data, NAME, KEY)


def test_the_form_is_frozen() -> None:
    data = records.encode_session(replace(A_RECORD, sid=bytes(range(12))), "name:cur", KEY)
    times = "0000000000000005", "00000000000003e8", "00000000000007d0", "0000000000000bb8"
    assert data[:-32].hex() == "01" + "".join(times) + "0001" + "000102030405060708090a0b"


def test_the_form_with_a_key_is_frozen() -> None:
    data = records.encode_session(replace(A_RECORD, wrapped=b"w" * 60), NAME, KEY)
    assert (data[0], data[-92:-32], len(data)) == (2, b"w" * 60, 139)


@pytest.mark.parametrize("change", [b"\x00", b"\x02", b"\x03"])
def test_a_record_of_another_version_is_authentic_and_not_used(change: bytes) -> None:
    values = change + records.encode_session(A_RECORD, NAME, KEY)[1:-32]
    for other in (values, values[:-1], b""):
        with pytest.raises(RecordUnknown, match="record-version"):
            records.decode_session(
                records.sign(other, records._SESSION_LABEL, NAME, KEY), NAME, KEY
            )


def test_a_revocation_is_no_session_and_a_session_no_revocation() -> None:
    with pytest.raises(RecordRefused, match="record-forged"):
        records.decode_session(records.encode_revocation(1, NAME, KEY), NAME, KEY)
    with pytest.raises(RecordRefused, match="record-forged"):
        records.decode_revocation(records.encode_session(A_RECORD, NAME, KEY), NAME, KEY)


def test_a_revocation_is_for_its_conversation() -> None:
    data = records.encode_revocation(7, NAME, KEY)
    assert records.decode_revocation(data, NAME, KEY) == 7
    with pytest.raises(RecordRefused, match="record-forged"):
        records.decode_revocation(data, NAME[:-1] + "x", KEY)
