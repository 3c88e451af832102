"""Sessions of durable tokens, and the decoys of those that must not open."""

from __future__ import annotations

import pytest

from proxy.core.crypto import token
from proxy.core.crypto.context import Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import KeyId
from proxy.core.errors import OpenFailed
from proxy.keys.keyring.kek import KekEntry
from proxy.keys.keyring.kek_source import OneKeyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.policy import TRIED_SESSIONS
from proxy.keys.sessions import durable
from proxy.keys.sessions.durable import DurableSessions, durable_session

from ..builders import CONTEXT, NOW, SCOPE, a_keyring, some_bytes

KEYRING = a_keyring("k2", "k3").disable("k2")
SID = NOW.to_bytes(4) + bytes(8)
UNKNOWN, DISABLED = KeyId(SID, kek_id="k9"), KeyId(SID, kek_id="k2")


def the_sessions(keyring: Keyring = KEYRING) -> DurableSessions:
    return DurableSessions(OneKeyring(keyring), 10, random=some_bytes)


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the id of every session that is derived from now on."""
    sids: list[bytes] = []

    def noted(entry: KekEntry, sid: bytes, scope: Scope) -> Session:
        sids.append(sid)
        return durable_session(entry, sid, scope)

    monkeypatch.setattr(durable, "durable_session", noted)
    return sids


@pytest.mark.parametrize("key_id", [KeyId(SID, kek_id="k3"), KeyId(SID, kek_number=3)])
def test_either_form_finds_the_session_of_its_kek(key_id: KeyId) -> None:
    session, refusal = the_sessions().find(SCOPE, key_id, 0)
    sealed = durable_session(KEYRING.entry("k3"), SID, SCOPE).seal(b"hello", CONTEXT)
    assert refusal is None
    assert session.open(token.decode(sealed), CONTEXT, NOW) == b"hello"


@pytest.mark.parametrize(
    ("key_id", "not_before", "reason"),
    [
        (UNKNOWN, 0, "unknown-key"),
        (KeyId(SID, kek_number=9), 0, "unknown-key"),
        (KeyId(SID, kek_number=0), 0, "unknown-key"),
        (DISABLED, 0, "disabled-key"),
        (KeyId(SID, kek_number=2), 0, "disabled-key"),
        (KeyId(SID, kek_id="k1"), NOW + 1, "revoked-session"),
        (UNKNOWN, NOW + 1, "revoked-session"),
    ],
)
def test_a_decoy_stands_for_what_must_not_open(key_id: KeyId, not_before: int, reason: str) -> None:
    decoy, refusal = the_sessions().find(SCOPE, key_id, not_before)
    assert refusal == reason
    for entry in KEYRING.keks:  # whatever sealed it, it does not open
        sealed = token.decode(durable_session(entry, SID, SCOPE).seal(b"hello", CONTEXT))
        with pytest.raises(OpenFailed):
            decoy.open(sealed, CONTEXT, NOW)


def test_decoys_of_two_processes_differ() -> None:
    one, other = (the_sessions().decoy(SCOPE, SID) for _ in range(2))
    with pytest.raises(OpenFailed):
        other.open(token.decode(one.seal(b"x", CONTEXT)), CONTEXT, NOW)


@pytest.mark.parametrize(
    ("key_id", "not_before"),
    [(KeyId(SID, kek_id="k1"), 0), (UNKNOWN, 0), (DISABLED, 0), (KeyId(SID, kek_id="k3"), NOW + 1)],
)
def test_every_session_and_every_decoy_is_derived_once(
    key_id: KeyId, not_before: int, derived: list[bytes]
) -> None:
    sessions = the_sessions()
    found = {sessions.find(SCOPE, key_id, not_before)[0] for _ in range(5)}
    assert (len(found), derived) == (1, [SID])


def test_made_up_ids_drive_out_neither_each_other_at_once_nor_what_has_verified(
    derived: list[bytes],
) -> None:
    sessions = the_sessions()
    real = KeyId(SID, kek_id="k1")
    sessions.remember(sessions.find(SCOPE, real, 0)[0])
    for number in range(TRIED_SESSIONS):
        sessions.find(SCOPE, KeyId(number.to_bytes(12), kek_id="k9"), 0)
    derived.clear()
    sessions.find(SCOPE, real, 0)
    sessions.find(SCOPE, KeyId((0).to_bytes(12), kek_id="k9"), 0)
    assert (derived, len(sessions)) == ([], 1)
    sessions.find(SCOPE, KeyId(TRIED_SESSIONS.to_bytes(12), kek_id="k9"), 0)
    sessions.find(SCOPE, KeyId((1).to_bytes(12), kek_id="k9"), 0)
    assert derived == [TRIED_SESSIONS.to_bytes(12), (1).to_bytes(12)]


@pytest.mark.parametrize("named", ["id", "number"])
def test_a_session_is_found_again_by_either_name_once_it_has_verified(
    named: str, derived: list[bytes]
) -> None:
    entry = KEYRING.entry("k1")
    sessions = the_sessions(KEYRING)
    key_id = KeyId(SID, entry.id) if named == "id" else KeyId(SID, kek_number=entry.number)
    found = sessions.find(SCOPE, key_id, 0)[0]
    sessions.remember(found)
    assert found in sessions.kept
    for number in range(TRIED_SESSIONS + 1):
        sessions.find(SCOPE, KeyId(number.to_bytes(12), kek_id="k9"), 0)
    derived.clear()
    for name in (KeyId(SID, entry.id), KeyId(SID, kek_number=entry.number)):
        assert (sessions.find(SCOPE, name, 0)[0], derived, len(sessions)) == (found, [], 1)


def test_another_keyring_derives_anew(derived: list[bytes]) -> None:
    source = OneKeyring(KEYRING)
    sessions = DurableSessions(source, 10, random=some_bytes)
    session, _ = sessions.find(SCOPE, KeyId(SID, kek_id="k3"), 0)
    sessions.remember(session)
    source.keyring = KEYRING.disable("k3")
    sessions.clear()
    decoy, refusal = sessions.find(SCOPE, KeyId(SID, kek_id="k3"), 0)
    assert (refusal, len(sessions), len(derived)) == ("disabled-key", 0, 2)
    assert decoy is not session
