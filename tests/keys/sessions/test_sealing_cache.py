"""The sessions that seal, and how much each has sealed."""

from __future__ import annotations

from proxy.core.crypto.context import Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.values.key_needs import NO_KEYS
from proxy.keys.sessions.durable import durable_session
from proxy.keys.sessions.revocation_state import RevocationState
from proxy.keys.sessions.sealing_cache import SealingSessions

from ..builders import NOW, SCOPE, a_keyring

OTHER = Scope("other")
KEK = a_keyring().primary


def a_session(scope: Scope = SCOPE, began: int = NOW) -> Session:
    return durable_session(KEK, began.to_bytes(4) + b"12345678", scope)


def put(held: SealingSessions, session: Session, standing: RevocationState | None = None) -> None:
    held.put(session, standing or RevocationState("n"), soft_end=NOW + 60.0, fresh_until=NOW + 30.0)


def some(limit: int = 9) -> SealingSessions:
    held = SealingSessions(limit, max_messages=5, begun=lambda _: True, standing=NO_KEYS.standing)
    put(held, a_session())
    return held


def test_all_that_a_plan_needs_is_taken_or_nothing_is_counted() -> None:
    held = some()
    assert held.take({SCOPE: 5, OTHER: 1}, NOW) is None
    assert list(held.take({SCOPE: 5}, NOW) or ()) == [SCOPE]
    assert held.take({SCOPE: 1}, NOW) is None
    assert held.take({}, NOW) == {}


def test_a_session_stops_at_its_soft_end_and_waits_where_the_store_is_to_be_asked() -> None:
    held = some()
    kept = held.get(SCOPE)
    assert kept is not None
    assert held.take({SCOPE: 1}, NOW + 30) is None
    assert (held.able(kept, 1, NOW + 59), held.able(kept, 1, NOW + 60)) == (True, False)


def test_the_store_is_asked_anew_about_one_or_about_all() -> None:
    held = some()
    put(held, a_session(OTHER), RevocationState("m"))
    held.ask_anew("m")
    assert held.take({OTHER: 1}, NOW) is None
    assert held.take({SCOPE: 1}, NOW) is not None
    held.ask_anew(None)
    assert held.take({SCOPE: 1}, NOW) is None


def test_what_is_over_or_revoked_is_buried() -> None:
    held, standing = some(), RevocationState("m")
    put(held, a_session(OTHER), standing)
    standing.not_before = NOW + 1
    assert not any(held.drop_ended(NOW))
    assert (held.get(OTHER), held.get(SCOPE) is None) == (None, False)
    assert not any(held.drop_ended(NOW + 60))
    assert len(held) == 0


def test_a_session_that_comes_back_counts_on_where_it_was() -> None:
    for lose in ("forget", "push out", "replace", "fork"):
        held = some(limit=1)
        assert held.take({SCOPE: 4}, NOW) is not None
        if lose == "forget":
            held.forget()
        elif lose == "push out":
            put(held, a_session(OTHER))
        elif lose == "replace":
            put(held, a_session(began=NOW + 1))
        else:
            held.begin_anew()
        put(held, a_session())
        # A child is another process, with a count of its own.
        assert (held.take({SCOPE: 2}, NOW) is not None) == (lose == "fork"), lose


def test_how_much_a_session_has_sealed_is_known_until_it_ends() -> None:
    held = some()
    assert held.take({SCOPE: 5}, NOW) is not None
    held.forget()
    assert not any(held.drop_ended(NOW + 59))
    put(held, a_session())
    assert held.take({SCOPE: 1}, NOW) is None

    held.forget()
    assert not any(held.drop_ended(NOW + 60))
    put(held, a_session())
    assert held.take({SCOPE: 1}, NOW) is not None
