"""A way does to a message what its plan does, byte for byte, or leaves the message to it."""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Final, Literal

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import policy
from proxy.core.compiled import flat_json
from proxy.core.compiled.flat_json import Bound, FlatJson, GivenNames, Kept
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Joined
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import KeyUnavailable, SealyardError
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import JsonSource, NameSource, SameSource, parse_source
from proxy.core.formats.json import Selection
from proxy.core.http.message import Headers
from proxy.core.leaves import FORM
from proxy.core.planning.treatment import (
    HeadOnly,
    LookAt,
    Pass,
    ReadResponse,
    treat_response,
)
from proxy.core.rules.model import Item, Names, Rule, Verdict
from proxy.core.slices import pausing
from proxy.core.transform import (
    Forwardable,
    Frame,
    Lacking,
    Prepared,
    PreparedJson,
    apply,
    plan_request,
    plan_response,
)
from proxy.core.values import carry_out
from proxy.core.values.key_needs import Keys, Needs
from tests.core.message_texts import LONG, bodies
from tests.core.transform.preparing import Changing, Preparing
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
    forged,
    keys_for,
)

HERE: Final = Names(parse_source("const:clinic"), parse_source("$.conversationId"))
OUTSIDE: Final = Names(
    parse_source("header:x-tenant"), parse_source("query:room"), parse_source("$.id")
)
DEEP: Final = Names(parse_source("path:tenant"), parse_source("$.meta.room"))
SAME: Final = Names(
    parse_source("const:clinic"),
    SameSource(
        NameSource("query", "room"),
        (JsonSource(parse_json_selector("$.conversationId")),),
        (parse_json_selector("$.id"),),
    ),
)
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
    a_rule(
        request=a_block(
            encrypt=["$.content"], plain=["$.id", "$.subject", "$.meta.room"], others="refuse"
        ),
        response=a_block(decrypt=["$.content"]),
        names=SAME,
    ),
    a_rule(
        request=a_block(encrypt=["optional $.content", "optional $.subject"]),
        response=a_block(decrypt=["$.content"], names=replace(SAME, tenant=None)),
        names=SAME,
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
        encrypt=["optional $.meta[*].text", "optional $.room"],
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
    sealing: dict[Scope, Session] = field(default_factory=dict)

    def resolve_warm(self, needs: Needs) -> Keys | None:
        self.needs.append(needs)
        found = keys_for(needs)
        # A scope keeps its session from one record to the next.
        kept = {scope: self.sealing.setdefault(scope, one) for scope, one in found.sealing.items()}
        return replace(found, sealing=kept)

    def remember(self, sessions: Mapping[Session, int]) -> None:
        self.remembered.append(sessions)


def walking(trip: Trip) -> Trip:
    """Let plans walk each text: what is prepared must find what a walk finds."""
    compiled_rule = trip.exchange.decision.compiled_rule
    assert compiled_rule is not None
    for one in (*compiled_rule.request, *compiled_rule.response):
        one.flat = None
        if isinstance(one.selection, Selection):
            one.selection.finder = None
    return trip


def sent(message: Forwardable) -> list[object]:
    """Return all that goes on of a message."""
    return [message.body, message.flow, *(getattr(message.frame, name) for name in Frame.__slots__)]


def proven(sessions: Mapping[Session, int]) -> dict[object, int]:
    """Return how many values each session has opened; what a double made twice is one."""
    used: dict[object, int] = {}
    for one, count in sessions.items():
        used[one.scope, one.sid] = used.get((one.scope, one.sid), 0) + count
    return used


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
    whose = dict(done.tally())
    return sent(done.forwardable), done.counts, proven(done.proven), sealing, facts, whose


def by_way(way: Changing | None, keys: Warm, body: bytes, kept: Kept = (), **how: bool) -> object:
    """Return all that comes of a message by a way, or None where it leaves it."""
    if way is None:
        return None
    with pytest.MonkeyPatch.context() as fixed:
        fixed.setattr("os.urandom", bytes)
        changed = way.change(body, NOW, kept, **how)
    if changed is None:
        return None
    (needs,) = keys.needs or [Needs({})]
    (used,) = keys.remembered or [{}]
    assert proven(changed.proven) == proven(used)
    outcome = sent(changed), changed.counts, proven(used), asked_for(needs), changed.kept
    return *outcome, dict(changed.tally())


def target_of(rule: Rule) -> str:
    """Return a target that a rule takes."""
    path = "/api/acme" if "{tenant}" in rule.patterns[0].text else "/api/messages"
    rooms = {OUTSIDE: "?room=r1", SAME: "?room=c1"}
    return path + next((one for names, one in rooms.items() if rule.names is names), "")


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
    way = Preparing(keys).request(other.exchange)
    requested = generally(trip, message.body)

    found = by_way(way, keys, message.body)

    assert found in (None, requested)
    answer = a_response(headers=headers)
    treatment = treat_response(trip.exchange, answer)
    kept = trip.exchange.kept
    keys = Warm()
    back = Preparing(keys).response(other.exchange, treatment, answer)
    replied = by_way(back, keys, answered, kept)
    if isinstance(treatment, ReadResponse):
        assert replied in (None, generally(trip, answered, (treatment, answer)))


def ways_of(rule: Rule, message: Message, keys: Warm | None = None) -> tuple[Changing | None, Trip]:
    trip = Trip((rule,), message)
    return Preparing(keys or Warm()).request(trip.exchange), trip


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
    way = Preparing(keys).response(trip.exchange, treatment, answer)

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
    for keys, rule in product((Cold(), Blocked()), (RULES[0], ONE_OPENED)):
        way, _ = ways_of(rule, a_message(body), keys)
        assert way is not None
        assert way.change(body, NOW) is None
        if rule is ONE_OPENED:
            done, _ = answered(rule, json.dumps({"content": a_token(b"a")}), keys)
            assert done is None


def test_what_is_sealed_is_changed_once_its_keys_are_there() -> None:
    class Cold(Warm):
        def resolve_warm(self, needs: Needs) -> Keys | None:
            return None

    body = b'{"conversationId":"c1","content":"hello"}'
    way, trip = ways_of(RULES[0], a_message(body), Cold())
    assert way is not None
    assert isinstance(way.prepared, Prepared)
    lacks = way.prepared.change(body, way.keys, NOW)
    assert isinstance(lacks, Lacking)
    assert lacks.needs == plan_request(trip.exchange, body).needs

    changed = way.prepared.sealed(body, lacks, keys_for(lacks.needs))
    assert changed.counts == {"sealed": 1}
    assert changed.kept == ("c1",)
    assert b"hello" not in (changed.body or b"")


def test_what_is_opened_waits_for_its_keys_in_its_plan_alone() -> None:
    """Else a refusal would take longer where the key was not there."""

    class Cold(Warm):
        def resolve_warm(self, needs: Needs) -> Keys | None:
            return None

    trip = Trip((ONE_OPENED,), a_message())
    answer = a_response()
    way = Preparing(Cold()).response(trip.exchange, treat_response(trip.exchange, answer), answer)
    assert way is not None
    assert isinstance(way.prepared, Prepared)

    body = json.dumps({"content": a_token(b"a")}).encode()
    assert way.prepared.change(body, way.keys, NOW, ("c1",)) is None


def test_a_message_that_passes_is_the_same_each_time() -> None:
    way, trip = ways_of(a_rule("GET /x", request=a_block(encrypt=["$.content"])), a_message())
    assert way is not None
    changed = way.change(b"anything", NOW)

    assert changed is way.change(b"", NOW)
    assert changed is not None
    assert changed.body is None
    assert not changed.counts
    answer = a_response()
    back = Preparing(Warm()).response(trip.exchange, treat_response(trip.exchange, answer), answer)
    assert back is not None
    passed = back.change(b"x", NOW)
    assert passed is not None
    assert sent(passed) == [None, None, (), False, False, False, answer, None, False, False]


@pytest.mark.parametrize(
    "rule",
    [
        a_rule(request=a_block(encrypt=["$..content"])),
        a_rule(request=a_block(encrypt=["$.content"], types=("application/json",))),
        a_rule(
            request=a_block(encrypt=["$.content"]),
            names=Names(parse_source("header:absent"), parse_source("$.id")),
        ),
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
        assert Preparing(Warm()).response(trip.exchange, treatment, answer) is not None


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


@pytest.mark.timing
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


MOST_ROWS = 532 if FORM == "native" else 199


@pytest.mark.parametrize(("rows", "goes"), [(MOST_ROWS, True), (MOST_ROWS + 1, False)])
def test_more_values_than_a_slice_has_time_for_go_their_way_in_slices(
    rows: int,
    goes: bool,  # noqa: FBT001 - which of two sizes
) -> None:
    texts = ",".join(['{"content":"a"}'] * rows)
    body = f'{{"conversationId":"c1","meta":[{texts}]}}'.encode()
    way, _ = ways_of(LISTS, a_message(body))
    assert way is not None
    assert (by_way(way, Warm(), body) is not None) == goes
    assert by_way(way, Warm(), body, any_number=True) is not None


class Stop(Exception):
    """Raised at a pause."""


def paused(way: Changing, body: bytes, kept: Kept = (), *, stop: int = 0) -> int:
    """Return how often a way pauses; raise Stop at the pause of this number."""
    pauses = 0

    def pausing_here() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == stop:
            raise Stop

    assert isinstance(way.prepared, PreparedJson)
    with pausing(pausing_here):
        assert way.change(body, NOW, kept, any_number=True) is not None
    return pauses


def test_a_way_pauses_between_a_few_values_and_ends_where_a_pause_raises() -> None:
    rows = ",".join(['{"content":"a"}'] * 3000)
    body = f'{{"conversationId":"c1","meta":[{rows}]}}'.encode()
    way, _ = ways_of(LISTS, a_message(body))
    assert way is not None

    pauses = paused(way, body)

    assert pauses > 2 * 3000 / policy.VALUES_TOGETHER
    for stop in (1, pauses // 2, pauses):
        with pytest.raises(Stop):
            paused(way, body, stop=stop)


def test_large_values_are_worked_at_one_by_one() -> None:
    rows = ",".join([f'{{"content":"{"a" * 100_000}"}}'] * 20)
    body = f'{{"conversationId":"c1","meta":[{rows}]}}'.encode()
    way, _ = ways_of(LISTS, a_message(body))
    if FORM == "native":
        assert way is not None
        assert paused(way, body) > 3 * 20 / 3


LONG_LISTS: Final = a_rule(
    request=a_block(encrypt=["optional $.meta[*].content", "optional $.list[*].content"]),
    response=a_block(decrypt=["$.meta[*].content", "$.list[*].content"]),
    names=HERE,
)
LONG_MIXED: Final = a_rule(
    request=a_block(encrypt=["optional $.meta[*].content"], decrypt=["$.list[*].content"]),
    response=a_block(encrypt=["$.meta[*].content"], decrypt=["$.list[*].content"]),
    names=HERE,
)
SEALED: Final[list[Callable[[], object]]] = [
    lambda: a_token(b"a"),
    lambda: a_token(b"b", number=1),
    lambda: a_token('é"'.encode()),
    lambda: a_token(b"[1]", cty="json"),
    lambda: a_token(b"c", form="short"),
    lambda: a_token(b"\xff"),
    lambda: forged(a_token(b"d")),
]
VALUES: Final[list[Callable[[], object]]] = [
    lambda: "a",
    lambda: 1.5,
    lambda: {"x": [None]},
    lambda: 'é"',
    lambda: LONG,
]


@settings(max_examples=200)
@given(st.data())
def test_long_lists_go_as_their_plan_goes(data: st.DataObject) -> None:
    """With a few values between two pauses, so that there are many such portions."""
    rule = data.draw(st.sampled_from([LONG_LISTS, LONG_MIXED, LISTS]))
    sealed = SEALED[: data.draw(st.sampled_from([1, 4, 5, 7]))]
    kinds: list[list[Callable[[], object]]] = [VALUES, sealed]
    members = data.draw(st.permutations(["meta", "list"]))
    lists = {
        name: [
            {"content": data.draw(st.sampled_from(kinds[data.draw(st.booleans())]))()}
            if rule is LISTS
            else {"content": data.draw(st.sampled_from(kinds[_opens(rule, name)]))()}
            for _ in range(data.draw(st.integers(0, 9)))
        ]
        for name in members
    }
    body = json.dumps({"conversationId": "c1", **lists, "content": 1}, ensure_ascii=False).encode()
    keys = Warm()
    way, trip = ways_of(rule, a_message(body), keys)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(carry_out, "VALUES_TOGETHER", data.draw(st.integers(1, 3)))
        small.setattr(carry_out, "TOGETHER_BYTES", data.draw(st.sampled_from([1, 300, 1000])))
        small.setattr(flat_json, "PORTION", data.draw(st.integers(1, 3)))
        small.setattr(flat_json, "PORTION_BYTES", data.draw(st.sampled_from([1, 300, 1000])))
        done = by_way(way, keys, body, any_number=True)

    planned = generally(walking(Trip((rule,), trip.message)), body)
    assert done in (None, planned)
    if FORM == "native" and len(sealed) <= 4 and all(lists.values()) and rule is LONG_MIXED:
        assert done is not None


def _opens(rule: Rule, name: str) -> bool:
    return rule is LONG_MIXED and name == "list"


@pytest.mark.parametrize(
    ("row", "rows"), [('{"content":1}', 30_001), ('{"content":1,"subject":1}', 15_001)]
)
def test_more_values_than_may_be_selected_go_no_way(row: str, rows: int) -> None:
    body = '{"conversationId":"c1","meta":[' + ",".join([row] * rows) + "]}"
    way, _ = ways_of(LISTS, a_message(body))
    assert way is not None
    assert way.change(body.encode(), NOW) is None


def flat(rule: Rule) -> FlatJson:
    """Return what the first block of a rule does to plain JSON."""
    compiled_rule = Trip((rule,), a_message()).exchange.decision.compiled_rule
    assert compiled_rule is not None
    found = compiled_rule.request[0].flat
    assert found is not None
    return found


def bound(json: FlatJson, name: str) -> object:
    """Return what a conversation of this name binds."""
    body = b'{"conversationId":"%b","content":""}' % name.encode()
    places = json.find(body)
    assert places is not None
    return json.bind(body, places, GivenNames(("",), ()), ())


def test_messages_of_one_conversation_share_their_contexts() -> None:
    json = flat(RULES[0])
    first, second = bound(json, "c1"), bound(json, "c1")
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert first[0] is second[0]
    assert first[1] == ("c1",)


def test_contexts_of_many_conversations_are_not_kept_without_end() -> None:
    json = flat(RULES[0])
    for number in range(3000):
        bound(json, str(number))
    assert len(json._bound) <= 1024
    kept = dict(json._bound)
    assert bound(json, "long" * 2000) is not None
    assert bound(json, "long" * 20_000) is None
    assert json._bound == kept


def test_names_of_the_request_that_bind_nothing_here_are_not_kept() -> None:
    """A rule may keep a list of members for another block of its answers."""
    trip = Trip((ONE_OPENED,), a_message())
    treatment = treat_response(trip.exchange, a_response())
    assert isinstance(treatment, ReadResponse)
    json = treatment.block.flat
    assert json is not None
    body = b'{"content":""}'
    places = json.find(body)
    assert places is not None
    given = GivenNames(("",), ((0, 1),))
    first, *others = (
        json.bind(
            body, places, given, (Joined("members", (f"{number}-{at}" for at in range(9))), "c1")
        )
        for number in range(9)
    )
    assert first is not None
    assert all(one is first for one in others)
    assert len(json._bound) == 1
    another = json.bind(body, places, given, (None, "c2"))
    assert another is not None
    assert another[0].contexts[0].scope.conversation == "c2"
    assert json.bind(body, places, given, ("c1", None)) is None


def test_contexts_of_so_many_values_as_a_client_likes_are_not_kept() -> None:
    found = bound(flat(RULES[0]), "c1")
    assert isinstance(found, tuple)
    one, _ = found
    some = [3] * len(one.contexts)
    assert one.of_each(some) is one.of_each([*some])
    many = [10_000] * len(one.contexts)
    assert one.of_each(many) == one.of_each([*many])
    assert one.of_each(many) is not one.of_each(many)


@given(st.lists(st.lists(st.sampled_from((0, 1, 2, 3, 300)), min_size=3, max_size=3)))
def test_each_value_has_the_context_of_its_item(pages: list[list[int]]) -> None:
    contexts = tuple(Context(SCOPE, field) for field in ("a", "b", "c"))
    one = Bound(contexts, seals=3)
    for counts in pages:
        each = [
            context for context, count in zip(contexts, counts, strict=True) for _ in range(count)
        ]
        assert one.of_each([*counts]) == tuple(each)


def a_token(text: bytes, field: str = "content", **how: Any) -> str:  # noqa: ANN401 - as seal takes it
    """Return a token for a field of the usual conversation."""
    number = how.pop("number", 0)
    session = a_session(SCOPE, sid=a_sid(number))
    return session.seal(text, Context(SCOPE, field), **how).decode()


def answered(rule: Rule, body: str, keys: Warm) -> tuple[object, object]:
    """Return what a way makes of a response, and what its plan makes of it."""
    trip = Trip((rule,), a_message())
    trip.exchange.keep(("c1",))
    answer = a_response()
    treatment = treat_response(trip.exchange, answer)
    way = Preparing(keys).response(trip.exchange, treatment, answer)
    assert way is not None
    done = by_way(way, keys, body.encode(), ("c1",))
    return done, generally(trip, body.encode(), (treatment, answer))


ONE_OPENED: Final = a_rule(
    request=a_block(encrypt=["optional $.content"]), response=a_block(decrypt=["$.content"])
)
LISTED_TOO: Final = an_item("$.list[*].text", field="content")
ANY_OPENED: Final = replace(ONE_OPENED, response=(a_block(decrypt=["$.content", LISTED_TOO]),))
EXPIRED: Final = int(NOW) - 3600

OPENS: Final = [
    (a_token(b"hello"), True),
    (a_token('é"\\\n'.encode()), True),
    (a_token(b'{"a": [1.50]}', cty="json"), True),
    (a_token(b"short", form="short"), True),
    (a_token(b"17", form="short", cty="json"), True),
    (a_token(b"later", exp=int(NOW) + 60), True),
    (a_token(b"expired", exp=EXPIRED), False),
    (a_token(b"not json", cty="json"), False),
    (a_token(b"whole", cty="text/plain"), False),
    (a_token(b"\xff"), False),
    (a_token(b"large" * 2000), True),
    (a_token('é"\n'.encode() * 3000), True),
    (a_token(b"[%b]" % (b" " * 9000), cty="json"), True),
    (a_token(b"\xff" * 9000), False),
    (forged(a_token(b"large" * 2000)), False),
    (a_token(b"moved", field="subject"), False),
    (forged(a_token(b"changed")), False),
    (a_token(b"head").replace("eyJ0eXAiOiJzeTEi", "eyJ0eXAiOiJzeTEiL", 1), False),
    ("eyJ0eXAiOiJzeTEi..", False),
    ("plain", False),
]
# Tokens have nonces: as ids, they would differ in each process of a run in parallel.
opens = pytest.mark.parametrize(("token", "goes"), OPENS, ids=[str(at) for at in range(len(OPENS))])


@opens
@pytest.mark.parametrize("rule", [ONE_OPENED, ANY_OPENED], ids=["one", "any"])
def test_a_token_is_opened_as_its_edit_opens_it(rule: Rule, token: str, *, goes: bool) -> None:
    done, planned = answered(rule, json.dumps({"content": token}), Warm())

    assert (done is not None) == goes
    assert done in (None, planned)


@pytest.mark.parametrize("value", ["17", "null", '{"content":"a"}', '"\\u0065yJ"'])
def test_what_is_no_token_goes_no_way_or_is_not_there(value: str) -> None:
    done, planned = answered(ANY_OPENED, f'{{"content":{value}}}', Warm())

    assert done in (None, planned)


@opens
def test_tokens_of_a_list_are_opened_as_their_edits_open_them(token: str, *, goes: bool) -> None:
    others = [a_token(b"a"), a_token(b"b", number=1), a_token(b"1", cty="json"), a_token(b"c")]
    for listed in ([token], [token] * 3, [*others, token], [token, *others, token]):
        body = json.dumps({"content": others[0], "list": [{"text": one} for one in listed]})
        done, planned = answered(ANY_OPENED, body, Warm())

        assert (done is not None) == goes
        assert done in (None, planned)


class Counting:
    """AES-GCM that counts how often it decrypts."""

    decrypted = 0

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, iv: bytes, text: bytes, aad: bytes) -> bytes:
        return self._cipher.encrypt(iv, text, aad)

    def decrypt(self, iv: bytes, text: bytes, aad: bytes) -> bytes:
        Counting.decrypted += 1
        return self._cipher.decrypt(iv, text, aad)


class Refusing(Warm):
    """Keys that are known not to open, each with a decoy."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        keys = super().resolve_warm(needs)
        assert keys is not None
        return Keys({}, {}, keys.opening, dict.fromkeys(keys.opening, "revoked-session"))


class Unknowing(Warm):
    """Keys of which there is none."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        return Keys({}, {})


@pytest.mark.parametrize(
    "rows", [[0], [0, 1, 2], [0, 0, 0, 0]], ids=["one", "several heads", "one head"]
)
def test_tokens_that_do_not_open_take_as_long_whatever_the_cause(
    rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokens(first: str | None = None, **how: Any) -> list[str]:  # noqa: ANN401 - as a_token
        made = [a_token(b"hello", number=one, **how) for one in rows]
        return made if first is None else [first, *made[1:]]

    refused = {
        "forged": (tokens(forged(a_token(b"hello"))), Warm()),
        "all forged": ([forged(one) for one in tokens()], Warm()),
        "moved": (tokens(field="subject"), Warm()),
        "expired": (tokens(exp=EXPIRED), Warm()),
        "refused": (tokens(), Refusing()),
    }
    monkeypatch.setattr("proxy.core.crypto.aead.AESGCM", Counting)
    for cause, (made, keys) in refused.items():
        body = json.dumps({"list": [{"text": one} for one in made]})
        trip = Trip((ANY_OPENED,), a_message())
        answer = a_response()
        way = Preparing(keys).response(trip.exchange, treat_response(trip.exchange, answer), answer)
        assert way is not None
        Counting.decrypted = 0

        assert way.change(body.encode(), NOW, ("c1",)) is None

        assert Counting.decrypted == len(rows), cause


@pytest.mark.parametrize("rule", [ONE_OPENED, ANY_OPENED])
def test_keys_that_are_not_there_go_no_way(rule: Rule) -> None:
    for token in (a_token(b"a"), a_token(b"a", form="short")):
        done, _ = answered(rule, json.dumps({"content": token}), Unknowing())
        assert done is None


@pytest.mark.parametrize("keys", [Warm(), Refusing()])
def test_a_refused_token_in_the_short_form_goes_no_way(keys: Warm) -> None:
    token = a_token(b"a", form="short")
    done, _ = answered(ANY_OPENED, json.dumps({"content": forged(token)}), keys)
    assert done is None


SEALS: Final = [
    (an_item("$.content"), '"\\n \\"a\\" é"', True),
    (an_item("$.content"), "1.50", True),
    (an_item("$.content"), json.dumps(TOKEN), True),
    (an_item("$.content"), '{"a": null}', True),
    (an_item("$.content", form="short"), '"a"', True),
    (an_item("$.content", max_chars=300), '"a"', True),
    (an_item("$.content", max_chars=300), json.dumps("a" * 300), False),
    (an_item("$.content", min_chars=1), '"é"', True),
    (an_item("$.content", min_chars=2), '"é"', False),
    (an_item("$.content", min_chars=0), "17", False),
    (replace(an_item("$.content"), expires=100), '"a"', True),
    (an_item("$.content", bind=["tenant"], purpose="p"), '"a"', True),
]


@pytest.mark.parametrize(("item", "value", "goes"), SEALS)
@pytest.mark.parametrize("more", [(), ("optional $.subject",)], ids=["one", "any"])
def test_a_value_is_sealed_as_its_edit_seals_it(
    item: Item, value: str, more: tuple[str, ...], *, goes: bool
) -> None:
    rule = a_rule(request=a_block(encrypt=[item, *more]))
    body = f'{{"conversationId":"c1","content":{value}}}'.encode()
    keys = Warm()
    way, trip = ways_of(rule, a_message(body), keys)

    done = by_way(way, keys, body)

    assert (done is not None) == goes
    assert done in (None, generally(trip, body))


def test_sealed_and_opened_values_of_one_message_go_one_way() -> None:
    rule = a_rule(
        request=a_block(
            encrypt=["$.content", an_item("$.subject", bind=["tenant"])],
            decrypt=[LISTED_TOO],
        )
    )
    rows = [{"text": a_token(b"x")}, {"text": a_token(b"1", cty="json")}]
    usual = {"conversationId": "c1", "subject": [1], "list": rows, "content": "e"}
    for body, goes in (
        (json.dumps(usual), True),
        (json.dumps({**usual, "list": []}), False),
        (json.dumps({**usual, "list": [{"text": forged(TOKEN)}]}), False),
        (json.dumps({**usual, "subject": TOKEN}), True),
    ):
        keys = Warm()
        way, trip = ways_of(rule, a_message(body), keys)
        done = by_way(way, keys, body.encode())
        assert (done is not None) == goes
        assert done in (None, generally(trip, body.encode()))


def test_names_that_are_missing_go_no_way() -> None:
    way, trip = ways_of(SEVERAL, a_message(headers=(*JSON_TYPE, (b"X-Tenant", b"acme"))))
    assert way is not None
    assert way.change(b'{"content":"a","conversationId":"c1","id":"i"}', NOW) is None
    answer = a_response()
    treatment = treat_response(trip.exchange, answer)
    for rule, kept in ((SEVERAL, (None, None)), (ONE_OPENED, (None,))):
        trip = Trip((rule,), a_message(headers=(*JSON_TYPE, (b"X-Tenant", b"acme"))))
        treatment = treat_response(trip.exchange, answer)
        back = Preparing(Warm()).response(trip.exchange, treatment, answer)
        assert back is not None
        body = json.dumps({"content": a_token(b"a"), "id": "i"}).encode()
        assert back.change(body, NOW, kept) is None


def test_several_names_of_head_request_and_answer_bind_together() -> None:
    headers = (*JSON_TYPE, (b"X-Tenant", b"acme"))
    kept = ("r1", "c1")
    scope = Scope(*kept)
    context = Context(scope, "content", "m1")
    token = a_session(scope).seal(b"hello", context).decode()
    body = json.dumps({"content": token, "id": "m1", "room": "r9"}).encode()
    trip = Trip((SEVERAL,), a_message(headers=headers))
    trip.exchange.keep(kept)
    answer = a_response()
    treatment = treat_response(trip.exchange, answer)
    keys = Warm()
    way = Preparing(keys).response(trip.exchange, treatment, answer)

    done = by_way(way, keys, body, kept)

    assert done is not None
    assert done == generally(trip, body, (treatment, answer))


def test_a_name_that_only_the_answer_needs_may_be_missing_but_not_unfit() -> None:
    for body in ("{}", '{"conversationId":17}'):
        keys = Warm()
        way, trip = ways_of(ONLY_NAMES, a_message(body), keys)
        done = by_way(way, keys, body.encode())
        assert done is not None
        assert done == generally(walking(trip), body.encode())
    for unfit in ('""', "true", "1.0", "[1]"):
        way, _ = ways_of(ONLY_NAMES, a_message())
        assert way is not None
        assert way.change(f'{{"conversationId":{unfit}}}'.encode(), NOW) is None


def test_a_parameter_that_is_in_the_body_too_goes_no_way() -> None:
    rule = a_rule(request=a_block(encrypt=["$.content"]), names=OUTSIDE)
    headers = (*JSON_TYPE, (b"X-Tenant", b"acme"))
    for body, goes in (('{"content":"a"}', True), ('{"content":"a","room":"r2"}', False)):
        way, _ = ways_of(rule, a_message(body, target="/api/messages?room=r1", headers=headers))
        assert way is not None
        assert (way.change(body.encode(), NOW) is not None) == goes


def test_responses_that_are_rejected_or_looked_at_have_no_way() -> None:
    answer = a_response()
    rejecting = a_rule(request=a_block(encrypt=["$.content"]), response=Verdict.REJECT)
    opening = Trip((ONE_OPENED,), a_message())
    block = treat_response(opening.exchange, answer)
    assert isinstance(block, ReadResponse)
    ways = Preparing(Warm())
    assert ways.response(Trip((rejecting,), a_message()).exchange, Pass(), answer) is None
    for treatment in (LookAt(block.block, reports=True), HeadOnly(block.block)):
        assert ways.response(opening.exchange, treatment, answer) is None
    for headers in ((), (*JSON_TYPE, (b"Content-Encoding", b"gzip"))):
        assert ways.response(opening.exchange, block, a_response(headers=headers)) is None


def test_json_that_cannot_ask_for_another_method_has_a_way() -> None:
    form = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
    rules = (
        a_rule("POST /api/messages", request=a_block(encrypt=["$.content"])),
        a_rule("PUT /api/messages", request=a_block(encrypt=["$.other"]), name="put"),
    )
    trip = Trip(rules, a_message())
    assert trip.exchange.decision.overridable
    assert Preparing(Warm()).request(trip.exchange) is not None
    assert Preparing(Warm()).request(Trip(rules, a_message(headers=form)).exchange) is None


@pytest.mark.parametrize("together", [1, policy.TOGETHER_BYTES])
@pytest.mark.parametrize("rows", [1, 3])
def test_lists_within_values_that_are_sealed_are_left_to_the_plan(
    rows: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carry_out, "TOGETHER_BYTES", together)
    rule = a_rule(
        request=a_block(encrypt=["optional $.meta[*].content", "optional $.meta[*].content.x"]),
        names=HERE,
    )
    row = f'{{"content":{{"y":"{LONG * 400}","x":"{LONG}"}}}}'
    body = f'{{"conversationId":"c1","meta":[{",".join([row] * rows)}]}}'.encode()
    keys = Warm()
    way, trip = ways_of(rule, a_message(body), keys)

    done = by_way(way, keys, body, any_number=True)

    assert done in (None, generally(walking(Trip((rule,), trip.message)), body))
    assert done is None


def test_what_is_no_text_among_many_tokens_is_left_to_the_plan() -> None:
    tokens = [a_token(b"a"), a_token(b"b", number=1), a_token(b"\xff", number=2), a_token(b"c")]
    body = json.dumps({"content": tokens[0], "list": [{"text": one} for one in tokens]})
    done, _ = answered(ANY_OPENED, body, Warm())
    assert done is None


def opener(keys: Warm) -> Changing:
    """Return what opens one field of responses."""
    trip = Trip((ONE_OPENED,), a_message())
    answer = a_response()
    way = Preparing(keys).response(trip.exchange, treat_response(trip.exchange, answer), answer)
    assert way is not None
    return way


def test_keys_that_open_are_known_by_the_ids_in_tokens_and_not_without_end() -> None:
    keys = Warm()
    way = opener(keys)
    for number in (*range(100), 99):
        changed = way.change(
            json.dumps({"content": a_token(b"a", number=number)}).encode(), NOW, ("c1",)
        )
        assert changed is not None
        assert changed.body == b'{"content": "a"}'

    assert keys.needs[-1] is keys.needs[-2]
    assert isinstance(way.prepared, PreparedJson)
    (named,) = way.prepared._flat._bound.values()
    assert len(named[0]._needs) <= policy.KEPT_NEEDS


def test_a_list_may_hold_a_head_that_is_spelled_otherwise_beside_what_is_no_token() -> None:
    block = replace(a_block(decrypt=["$.content", LISTED_TOO]), keep_unopened=True)
    rule = replace(ANY_OPENED, response=(block,))
    ours = a_token(b"a")
    head, rest = ours.split(".", 1)
    spaced = b64encode(b64decode(head + "==", b"-_") + b" ", b"-_").decode().rstrip("=")
    texts = [ours, "plain", f"{spaced}.{rest}", ours]
    body = json.dumps({"content": ours, "list": [{"text": one} for one in texts]})
    done, planned = answered(rule, body, Warm())

    assert done is None  # what stays is told by the plan
    assert planned is not None


@pytest.mark.parametrize(
    ("members", "passes"),
    [
        ({}, True),
        ({"conversationId": "c1"}, True),
        ({"conversationId": "c2"}, False),
        ({"conversationId": None}, True),
        ({"conversationId": 17}, False),
    ],
)
def test_a_place_that_names_the_same_is_compared_on_the_way(
    members: dict[str, object],
    passes: bool,  # noqa: FBT001 - a case
) -> None:
    (rule,) = [one for one in RULES if one.names is SAME and one.blocks_of("request")[0].plain]
    body = json.dumps({"content": "a", "id": "x", **members}).encode()
    message = a_message(body, target=target_of(rule), headers=JSON_TYPE)
    keys = Warm()

    way = Preparing(keys).request(Trip((rule,), message).exchange)

    assert (by_way(way, keys, body) is not None) is passes
