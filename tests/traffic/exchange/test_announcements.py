"""What polls announce: kept for the next one of the session, bounded, and forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import BodyTooLarge, InvalidBody
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Attachment, Exchange
from proxy.traffic import policy
from proxy.traffic.exchange import announcements
from proxy.traffic.exchange.announcements import Announcements
from proxy.traffic.exchange.steps import rules_with_packets
from tests.factories import a_block, a_rule

PACKETS = replace(a_block(encrypt=["$[1].file"]), format="socketio")
RULE = a_rule("GET,POST /socket.io/", request=PACKETS)
SEALS = PACKETS.encrypt[0]
PASSES = Attachment(Context(Scope("clinic", "c1")), PACKETS, SEALS, seals=True)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def exchange(query: str = "EIO=4&sid=s1", method: str = "POST") -> Exchange:
    head = RequestHead(method, "/socket.io/", query, ())
    decision = RuleTable((RULE,), pass_unmatched=True).decide(method, canonical(head.path))
    return Exchange(decision, head)


def kept(clock: Clock | None = None) -> Announcements:
    return Announcements(clock or Clock())


def announce(one: Announcements, sid: str = "s1", *announced: Attachment | None) -> None:
    asked = exchange(f"sid={sid}")
    begun = one.begin(asked, "request")
    assert begun is not None
    asked.announced["request"] = announced or (PASSES, None)
    begun.settler(asked)()


def awaited(one: Announcements, query: str = "sid=s1") -> tuple[Attachment | None, ...]:
    """Return what is awaited, and let all of it come."""
    asked = exchange(query)
    begun = one.begin(asked, "request")
    found = asked.announced.get("request", ())
    asked.announced["request"] = ()
    if begun is not None:
        begun.settler(asked)()
    return found


def test_only_rules_with_packets_have_sessions() -> None:
    other = a_rule("POST /other", name="other", request=a_block(encrypt=["$.a"]))

    assert rules_with_packets(RuleTable((other, RULE), pass_unmatched=True)) == {RULE.name}


def test_what_is_announced_is_awaited_once_by_its_session_alone() -> None:
    one = kept()
    announce(one)

    assert awaited(one, "sid=s2") == ()
    assert awaited(one, "t=x&sid=s1") == (PASSES, None)
    assert awaited(one) == ()
    assert (len(one), one.size) == (0, 0)


def test_directions_are_apart_and_answers_to_posts_hold_nothing() -> None:
    one = kept()
    announce(one)

    polled = exchange(method="GET")
    assert one.begin(polled, "response") is not None
    assert polled.announced["response"] == ()
    assert one.begin(exchange(), "response") is None
    assert awaited(one) == (PASSES, None)


@pytest.mark.parametrize("query", ["", "EIO=4", "sid=", "sid=s1&sid=s1", f"sid={'s' * 257}"])
def test_a_request_that_names_no_one_session_is_of_none(query: str) -> None:
    one = kept()
    announce(one)

    assert one.begin(exchange(query), "request") is None
    assert one.of_socket(exchange(query), "request") is None


def test_a_websocket_takes_over_what_was_announced() -> None:
    one = kept()
    announce(one)
    takes = one.of_socket(exchange(), "request")

    assert takes is not None
    assert takes() == (PASSES, None)
    assert takes() == ()


def test_it_ends_with_its_time() -> None:
    clock = Clock()
    one = kept(clock)
    announce(one)
    clock.now = policy.ANNOUNCED_SECONDS

    assert awaited(one) == ()
    announce(one)
    clock.now *= 2
    announce(one, "s2")
    assert len(one) == 1


def test_the_oldest_make_room_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "ANNOUNCED_SESSIONS", 3)
    one = kept()
    for number in range(5):
        announce(one, f"s{number}")

    assert len(one) == 3
    assert awaited(one, "sid=s1") == ()
    assert awaited(one, "sid=s4") == (PASSES, None)


def test_the_oldest_make_room_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = kept()
    announce(one)
    monkeypatch.setattr(announcements, "ANNOUNCED_BYTES", 3 * one.size)
    for number in range(9):
        announce(one, f"x{number}")

    assert len(one) == 3
    assert one.size <= policy.ANNOUNCED_BYTES


def test_one_session_announces_no_more_than_its_share() -> None:
    one = kept()
    long = Attachment(Context(Scope("clinic", "c" * 300_000)), PACKETS, SEALS, seals=True)

    with pytest.raises(BodyTooLarge, match="too-much-announced"):
        announce(one, "s1", long)
    assert (len(one), one.size) == (0, 0)


def test_a_message_may_be_planned_twice_before_its_plan_is_applied() -> None:
    one = kept()
    announce(one)
    asked = exchange()

    for _ in range(2):
        asked.announced["request"] = ()
        assert one.begin(asked, "request") is not None
        assert asked.announced["request"] == (PASSES, None)


def test_of_two_messages_at_the_same_time_one_is_refused_and_nothing_is_kept() -> None:
    one = kept()
    first, second = exchange(), exchange()
    begun = [one.begin(asked, "request") for asked in (first, second)]
    assert begun[0] is not None
    assert begun[1] is not None
    first.announced["request"] = (PASSES,)
    begun[0].settler(first)()

    with pytest.raises(InvalidBody, match="packets-at-the-same-time"):
        begun[1].settler(second)()
    assert awaited(one) == ()
