"""A way does to a message what its plan does, byte for byte, or leaves the message to it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.apply.apply import apply
from proxy.core.apply.forwardable import Forwardable, Frame
from proxy.core.apply.ways import Way, Ways
from proxy.core.compiled.plain_json import PlainJson
from proxy.core.crypto.context import Context
from proxy.core.crypto.session_cipher import Session
from proxy.core.edits.key_needs import Keys, Needs
from proxy.core.errors import KeyUnavailable, SealyardError
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.json import Selection
from proxy.core.http.message import Headers
from proxy.core.planning.exchange import Kept
from proxy.core.planning.planner import plan_request, plan_response
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.model import Names, Rule
from tests.core.message_texts import LONG, bodies
from tests.factories import (
    JSON_TYPE,
    NOW,
    SCOPE,
    Message,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    a_sid,
    an_item,
    keys_for,
)

HERE: Final = Names(parse_source("const:clinic"), parse_source("$.conversationId"))
OUTSIDE: Final = Names(
    parse_source("header:x-tenant"), parse_source("query:room"), parse_source("$.id")
)
DEEP: Final = Names(parse_source("path:tenant"), parse_source("$.meta.room"))
WITH_MESSAGE: Final = ("tenant", "conversation", "message", "field")

LISTS: Final = a_rule(
    request=a_block(encrypt=["$.meta[*].content", "optional $.meta[*].subject"]),
    response=a_block(decrypt=["$.meta[*].content", "$.subject"]),
    names=HERE,
)
RULES: Final[tuple[Rule, ...]] = (
    a_rule(
        request=a_block(encrypt=["$.content", "optional $.subject"]),
        response=a_block(decrypt=["$.content", "$.meta.content"]),
        names=HERE,
    ),
    a_rule(
        request=a_block(decrypt=["$.content", "optional $.meta.content"]),
        response=a_block(encrypt=["optional $.content"], decrypt=["$.subject"]),
        names=HERE,
    ),
    a_rule(
        request=a_block(encrypt=[an_item("$.content", bind=WITH_MESSAGE), "optional $.meta.room"]),
        response=a_block(encrypt=["$.content"], names=Names(conversation=parse_source("$.id"))),
        names=OUTSIDE,
    ),
    a_rule(
        "/api/{tenant}",
        request=a_block(encrypt=[an_item("$.content", bind=())], decrypt=["$.subject"]),
        names=DEEP,
    ),
    LISTS,
    a_rule(
        request=a_block(encrypt=["optional $.meta[*][*].content"]),
        response=a_block(decrypt=["$.meta[*].meta[*].content"]),
        names=HERE,
    ),
)

_WAYS: Final[tuple[tuple[Literal["seal", "keep", "reject"], bool, float | None], ...]] = (
    ("keep", False, None),
    ("reject", True, None),
    ("seal", False, NOW + 1),
)
SINGLE: Final[tuple[Rule, ...]] = tuple(
    a_rule(
        request=replace(a_block(encrypt=["optional $.content"]), already_sealed=sealed),
        response=replace(
            a_block(decrypt=["$.content"]), keep_unopened=keep, permissive_until=until
        ),
        names=HERE,
    )
    for sealed, keep, until in _WAYS
)

TOKEN: Final = a_session(SCOPE).seal(b"hello", Context(SCOPE, "content")).decode()

SPECIAL: Final[tuple[Rule, ...]] = (
    a_rule(
        request=a_block(
            encrypt=[
                an_item("$.content", form="short"),
                an_item("$.subject", max_chars=260, min_chars=1, optional=True),
                replace(an_item("$.room", optional=True), expires=3600),
            ]
        ),
        response=a_block(decrypt=["$.content", "$.subject", "$.room"]),
        names=HERE,
    ),
    a_rule(
        request=a_block(
            encrypt=[an_item("$.content", bind=["tenant"]), an_item("$.subject", optional=True)],
            decrypt=[an_item("$.room", optional=True), "optional $.meta[*].content"],
        ),
        response=a_block(
            encrypt=["optional $.room"],
            decrypt=[an_item("$.content", bind=["tenant"]), "$.subject", "$.meta[*].content"],
        ),
        names=HERE,
    ),
    a_rule(
        request=a_block(encrypt=["optional $.meta", "optional $.meta.content"]),
        response=a_block(decrypt=["$.content", "$.content"]),
        names=HERE,
    ),
    a_rule(
        request=replace(a_block(encrypt=["optional $.content"]), nothing="refuse"),
        response=a_block(decrypt=[an_item("$.content", bind=WITH_MESSAGE)]),
        names=Names(
            parse_source("header:x-tenant"), parse_source("$.conversationId"), parse_source("$.id")
        ),
    ),
)
ONLY_NAMES: Final = a_rule(response=a_block(decrypt=["$.content", "$.meta[*].content"]), names=HERE)
SEVERAL: Final = a_rule(
    request=a_block(encrypt=[an_item("$.content", bind=WITH_MESSAGE), "optional $.subject"]),
    response=a_block(
        encrypt=["optional $.meta[*].content", "optional $.room"],
        decrypt=[an_item("$.content", bind=WITH_MESSAGE), "$.subject"],
        names=Names(message=parse_source("$.id")),
    ),
    names=Names(
        parse_source("$.room"), parse_source("$.conversationId"), parse_source("header:x-tenant")
    ),
)
ALL: Final = (ONLY_NAMES, SEVERAL, *RULES, *SINGLE, *SPECIAL)


@dataclass
class Warm:
    """Keys that are always at hand, and what was asked of them."""

    needs: list[Needs] = field(default_factory=list)
    remembered: list[Mapping[Session, int]] = field(default_factory=list)
    joined_since: int = 0

    def resolve_warm(self, needs: Needs) -> Keys | None:
        self.needs.append(needs)
        keys = keys_for(needs)
        keys.joined_since = self.joined_since
        return keys

    def remember(self, sessions: Mapping[Session, int]) -> None:
        self.remembered.append(sessions)


def walking(trip: Trip) -> Trip:
    """Let the general way walk each text: a way must find what a walk finds."""
    compiled_rule = trip.exchange.decision.compiled_rule
    assert compiled_rule is not None
    for one in (*compiled_rule.request, *compiled_rule.response):
        if isinstance(one.selection, Selection):
            one.selection.finder = None
    return trip


def sent(message: Forwardable) -> list[object]:
    """Return all that goes on of a message."""
    return [message.body, message.flow, *(getattr(message, name) for name in Frame.__slots__)]


def proven(sessions: Mapping[Session, int]) -> dict[object, int]:
    return {(one.scope, one.sid): count for one, count in sessions.items()}


def asked_for(needs: Needs) -> object:
    return dict(needs.seals), needs.opens


def generally(trip: Trip, body: bytes, answer: Any = None) -> object:  # noqa: ANN401 - a block and a head
    """Return all that comes of a message by its plan, or None where it is refused."""
    try:
        if answer is None:
            plan = plan_request(trip.exchange, body)
        else:
            plan = plan_response(trip.exchange, answer[0].block, answer[1], body)
        with pytest.MonkeyPatch.context() as fixed:
            fixed.setattr("os.urandom", bytes)
            done = apply(plan, keys_for(plan.needs), NOW)
    except SealyardError:
        return None
    facts = trip.exchange.kept if answer is None else ()
    sealing = asked_for(plan.needs)
    return sent(done.forwardable), done.counts, proven(done.proven), sealing, facts


def by_way(way: Way | None, keys: Warm, body: bytes, kept: Kept = ()) -> object:
    """Return all that comes of a message by a way, or None where it leaves it."""
    if way is None:
        return None
    with pytest.MonkeyPatch.context() as fixed:
        fixed.setattr("os.urandom", bytes)
        changed = way.change(body, NOW, kept)
    if changed is None:
        return None
    (needs,) = keys.needs or [Needs({})]
    (used,) = keys.remembered or [{}]
    return sent(changed), changed.counts, proven(used), asked_for(needs), changed.kept


def target_of(rule: Rule) -> str:
    """Return a target that a rule takes."""
    path = "/api/acme" if "{tenant}" in rule.patterns[0].text else "/api/messages"
    return f"{path}?room=r1" if rule.names is OUTSIDE else path


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[Rule, Message, Headers, bytes]:
    rule = draw(st.sampled_from(ALL))
    target = target_of(rule)
    extra = draw(st.sampled_from([(), ((b"Cookie", b"content=1"),), ((b"Cookie", b"x=y"),)]))
    headers = (*JSON_TYPE, (b"X-Tenant", b"acme"), *extra)
    answered = draw(
        st.sampled_from([JSON_TYPE, (*JSON_TYPE, (b"Cache-Control", b"private, max-age=1"))])
    )
    return rule, a_message(draw(bodies), target=target, headers=headers), answered, draw(bodies)


@settings(max_examples=600)
@given(exchanges())
def test_a_way_does_what_the_plan_does_or_nothing(
    drawn: tuple[Rule, Message, Headers, bytes],
) -> None:
    rule, message, headers, answered = drawn
    trip, other = walking(Trip((rule,), message)), Trip((rule,), message)
    keys = Warm()
    way = Ways(keys).request(other.exchange)
    requested = generally(trip, message.body)

    found = by_way(way, keys, message.body)

    assert found in (None, requested)
    answer = a_response(headers=headers)
    treatment = treat_response(trip.exchange, answer)
    kept = trip.exchange.kept
    keys = Warm()
    back = Ways(keys).response(other.exchange, treatment, answer)
    replied = by_way(back, keys, answered, kept)
    if isinstance(treatment, ReadResponse):
        assert replied in (None, generally(trip, answered, (treatment, answer)))


def ways_of(rule: Rule, message: Message, keys: Warm | None = None) -> tuple[Way | None, Trip]:
    trip = Trip((rule,), message)
    return Ways(keys or Warm()).request(trip.exchange), trip


USUAL = json.dumps({"conversationId": "c1", "content": "hello", "meta": []})


@pytest.mark.parametrize(
    "body",
    [
        '{"conversationId":"c1","content":"hello"}',
        ' {"content" : "é\\n\\"", "conversationId":\t"c1", "subject": ["x", 1]}\n',
        '{"meta":{"x":null},"conversationId":"é","content":{"a":1.50},"subject":null}',
        '{"conversationId":17,"content":"a"}',
    ],
)
def test_usual_messages_go_the_way(body: str) -> None:
    keys = Warm()
    way, trip = ways_of(RULES[0], a_message(body), keys)

    done = by_way(way, keys, body.encode())

    assert done is not None
    assert done == generally(trip, body.encode())


@pytest.mark.parametrize(
    "body",
    [
        '{"conversationId":"c1","content":"a"}x',
        '{"conversationId":"c1","content":"a"',
        '{"conversationId":"c1","content":"a","Content":"b"}',
        '{"conversationId":"c1","content":"a","content":"b"}',
        '{"conversationId":"","content":"a"}',
        '{"conversationId":1.0,"content":"a"}',
        '{"conversationId":"c1","content":null}',
        '{"conversationId":null,"content":"a"}',
        json.dumps({"conversationId": "c1", "content": TOKEN}),
        '["content"]',
        "",
    ],
)
def test_what_is_not_certain_goes_no_way(body: str) -> None:
    keys = Warm()
    way, _ = ways_of(RULES[0], a_message(body), keys)
    assert way is not None
    assert way.change(body.encode(), NOW) is None


def test_lists_go_the_way() -> None:
    tokens = [
        a_session(SCOPE, sid=a_sid(at % 2)).seal(text, Context(SCOPE, "content")).decode()
        for at, text in enumerate([b"a", "é".encode(), b'"\\', LONG.encode()])
    ]
    body = json.dumps({"meta": [{"content": one} for one in tokens], "subject": None})
    rule = RULES[4]
    trip = Trip((rule,), a_message(json.dumps({"conversationId": "c1", "meta": [{"content": 1}]})))
    asked = generally(trip, trip.message.body)
    assert asked is not None
    answer = a_response()
    treatment = treat_response(trip.exchange, answer)
    keys = Warm()
    way = Ways(keys).response(trip.exchange, treatment, answer)

    done = by_way(way, keys, body.encode(), ("c1",))

    assert done is not None
    assert done == generally(trip, body.encode(), (treatment, answer))
    assert set(proven(keys.remembered[0]).values()) == {2}


def test_names_that_a_way_keeps_serve_the_general_way() -> None:
    body = b'{"conversationId":"c1","content":"a"}'
    way, trip = ways_of(RULES[0], a_message(body))
    assert way is not None
    changed = way.change(body, NOW)
    assert changed is not None

    trip.exchange.keep(changed.kept)

    assert trip.exchange.kept == changed.kept == ("c1",)


def test_keys_that_are_not_at_hand_are_left_to_the_general_way() -> None:
    class Cold(Warm):
        def resolve_warm(self, needs: Needs) -> Keys | None:
            return None

    class Blocked(Warm):
        def resolve_warm(self, needs: Needs) -> Keys | None:
            raise KeyUnavailable("audit-log-blocks")

    body = b'{"conversationId":"c1","content":"a"}'
    for keys in (Cold(), Blocked()):
        way, _ = ways_of(RULES[0], a_message(body), keys)
        assert way is not None
        assert way.change(body, NOW) is None


@pytest.mark.parametrize("selector", ["$.content", "$.subject"])
def test_sessions_of_before_joined_names_were_set_apart_go_no_way(selector: str) -> None:
    rule = a_rule(request=a_block(encrypt=["optional $.subject"], decrypt=["optional $.content"]))
    name = selector.removeprefix("$.")
    body = json.dumps({"conversationId": "c1", "subject": "a", name: TOKEN, "x": 1})
    if name == "subject":
        body = json.dumps({"conversationId": "c1", "subject": "a"})
    for since, goes in ((NOW, False), (NOW - 700, True)):
        way, _ = ways_of(rule, a_message(body), Warm(joined_since=since))
        assert way is not None
        assert (way.change(body.encode(), NOW) is not None) == goes


def test_a_message_that_passes_is_the_same_each_time() -> None:
    way, trip = ways_of(a_rule("GET /x", request=a_block(encrypt=["$.content"])), a_message())
    assert way is not None
    changed = way.change(b"anything", NOW)

    assert changed is way.change(b"", NOW)
    assert changed is not None
    assert changed.body is None
    assert not changed.counts
    answer = a_response()
    back = Ways(Warm()).response(trip.exchange, treat_response(trip.exchange, answer), answer)
    assert back is not None
    passed = back.change(b"x", NOW)
    assert passed is not None
    assert sent(passed) == [None, None, (), False, False, answer, None, False, False]


@pytest.mark.parametrize(
    "rule",
    [
        a_rule(request=replace(a_block(encrypt=["$.content"]), only=("x",))),
        a_rule(request=a_block(encrypt=["$.content"], absent=["$.x"])),
        a_rule(request=a_block(encrypt=["$..content"])),
        a_rule(request=a_block(encrypt=["$.content"], types=("application/json",))),
        a_rule(request=a_block(encrypt=["$.content"]), names=Names(parse_source("header:absent"))),
        replace(a_rule(request=a_block(encrypt=["$.content"])), observes=True),
    ],
)
def test_rules_that_do_more_have_no_way(rule: Rule) -> None:
    way, _ = ways_of(rule, a_message())
    assert way is None


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"Content-Type", b"text/plain"),),
        (*JSON_TYPE, (b"Content-Encoding", b"gzip")),
        (*JSON_TYPE, (b"Content-Digest", b"sha-256=:AA==:")),
        (*JSON_TYPE, (b"Cookie", b"content=1")),
        (*JSON_TYPE, (b"Cookie", b"conversationId=c1")),
    ],
)
def test_heads_that_say_more_have_no_way(headers: Headers) -> None:
    way, _ = ways_of(RULES[0], a_message(USUAL, headers=headers))
    assert way is None


def test_rules_of_the_law_have_ways() -> None:
    for rule in ALL:
        target = target_of(rule)
        headers = (*JSON_TYPE, (b"X-Tenant", b"acme"))
        way, trip = ways_of(rule, a_message(target=target, headers=headers))
        assert way is not None
        answer = a_response()
        treatment = treat_response(trip.exchange, answer)
        assert Ways(Warm()).response(trip.exchange, treatment, answer) is not None


LISTED: Final = [
    [f'{{"x":["content"],"content":"{LONG}"}}'],
    [f'{{"Content":1,"content":"{LONG}"}}'],
    [f'{{"content":"{LONG}","x":{{"content":1}}}}'],
    [f'{{"x":["content"],"y":1,"content":"{LONG}"}}'],
    [f'{{"x":{{"content":1}},"content":"{LONG}"}}'],  # what follows the first holds a name
    [f'{{"content":"{LONG}\\\\","x":{"[" * 200}"{"]" * 200}"{"]" * 200}}}'],
    ['{"content":1}'] * 100 + ['{"content":' + "[" * 140 + "]" * 140 + "}"],
    ['{"content":' + "[" * 200 + "]" * 200 + "}"],
    ["[" * 200 + "]" * 200],
    ["[" * 100_000 + "]" * 100_000],
    ['{"content":1'],
    [f'{{"tags":["a"],"about":{{}},"content":"{LONG}"}}'] * 150,
    ['{"content":"a"}', '{"c\\u006fntent":"b"}'],
    ['{"content":"a","subject":{"content":1}}', '{"content":null}', "{}"],
]


@pytest.mark.parametrize("rows", LISTED)
@pytest.mark.parametrize(
    "other", ["", '"meta":[],', '"Meta":[],', '"x":{"meta":1},', '"x":"meta",']
)
@pytest.mark.parametrize("rule", [LISTS, RULES[-1]], ids=["all", "optional"])
def test_awkward_lists_are_found_as_a_walk_finds_them(
    rule: Rule, other: str, rows: list[str]
) -> None:
    body = f'{{"conversationId":"c1",{other}"meta":[{",".join(rows)}]}}'.encode()
    keys = Warm()
    way, _ = ways_of(rule, a_message(body), keys)

    assert by_way(way, keys, body) in (None, generally(walking(Trip((rule,), a_message())), body))


@pytest.mark.parametrize(
    "decoys", ['"content",', '"content" ,', '{"content":1},', '{"content" : "a"},']
)
def test_a_list_full_of_decoys_takes_no_time(decoys: str) -> None:
    rows = ",".join(['{"content":1}'] * 10_000)
    space = " " * 150_000
    body = f'{{"conversationId":"c1","x":[{decoys * 10_000}1],"y":{space}1,"meta":[{rows}]}}'
    way, _ = ways_of(LISTS, a_message(body))
    assert way is not None
    began = time.process_time()
    way.change(body.encode(), NOW)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(("rows", "goes"), [(532, True), (533, False)])
def test_more_values_than_a_slice_has_time_for_go_no_way(rows: int, goes: bool) -> None:  # noqa: FBT001 - which of two sizes
    texts = ",".join(['{"content":"a"}'] * rows)
    body = f'{{"conversationId":"c1","meta":[{texts}]}}'.encode()
    way, _ = ways_of(LISTS, a_message(body))
    assert way is not None
    assert (by_way(way, Warm(), body) is not None) == goes


@pytest.mark.parametrize(
    ("row", "rows"), [('{"content":1}', 30_001), ('{"content":1,"subject":1}', 15_001)]
)
def test_more_values_than_may_be_selected_go_no_way(row: str, rows: int) -> None:
    body = '{"conversationId":"c1","meta":[' + ",".join([row] * rows) + "]}"
    way, _ = ways_of(LISTS, a_message(body))
    assert way is not None
    assert way.change(body.encode(), NOW) is None


def plain(rule: Rule) -> PlainJson:
    """Return what the first block of a rule does to plain JSON."""
    compiled_rule = Trip((rule,), a_message()).exchange.decision.compiled_rule
    assert compiled_rule is not None
    found = compiled_rule.request[0].plain_json
    assert found is not None
    return found


def test_messages_of_one_conversation_share_their_contexts_and_keys() -> None:
    json = plain(RULES[0])
    first, second = json.bound(("c1",)), json.bound(("c1",))
    assert first is not None
    assert first is second
    assert first.needs(1, None) is first.needs(1, None)


def test_contexts_of_many_conversations_are_not_kept_without_end() -> None:
    json = plain(RULES[0])
    for number in range(3000):
        json.bound((str(number),))
    json.bound(("long" * 2000,))
    assert len(json._bound) <= 1024
    assert json.bound(("long" * 20_000,)) is None
    bound = json.bound(("c1",))
    assert bound is not None
    for count in range(200):
        bound.needs(count, None)
    assert len(bound._needs) <= 64
