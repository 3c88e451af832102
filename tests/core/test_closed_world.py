"""The closed world: what a block of requests does not list is refused, or sealed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.closed_world import ClosedQuery
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import (
    AmbiguousRequest,
    BodyTooLarge,
    ForbiddenValue,
    InvalidExpression,
    MessageError,
    TrafficError,
    UnlistedName,
    UnsupportedBody,
)
from proxy.core.expressions.selectors import parse_json_selector, parse_selector
from proxy.core.expressions.sources import JsonSource, NameSource, SameSource, parse_source
from proxy.core.formats.json.closed import ClosedJson
from proxy.core.formats.json.walk import SCANNED_MAX
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.leaves.strict_json import is_json_text
from proxy.core.planning.exchange import Exchange, Messages
from proxy.core.policy import UNLISTED_NAMES
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Names, Others, Rule
from proxy.core.transform import Prepared, apply, plan_message, prepare_request
from tests.core.explained import explain_request
from tests.core.planning.test_multipart_stream import flowed
from tests.core.test_nested_json import FORM, PARTS, parts
from tests.core.transform.test_prepared import Warm
from tests.factories import (
    JSON_TYPE,
    NOW,
    Trip,
    a_block,
    a_message,
    a_rule,
    an_item,
    closing,
    flowing_request,
    items,
    keys_for,
    reply,
    send,
    sent,
    with_block,
)

NDJSON = ((b"Content-Type", b"application/x-ndjson"),)
SSE = ((b"Content-Type", b"text/event-stream"),)
TEXT = ((b"Content-Type", b"text/plain"),)
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
CANARY = "canary-0b77de"


def rule(
    *encrypt: str,
    plain: Iterable[str] = (),
    others: Others = "refuse",
    names: Names = NAMES,
    **changes: object,
) -> Rule:
    block = a_block(encrypt=items(*encrypt), plain=plain, others=others)
    return a_rule("POST /api/messages", request=replace(block, **changes), names=names)  # type: ignore[arg-type]  # names of fields


def body_of(body: object) -> str:
    return body if isinstance(body, str) else json.dumps(body)


def messages_of(made: Rule) -> Messages:
    """Return the messages of the clients of a WebSocket under a rule."""
    made = replace(made, patterns=a_rule("WS /api/chat").patterns)
    head = a_message("", target="/api/chat", method="GET").head
    decision = RuleTable((made,), pass_unmatched=True).decide(
        "GET", canonical("/api/chat"), websocket=True
    )
    return Messages(Exchange(decision, head), "request")


def passes(made: Rule, body: object, headers: Headers = JSON_TYPE) -> None:
    assert send(made, a_message(body_of(body), headers=headers)).forwardable.body is not None


def refused(
    made: Rule, body: object, headers: Headers = JSON_TYPE, reason: str = "unlisted-name"
) -> UnlistedName:
    with pytest.raises(UnlistedName) as caught:
        send(made, a_message(body_of(body), headers=headers))
    assert caught.value.reason == reason
    return caught.value


def test_no_other_member_passes() -> None:
    made = rule("$.content", plain=["$.id"])
    passes(made, {"content": "a"})
    passes(made, {"content": {"anything": [CANARY]}, "id": 1})
    refused(made, {"content": "a", "contnt": CANARY})
    refused(made, {"content": "a", "id": 1, CANARY: None})
    refused(rule("$.content"), {"content": "a", "id": 1})


def test_objects_on_the_way_are_closed_too() -> None:
    made = rule("$.data.content", "optional $.data.list.*.text", plain=["$.data.list.*.id"])
    passes(made, {"data": {"content": "a", "list": [{"text": "b", "id": 1}, {"id": 2}]}})
    passes(made, {"data": {"content": "a", "list": None}})
    refused(made, {"permissions": {}, "data": {"content": "a"}})
    refused(made, {"data": {"content": "a", "list": [{"text": "b", "txt": CANARY}]}})
    refused(made, {"data": {"content": "a", "list": CANARY}})
    refused(made, {"data": {"content": "a", "list": [[CANARY]]}})


@pytest.mark.parametrize(
    "value",
    [{}, [], {"a": CANARY}, [CANARY], '{"a":1}', " \t[1]", "\ufeff{}", '\x00{ "a', "\r\n[true"],
)
@pytest.mark.parametrize("pad", ["", "x" * SCANNED_MAX], ids=["short", "long"])
def test_a_plain_place_is_a_scalar(value: object, pad: str) -> None:
    made = rule("$.content", plain=["$.id", "$.tags.*"])
    refused(made, {"content": pad, "id": value})
    refused(made, {"content": pad, "tags": ["a", value]})
    passes(made, {"content": pad, "tags": ["a", 1, True, "[draft]"], "id": "{me{id}}"})
    passes(made, {"content": pad, "tags": [], "id": "é"})


def test_a_star_at_the_end_of_a_plain_place_stands_for_elements_alone() -> None:
    refused(rule("$.content", plain=["$.tags.*"]), {"content": "a", "tags": {CANARY: 1}})
    passes(rule("$.tags.*"), {"tags": {"a": "b"}})
    made = rule("optional $.rows.*.text", plain=["$.rows.*", "$.rows.*.id", "$.rows.*.*.id"])
    passes(made, {"rows": [{"text": "a", "id": 1}, "b", [{"id": 1}]]})
    passes(made, {"rows": {CANARY: {"text": "a", "id": 1}, "b": [{"id": 1}]}})
    rows: list[object] = [1, {CANARY: {"id": 1}}, {"id": {}}, {"id": "[]"}, {"di": 1}]
    for row in rows:
        refused(made, {"rows": {"a": row}})


def test_a_star_in_plain_stands_for_members_that_an_item_goes_through() -> None:
    # The name of each attachment is the client's: what is sealed within has plain neighbours.
    plain = ["$.docs.*.files.*.type", "$.docs.*.tags.*.a"]
    made = rule("optional $.docs.*.files.*.data", plain=plain)
    file = {"data": "a", "type": "b"}
    passes(made, {"docs": [{"files": {"scan.png": file}, "tags": [{"a": 1}]}]})
    passes(made, {"docs": {"a": {"files": [file]}}})
    each: list[object] = [{"type": CANARY}, {"a": {"type": {}}}, {"a": {"b": {"type": 1}}}]
    for files in (*each, {"a": CANARY}, CANARY):
        refused(made, {"docs": [{"files": files}]})
    refused(made, {"docs": [{"files": {}, "tags": {CANARY: {"a": 1}}}]})
    without = rule("$.content", plain=["$.files.*.type"])
    refused(without, {"content": "a", "files": {"b": {"type": 1}}})


@pytest.mark.parametrize("padding", [1, 400_000])
@pytest.mark.parametrize(
    "member",
    ['"ID":1', '"id ":1', '"i\\u0064\\u0000":1', '"":1', '"ïd":1', '"\\u00efd":1', '"id\\n":1'],
)
def test_a_listed_member_has_one_spelling(member: str, padding: int) -> None:
    made = rule("$.content", plain=["$.id", "$.pad"])
    refused(made, f'{{"content":"a","pad":"{"x" * padding}",{member}}}')
    passes(made, f'{{"content":"a","pad":"{"x" * padding}","i\\u0064":1}}')


def test_every_occurrence_of_a_listed_name_is_looked_at() -> None:
    made = rule("$.content", plain=["$.id"])
    refused(made, '{"content":"a","id":{"a":1},"id":1}')
    refused(made, '{"content":"a","id":1,"id":[1]}')


def test_names_beyond_ascii_are_names() -> None:
    made = rule("$.content", plain=["$.größe"])
    passes(made, '{"content":"a","größe":1}')
    passes(made, '{"content":"a","gr\\u00f6\\u00dfe":1}')
    refused(made, '{"content":"a","gro\\u0308ße":1}')
    # Read byte by byte, one name is spelled as another reads.
    refused(rule("$.content", plain=["$['Ã¶']"]), '{"content":"a","ö":1}')


@pytest.mark.parametrize("name", ["o", "ö"])
def test_a_place_of_its_own_is_not_that_of_any_member(name: str) -> None:
    plain = ["$.files.*.type", f"$.files['{name}'].type json:$.kind"]
    made = rule("optional $.files.*.data", plain=plain, nothing="pass")
    for kind, fits in ((r'"{\"kind\":1}"', True), (rf'"\"{CANARY}\""', False)):
        body = f'{{"files":{{"{name}":{{"type":{kind}}}}}}}'
        if fits:
            passes(made, body)
        else:
            refused(made, body)
    passes(made, f'{{"files":{{"{name}":{{"data":1}},"a":{{"type":1}}}}}}')


@pytest.mark.parametrize("body", [[{"content": "a"}], [CANARY], f'"{CANARY}"', 1])
def test_what_is_no_such_object_is_refused(body: object) -> None:
    refused(rule("optional $.content", plain=["$.id"]), body)


def test_root_arrays_are_listed_by_their_elements() -> None:
    made = rule("$.*.content", plain=["$.*.id"])
    passes(made, [{"content": "a", "id": 1}])
    refused(made, [{"content": "a", "x": 1}])
    made = rule("$[1].content", plain=["$[0]"])
    passes(made, ["send", {"content": "a"}])
    refused(made, ["send", {"content": "a"}, CANARY])


@pytest.mark.parametrize(("headers", "record"), [(NDJSON, "%s\n"), (SSE, "data: %s\n\n")])
def test_records_are_closed_each(headers: Headers, record: str) -> None:
    made = rule("$.content", plain=["$.id"], format="sse" if headers is SSE else None)
    good, bad = json.dumps({"content": "a", "id": 1}), json.dumps({"content": "a", "x": CANARY})
    passes(made, record % good + record % good, headers)
    refused(made, record % good + record % bad, headers)


def test_a_packet_of_socket_io_has_its_arguments() -> None:
    made = rule("$[1].content", plain=["$[0]", "$[1].id"], format="socketio")
    passes(made, '42["send",{"content":"a","id":"c"}]', TEXT)
    refused(made, f'42["send",{{"content":"a","contnt":"{CANARY}"}}]', TEXT)
    refused(made, f'42["send",{{"content":"a"}},"{CANARY}"]', TEXT)


ATTACHED = (
    '451-["a",{"content":"b"}]',
    '451-["a",{"content":"b","f":{"_placeholder":true,"num":0}}]',
)


@pytest.mark.parametrize("packet", ATTACHED)
@pytest.mark.parametrize("others", ["refuse", "seal"])
def test_no_attachment_passes_that_is_not_selected(others: Others, packet: str) -> None:
    made = rule("$[1].content", plain=["$[0]"], others=others, format="socketio")
    refused(made, packet + "\x1ebQ0FOQVJZ", TEXT)
    messages = messages_of(made)
    with pytest.raises(UnlistedName):
        apply(plan := plan_message(messages, packet.encode()), keys_for(plan.needs), NOW)
    until = with_block(made, permissive_until=NOW + 10.0)
    assert "unlisted" in send(until, a_message(packet + "\x1ebQ0FOQVJZ", headers=TEXT)).counts
    whole = '451-["a",{"content":{"_placeholder":true,"num":0}}]\x1ebQ0FOQVJZ'
    assert b"Q0FOQVJZ" not in sent(made, a_message(whole, headers=TEXT))


def test_a_client_sends_no_packets_of_servers_where_nothing_is_selected() -> None:
    made = rule(plain=["$[0]"], format="socketio")
    with pytest.raises(ForbiddenValue):
        passes(made, '44{"message":"CANARY"}\x1e42["a"]', TEXT)


def test_messages_of_clients_are_closed() -> None:
    messages = messages_of(rule("$.content", plain=["$.id"]))
    assert plan_message(messages, b'{"content":"a","id":1}').values.seals
    with pytest.raises(UnlistedName):
        plan_message(messages, b'{"content":"a","ID":1}')


def test_graphql_lists_arguments() -> None:
    made = rule("$.fields.send.text", plain=["$.fields.send.room"], format="graphql")
    query = "mutation($t:String!,$r:ID!){send(text:$t,room:$r%s){id}}"
    body = {"query": query % "", "variables": {"t": "a", "r": "r1"}}
    passes(made, body)
    refused(made, {**body, "query": query % f',topic:"{CANARY}"'})
    refused(made, {**body, "extensions": {"note": CANARY}})
    hashed = {"version": 1, "sha256Hash": sha256((query % "").encode()).hexdigest()}
    passes(made, {**body, "extensions": {"persistedQuery": hashed}})
    for odd in ({"version": CANARY}, {"note": CANARY}):
        with pytest.raises(ForbiddenValue):
            passes(made, {**body, "extensions": {"persistedQuery": hashed | odd}})
    made = rule(
        "optional $.fields.send.text", plain=["$.extensions.kind"], others="seal", format="graphql"
    )
    more = {"kind": "web", "note": CANARY}
    for one in ({**body, "extensions": more}, {"documentId": "a", "extensions": more}):
        sealed = sent(with_block(made, nothing="pass"), a_message(json.dumps(one)))
        assert CANARY.encode() not in sealed
        assert b'"kind": "web"' in sealed


def test_what_is_opened_or_read_may_stand_there() -> None:
    names = replace(NAMES, conversation=parse_source("$.conversationId"))
    when = (Condition(parse_json_selector("$.type"), frozenset({text_value("send")})),)
    made = rule("$.content", names=names, when=when, decrypt=items("optional $.old"))
    passes(made, {"type": "send", "conversationId": "c1", "content": "a"})
    refused(made, {"type": "send", "conversationId": "c1", "content": "a", "kind": CANARY})


@pytest.mark.parametrize("selector", ["$.p json:$.text", "$.list.*.p json:$.text"])
@pytest.mark.parametrize("others", ["refuse", "seal"])
def test_json_in_strings_is_closed(selector: str, others: Others) -> None:
    made = rule(selector, plain=[selector.replace("text", "room")], others=others)
    inner = '{\\"text\\":\\"CANARY\\",\\"room\\":1%s}'
    body = '{"p":"%s"}' if "list" not in selector else '{"list":[{"p":"%s"}]}'
    assert b"CANARY" not in sent(made, a_message(body % (inner % "")))
    refused(made, body % (inner % ',\\"more\\":\\"CANARY\\"'))


def test_a_place_of_any_depth_is_none() -> None:
    with pytest.raises(InvalidExpression):
        RuleTable((rule("$..content"),), pass_unmatched=True)
    passes(rule("$..content", others="pass"), {"a": {"content": "x"}})


@pytest.mark.parametrize(
    ("body", "place"),
    [({"id": "[1]"}, "$.id"), ({"id": {}}, "$.id"), ({"list": ["a", [CANARY]]}, "$.list[1]")],
)
def test_the_answer_tells_what_a_plain_place_does_not_take(body: object, place: str) -> None:
    made = rule("optional $.note", plain=["$.id", "$.list.*"], nothing="pass")
    told = "A plain place has no object, no list and no JSON in a text"
    assert refused(made, body).detail == f"{told}: {place}"
    assert refused(made, {"more": CANARY}).detail == "Neither sealed nor `plain`: $.more"
    assert refused(PAIRS, "note=a&id=[1]", FORM).detail == f"{told}: $.id"


def test_the_answer_shows_the_place_and_not_the_value() -> None:
    made = rule("$.content", plain=["$.a.*.b"])
    assert "$.a[1].x" in refused(made, {"content": CANARY, "a": [{}, {"x": CANARY}]}).detail
    shown = refused(made, {"content": CANARY, "n" * 80: CANARY}).detail
    assert "n" * 60 in shown
    assert len(shown) <= 100
    assert CANARY not in shown
    assert '$["\\u0000\\"<"]' in refused(made, {"content": 1, '\x00"<': 1}).detail


@pytest.mark.parametrize(
    "where", [r'{"gr\u00f6\u00dfe":1}', r'{"GR\u00d6\u00dfe":1}', '{"größe":1}']
)
def test_a_filter_in_json_names_no_sealed_field(where: str) -> None:
    made = rule("$['größe']", query=frozenset({"where"}))
    with pytest.raises(ForbiddenValue, match="names-sealed-field"):
        send(made, a_message('{"größe":"a"}', target=f"/api/messages?where={quote_plus(where)}"))


def test_a_name_of_the_query_is_listed_or_not() -> None:
    closed = ClosedQuery(frozenset({"page"}))
    assert (closed.lists("page"), closed.lists("pages")) == (True, False)


def test_the_query_is_closed() -> None:
    made = rule("$.content", query=frozenset({"page"}))
    body = '{"content":"a"}'
    for query in ("", "?page=1", "?page=1&page=2", "?&"):
        send(made, a_message(body, target=f"/api/messages{query}"))
    for query in ("?pages=1", "?page=1;content=2", "?pa%67e[]=1", "?content=1", "?PAGE=1", "?=1"):
        with pytest.raises(TrafficError) as caught:
            send(made, a_message(body, target=f"/api/messages{query}"))
        assert caught.value.reason in {"unlisted-query", "names-sealed-field"}


def test_a_query_of_a_rule_that_reads_answers_is_closed() -> None:
    names = replace(NAMES, conversation=parse_source("query:room"))
    made = a_rule("GET /api/messages", response=a_block(decrypt=["$.a"]), names=names)
    made = replace(made, query=frozenset({"page"}))
    for query, fits in (("room=c1&page=2", True), ("room=c1&id=2", False), ("a", False)):
        begun = Trip((made,), a_message("", target=f"/api/messages?{query}", method="GET")).exchange
        if fits:
            begun.refuse_unclear()
        else:
            with pytest.raises(UnlistedName):
                begun.refuse_unclear()


def test_a_closed_block_is_prepared_and_tells_what_it_lists() -> None:
    made = rule("$.content", plain=["$.id"])
    message = a_message('{"content":"a","id":1}')
    prepared = prepare_request(Trip((made,), message).exchange)
    assert prepared is not None
    book = RuleTable((made,), pass_unmatched=True)
    message = a_message('{"content":"a","b":1}')
    told, _ = explain_request(book, message.head, canonical("/api/messages"), message.body)
    assert isinstance(told.refusal, UnlistedName)


def test_permissive_counts_what_it_lets_pass() -> None:
    made = rule("$.content", permissive_until=NOW + 10.0)
    assert send(made, a_message('{"content":"a","x":1}')).counts == {"sealed": 1, "unlisted": 1}
    refused(rule("$.content", permissive_until=NOW - 10.0), {"content": "a", "x": 1})


@pytest.mark.parametrize(
    ("selected", "body", "headers"),
    [
        ("form:a", "a=CANARY&x=1", FORM),
        ("form:a", "a=CANARY&b=%7B%22x%22:1%7D", FORM),
        ("form:a", "x=2&a=CANARY&y=1", FORM),
        ("part:a", parts(("x", "\r\n\r\n1"), ("a", "\r\n\r\nCANARY")), PARTS),
        ("part:a", parts(("a", "\r\nX-Note: 1\r\n\r\nCANARY")), PARTS),
        ("part:a", parts(("a", "\r\n\r\nCANARY"), ("b", '\r\n\r\n{"x":1}')), PARTS),
    ],
)
def test_permissive_counts_names_of_fields_and_parts(
    selected: str, body: str, headers: Headers
) -> None:
    plain = [selected.replace(":a", ":b")]
    made = rule(selected, plain=plain, permissive_until=NOW + 10.0)
    done = send(made, a_message(body, headers=headers))
    assert done.counts == {"sealed": 1, "unlisted": 1}
    assert b"CANARY" not in (done.forwardable.body or b"")
    ended = with_block(made, permissive_until=NOW - 10.0)
    with pytest.raises(UnlistedName):
        send(ended, a_message(body, headers=headers))
    if headers == PARTS:
        assert b"CANARY" not in flowed(made, body.encode(), (40, 90), PARTS)
        with pytest.raises(UnlistedName):
            flowed(ended, body.encode(), (40, 90), PARTS)


def test_answers_are_never_closed() -> None:
    block = replace(a_block(encrypt=items("$.content")), **closing())
    made = a_rule("POST /api/messages", response=block, names=NAMES)
    assert reply(made, '{"content":"a","id":1}').counts == {"sealed": 1}


def test_places_that_name_the_same_thing_are_equal() -> None:
    room = NameSource("path", "room")
    also = (JsonSource(parse_json_selector("$.roomId")), NameSource("query", "room_id"))
    names = replace(NAMES, conversation=SameSource(room, also))
    block = a_block(encrypt=items("$.content"), plain=["$.id"])
    made = a_rule("POST /api/rooms/{room}", request=block, names=names)
    for target, body, fits in (
        ("/api/rooms/r1", {"content": "a"}, True),
        ("/api/rooms/r1", {"content": "a", "roomId": "r1"}, True),
        ("/api/rooms/r1?room_id=r1", {"content": "a", "roomId": "r1"}, True),
        ("/api/rooms/r1", {"content": "a", "roomId": "r2"}, False),
        ("/api/rooms/r1", {"content": "a", "roomId": ""}, False),
        ("/api/rooms/r1?room_id=r2", {"content": "a"}, False),
        ("/api/rooms/r1", {"content": "a", "room_id": "r1"}, False),
    ):
        message = a_message(json.dumps(body), target=target)
        if fits:
            assert send(made, message).counts == {"sealed": 1}
        else:
            with pytest.raises(TrafficError):
                send(made, message)


@pytest.mark.parametrize(
    ("sent", "fits"),
    [
        ('{"more":"a"}', True),
        ('{"room":null}', True),
        ('{"roomId":"a"}', True),
        ('{"room":"a"}', False),
        ('{"Room":"a"}', False),
        ('{"\\u0072oom":1}', False),
        ('{"room":{"more":"a"}}', False),
        ('{"room-":"a"}', False),
        ("more=a", True),
        ("room=a", False),
        ("ROOM=a", False),
        (parts(("more", "\r\n\r\na")), True),
        (parts(("room", "\r\n\r\na")), False),
    ],
)
@pytest.mark.parametrize("place", ["path", "query"])
def test_what_names_a_value_is_never_sealed(sent: str, fits: bool, place: str) -> None:  # noqa: FBT001 - a case
    headers = JSON_TYPE if sent[0] == "{" else FORM if sent[0] != "-" else PARTS
    selector = {JSON_TYPE: "$.text", FORM: "form:text", PARTS: "part:text"}[headers]
    names = replace(NAMES, conversation=parse_source(f"{place}:room"))
    block = a_block(encrypt=items(f"optional {selector}"), plain=(), others="seal")
    made = a_rule("POST /api/rooms/{room}", request=replace(block, nothing="pass"), names=names)
    message = a_message(
        sent, headers=headers, target="/api/rooms/a" + "?room=a" * (place == "query")
    )
    if fits:
        send(made, message)
    else:
        with pytest.raises((AmbiguousRequest, UnlistedName)):
            send(made, message)


@pytest.mark.parametrize("name", ["room", "Room", "room-", "more"])
@pytest.mark.parametrize("unrelated", [False, True])
def test_what_names_a_record_is_never_sealed_however_deep_it_lies(
    name: str,
    unrelated: bool,  # noqa: FBT001 - a case
) -> None:
    also = (parse_selector(f"$['{name}']"),) if unrelated else ()
    source = SameSource(NameSource("path", "room"), (), also)
    block = a_block(encrypt=items("$.text"), plain=(), others="seal")
    block = replace(block, records=parse_json_selector("$.items"))
    made = a_rule(
        "POST /api/rooms/{room}", request=block, names=replace(NAMES, conversation=source)
    )
    body = json.dumps({"items": [{"text": "a"}, {"text": "a", name: CANARY}]})
    message = a_message(body, target="/api/rooms/r1")
    if unrelated or name == "more":
        assert CANARY.encode() not in sent(made, message)
    else:
        with pytest.raises(UnlistedName):
            sent(made, message)


@pytest.mark.parametrize("unrelated", ["$.room", "form:room"])
def test_what_is_unrelated_to_the_path_is_sealed(unrelated: str) -> None:
    of_form = unrelated.startswith("form")
    room = NameSource("path", "room")
    names = replace(NAMES, conversation=SameSource(room, (), (parse_selector(unrelated),)))
    encrypt = items("optional form:text" if of_form else "optional $.text")
    block = a_block(encrypt=encrypt, plain=(), others="seal")
    made = a_rule("POST /api/rooms/{room}", request=replace(block, nothing="pass"), names=names)
    headers, body = (FORM, "room=CANARY") if of_form else (JSON_TYPE, '{"room":"CANARY"}')
    message = a_message(body, headers=headers, target="/api/rooms/r1")
    assert b"CANARY" not in sent(made, message)


@pytest.mark.parametrize("records", [False, True])
@pytest.mark.parametrize(
    ("others", "said", "reason"),
    [
        ("refuse", "", "unlisted-name"),
        ("refuse", "also", "name-differs"),
        ("seal", "", "unlisted-name"),
        ("seal", "also", "name-differs"),
        ("seal", "unrelated", ""),
        ("pass", "", ""),
        ("pass", "also", "name-differs"),
    ],
)
def test_elements_of_a_body_name_nothing_else(
    records: bool,  # noqa: FBT001 - a case
    others: Others,
    said: str,
    reason: str,
) -> None:
    at = "$." if records else "$[*]."
    also = (parse_source(f"{at}room"),) if said == "also" else ()
    unrelated = (parse_selector(f"{at}room"),) if said == "unrelated" else ()
    source = SameSource(NameSource("path", "room"), also, unrelated)
    block = a_block(encrypt=items(f"{at}text"), plain=(), others=others)
    block = replace(block, records=parse_json_selector("$") if records else None)
    names = replace(NAMES, conversation=source)
    made = a_rule("POST /api/rooms/{room}", request=block, names=names)

    def ask(room: str) -> bytes:
        body = json.dumps([{"text": CANARY, "room": "r1"}, {"text": CANARY, "room": room}])
        return sent(made, a_message(body, target="/api/rooms/r1"))

    if reason:
        with pytest.raises(TrafficError) as caught:
            ask("mallory")
        assert caught.value.reason == reason
    else:
        body = ask("mallory")
        assert CANARY.encode() not in body
        assert (b"mallory" in body) is (others == "pass")
    if said == "also":
        assert CANARY.encode() not in ask("r1")


# --- forms and parts

TEXT_PART = ("operations", '\r\n\r\n{"query":"q","variables":{"text":"CANARY","room":"r"}}')
FILE = ("0", '; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nCANARY')
MAP = ("map", '\r\n\r\n"variables.file"')
UPLOAD = rule(
    "optional part:operations $.variables.text",
    "optional part:0",
    plain=["part:map", "part:operations $.query", "part:operations $.variables.room"],
)


def test_listed_parts_pass_and_sealed_ones_are_sealed() -> None:
    sealed = sent(UPLOAD, a_message(parts(TEXT_PART, MAP, FILE), headers=PARTS))
    assert b"CANARY" not in sealed
    assert b'"variables.file"' in sealed


@pytest.mark.parametrize(
    "found",
    [
        (TEXT_PART, MAP, FILE, ("1", FILE[1])),
        (TEXT_PART, MAP, FILE, ("note", "\r\n\r\nCANARY")),
        (("operations", TEXT_PART[1].replace("room", "other")), MAP, FILE),
        (("operations", TEXT_PART[1].replace('"r"', '"r","more":"CANARY"')), MAP),
        (("operations", '\r\n\r\n{"variables":["CANARY"]}'), MAP),
        (("map", '\r\n\r\n{"0":"CANARY"}'), FILE),
        (("map", '\r\nContent-Type: application/json\r\n\r\n"CANARY"'), FILE),
        (("map", '; filename=""\r\n\r\n{"0":"CANARY"}'), FILE),
        (("map", '\r\nContent-Type: image/png\r\n\r\n{"0":"CANARY"}'), FILE),
    ],
)
def test_nothing_else_passes_in_parts(found: tuple[tuple[str, str], ...]) -> None:
    refused(UPLOAD, parts(*found), PARTS)


def test_headers_of_parts_say_nothing_else() -> None:
    for name, reason in (("X-Note", "unlisted-part-header"), ("Content-Length", "")):
        value = "CANARY" if reason else "6"
        body = parts(MAP, ("0", f'; filename="a"\r\n{name}: {value}\r\n\r\nCANARY'))
        if reason:
            refused(UPLOAD, body, PARTS, reason=reason)
        else:
            assert b"CANARY" not in sent(UPLOAD, a_message(body, headers=PARTS))


@pytest.mark.parametrize("others", ["refuse", "seal"])
def test_a_selected_filename_lists_no_content(others: Others) -> None:
    scan = ("scan", FILE[1])
    made = rule("optional filename:scan", others=others, nothing="pass")
    refused(made, parts(scan), PARTS)
    text = parts(("scan", "\r\n\r\nCANARY"))
    if others == "refuse":
        refused(made, text, PARTS)
        with pytest.raises(UnlistedName):
            flowed(made, parts(scan).encode(), (40, 90), PARTS)
    else:
        assert b"CANARY" not in sent(made, a_message(text, headers=PARTS))
    passes(rule("filename:scan", plain=["part:scan"], others=others), parts(scan), PARTS)


def test_a_form_that_flows_is_held_to_its_names_as_well() -> None:
    made = rule("optional part:0", plain=["part:map"])
    sealed = flowed(made, parts(MAP, FILE).encode(), (40, 90), PARTS)
    assert b"CANARY" not in sealed
    assert b'"variables.file"' in sealed
    long = "x" * 90_000  # longer than what is held of a part that nothing is done to
    body = parts(("map", f"\r\n\r\n{long}"), FILE).encode()
    assert long.encode() in flowed(made, body, range(0, len(body), 5_000), PARTS)
    for other in (("1", FILE[1]), ("map", '\r\n\r\n{"0":1}')):
        with pytest.raises(UnlistedName):
            flowed(made, parts(FILE, other).encode(), (40, 90), PARTS)


def test_a_plain_part_in_another_charset_is_refused_unless_it_is_ascii() -> None:
    head = "\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n"
    made, latin = rule("optional part:0", plain=["part:map"]), ("map", head + "é")
    send(made, a_message(parts(("map", head + "a"), FILE), headers=PARTS))
    with pytest.raises(UnsupportedBody, match="part-charset"):
        send(rule("optional part:0", plain=["part:map"]), a_message(parts(latin), headers=PARTS))


def test_a_form_without_listed_parts_does_not_flow() -> None:
    block = a_block(decrypt=["tokens"], plain=(), types=("multipart/form-data",))
    made = a_rule("POST /api/messages", request=block, names=NAMES)
    message = a_message(parts(MAP), headers=PARTS)
    assert flowing_request(Trip((made,), message).exchange, None, 1) is None
    with pytest.raises(MessageError):
        send(made, message)


PAIRS = rule(
    "optional form:note",
    "optional form:payload $.text",
    plain=["form:id", "form:payload $.room"],
)


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ("id=1&note=CANARY&payload=" + quote_plus('{"text":"CANARY","room":"r"}'), True),
        ("id&note=CANARY", True),
        ("&id=1&&note=CANARY&", True),
        ("id=1&payload=" + quote_plus('{"text":"CANARY","more":"CANARY"}'), False),
        ("id=1&note=CANARY&other=CANARY", False),
        ("id=1&note=CANARY&=CANARY", False),
        ("note=CANARY&ID=CANARY", False),
        ("note=CANARY&id=1;other=CANARY", False),
        ('note=CANARY&payload={"text":"a","room":"r;other=CANARY"}', False),
        ("note=CANARY&id[a]=CANARY", False),
        ("note=CANARY&id=" + quote_plus('{"a":"CANARY"}'), False),
    ],
)
def test_nothing_else_passes_in_pairs(body: str, fits: bool) -> None:  # noqa: FBT001 - drawn
    if fits:
        assert b"CANARY" not in sent(PAIRS, a_message(body, headers=FORM))
    else:
        refused(PAIRS, body, FORM)


def test_a_block_that_seals_nothing_may_list_all_the_same() -> None:
    for plain, headers, good, bad in (
        ("$.id", JSON_TYPE, '{"id":1}', '{"id":1,"x":1}'),
        ("form:id", FORM, "id=1", "id=1&x=1"),
        ("part:id", PARTS, parts(("id", "\r\n\r\n1")), parts(("x", "\r\n\r\n1"))),
    ):
        passes(rule(plain=[plain]), good, headers)
        refused(rule(plain=[plain]), bad, headers)


# --- sealing the rest


def opened(made: Rule, sealed: bytes, names: Iterable[str]) -> bytes:
    """Return what members of a sealed body open as, each by its name."""
    back = a_rule(
        "POST /api/messages", response=a_block(decrypt=[f"optional {one}" for one in names])
    )
    return send_back(replace(back, names=NAMES), sealed)


def send_back(made: Rule, body: bytes) -> bytes:
    changed = reply(made, body.decode()).forwardable.body
    assert changed is not None
    return changed


def test_every_unlisted_scalar_is_sealed_and_opens_by_its_name() -> None:
    made = rule("$.content", plain=["$.id"], others="seal")
    body: dict[str, Any] = {
        "content": "a",
        "id": 1,
        "mood": CANARY,
        "n": 12345,
        "yes": True,
        "none": None,
        "deep": {"list": [CANARY, {"x": 1.5}]},
    }
    sealed = sent(made, a_message(json.dumps(body)))
    found = json.loads(sealed)
    assert CANARY.encode() not in sealed
    assert b"12345" not in sealed
    assert b"true" not in sealed
    assert found["none"] is None
    assert found["id"] == 1
    names = ["$.content", "$.mood", "$.n", "$.yes", "$.deep.list[0]", "$.deep.list[1].x"]
    assert json.loads(opened(made, sealed, names)) == body
    with pytest.raises(MessageError):  # each is bound to its name
        opened(made, json.dumps({"content": found["mood"]}).encode(), ["$.content"])


def test_what_was_sealed_opens_by_the_name_of_its_place() -> None:
    sealed = json.loads(sent(rule(others="seal"), a_message('{"mood":"A","note":"B","l":["C"]}')))
    tokens = an_item("tokens", field="tokens")
    back = a_rule(response=replace(a_block(decrypt=[tokens]), renamed={"feeling": "mood"}))
    answer: dict[str, Any] = {
        "rows": [{"mood": sealed["mood"], "l": {"l": sealed["l"]}, "ids": [1, None]}]
    }
    answer |= {"feeling": sealed["mood"], "text": f"x {sealed['note']}", "swapped": sealed["note"]}
    changed = send_back(replace(back, names=NAMES), json.dumps(answer).encode())
    assert json.loads(changed) == {
        "rows": [{"mood": "A", "l": {"l": ["C"]}, "ids": [1, None]}],
        "feeling": "A",
        "text": f"x {sealed['note']}",  # it is of another place, and stays
        "swapped": sealed["note"],
    }
    many = {"rows": [{f"n {at}": sealed["mood"]} for at in range(100)], "mood": sealed["mood"]}
    assert json.loads(send_back(replace(back, names=NAMES), json.dumps(many).encode())) == {
        **many,
        "mood": "A",
    }


def test_tokens_in_no_json_have_no_place_and_stay() -> None:
    sealed = json.loads(sent(rule(others="seal"), a_message('{"mood":"A"}')))
    tokens = an_item("tokens", field="tokens")
    made = replace(a_rule("WS /api/chat", response=a_block(decrypt=[tokens])), names=NAMES)
    decision = RuleTable((made,), pass_unmatched=True).decide(
        "GET", canonical("/api/chat"), websocket=True
    )
    head = a_message("", target="/api/chat", method="GET").head
    for text in (f'{sealed["mood"]} {{"a":', f'{{"mood":"{sealed["mood"]}"'):
        plan = plan_message(
            Messages(Exchange(decision, head), "response"), text.encode(), binary=False
        )
        assert apply(plan, keys_for(plan.needs), NOW).forwardable.body == text.encode()


@pytest.mark.parametrize("others", ["refuse", "seal", "pass"])
@pytest.mark.parametrize("optional", ["", "optional "])
@pytest.mark.parametrize("long", ["", "x" * SCANNED_MAX], ids=["short", "long"])
@pytest.mark.parametrize(
    ("selector", "body"),
    [
        ("$.payment.card", [{"payment": {"card": CANARY}}]),
        ("$.payment.card", {"payment": [{"card": CANARY}]}),
        ("$.payment.card", {"payment": [["card", CANARY]]}),
        ("$.payment.card", {"payment": json.dumps({"card": CANARY})}),
        ("$.payment.card", {"payment": "\ufeff" + json.dumps([CANARY])}),
        ("$.payment.card", json.dumps(json.dumps({"payment": {"card": CANARY}}))),
        ("$.list.*.card", {"list": [{"card": "x"}, [{"card": CANARY}]]}),
        ("$.list[*].card", {"list": {"card": CANARY}}),
        ("$.list[0].card", {"list": [[{"card": CANARY}]]}),
    ],
)
def test_a_parent_of_another_type_is_refused(
    selector: str, body: object, optional: str, others: Others, long: str
) -> None:
    if long and isinstance(body, dict):
        body["pad"] = long
    made = rule(f"{optional}{selector}", others=others, plain=["$.pad"], nothing="pass")
    text = body_of(body)
    with contextlib.suppress(MessageError):
        assert CANARY.encode() not in sent(made, a_message(text))
        assert others == "seal"  # then it is one more value
        return
    prepared = prepare_request(Trip((made,), a_message(text)).exchange)
    if isinstance(prepared, Prepared):
        assert prepared.change(text.encode(), Warm(), NOW) is None


def test_in_an_open_block_a_parent_may_be_missing_or_a_scalar() -> None:
    made = rule("optional $.payment.card", others="pass", nothing="pass")
    for payment in (None, 1, True, "pi_123", {}, {"card": None}, {"id": 7}):
        passes(made, {"payment": payment, "list": [{"card": 1}]})


@pytest.mark.parametrize("others", ["refuse", "seal"])
@pytest.mark.parametrize("most", [5, 600, 10_000])
def test_a_message_has_so_many_values_to_be_sealed(others: Others, most: int) -> None:
    """A byte of a list becomes a token of two hundred."""
    selector = "$.list.*" if others == "refuse" else "$.other"
    made = rule(f"optional {selector}", others=others, nothing="pass", max_values=most)
    for count in (most, most + 1):
        message = a_message(json.dumps({"list": [""] * count}))
        if count == most:
            assert send(made, message).counts["sealed"] == most
            continue
        with pytest.raises(BodyTooLarge, match="too-many-values"):
            send(made, message)
        trip = Trip((made,), message)
        prepared = prepare_request(trip.exchange)
        if isinstance(prepared, Prepared):
            assert prepared.change(message.body, Warm(), NOW, any_number=True) is None


def test_a_message_has_so_many_unlisted_values_at_most() -> None:
    listed, more = (f'{{"l":[{",".join(["1"] * count)}]}}' for count in (30_000, 30_001))
    assert len(LISTED.others(listed.encode())) == 30_000
    with pytest.raises(BodyTooLarge):
        LISTED.others(more.encode())


@pytest.mark.parametrize("name", ["a b", "müller", "x@y.z", "2026-01-01", "n" * 65, "", "a:b"])
def test_names_that_are_data_are_refused(name: str) -> None:
    made = rule("$.content", others="seal")
    refused(made, {"content": "a", name: 1}, reason="name-as-data")
    refused(made, {"content": "a", "map": {name: None}}, reason="name-as-data")


def test_many_names_are_data() -> None:
    made = rule("$.content", others="seal")
    passes(made, {"content": "a", **{f"n{at}": at for at in range(UNLISTED_NAMES)}})
    many = {f"n{at}": at for at in range(UNLISTED_NAMES + 1)}
    refused(made, {"content": "a", **many}, reason="name-as-data")
    made = rule("optional form:note", others="seal")
    passes(made, "=1&".join([*many][1:] * 2) + "=", FORM)
    refused(made, "=&".join(many) + "=", FORM, reason="name-as-data")
    made = rule("optional part:note", others="seal")
    refused(made, parts(*((one, "\r\n\r\n1") for one in many)), PARTS, reason="name-as-data")


def test_booleans_of_json_may_pass_and_nothing_else() -> None:
    made = rule("optional $.content", others="seal", booleans_pass=True)
    body = {"a": True, "b": {"c": [False, None, 1, CANARY, "true"]}, "content": False}
    told = json.loads(sent(made, a_message(json.dumps(body))))
    assert (told["a"], told["b"]["c"][:2]) == (True, [False, None])
    assert all(one.startswith("eyJ") for one in (*told["b"]["c"][2:], told["content"]))
    refused(made, {"x@example.org": True}, reason="name-as-data")
    refused(made, {f"n{at}": True for at in range(UNLISTED_NAMES + 1)}, reason="name-as-data")
    form = rule("optional form:note", others="seal", booleans_pass=True)
    assert b"true" not in sent(form, a_message("more=true", headers=FORM))
    part = rule("optional part:note", others="seal", booleans_pass=True)
    assert b"true" not in sent(part, a_message(parts(("more", "\r\n\r\ntrue")), headers=PARTS))


def test_a_boolean_that_may_name_a_value_does_not_pass() -> None:
    names = replace(NAMES, conversation=parse_source("path:room"))
    block = a_block(encrypt=items("$.text"), plain=(), others="seal")
    block = replace(block, booleans_pass=True)
    made = a_rule("POST /api/rooms/{room}", request=block, names=names)
    message = a_message('{"text":"a","room":true}', target="/api/rooms/true")
    with pytest.raises(UnlistedName):
        send(made, message)


def test_the_rest_of_forms_and_parts_is_sealed() -> None:
    made = rule("optional form:note", plain=["form:id"], others="seal")
    sealed = sent(made, a_message("id=1&note=a&more=CANARY", headers=FORM))
    assert b"CANARY" not in sealed
    assert sealed.startswith(b"id=1&note=")
    refused(made, "id=1&CANARY", FORM, reason="name-as-data")
    assert sent(made, a_message("id=1&more=", headers=FORM)).startswith(b"id=1&more=")
    assert sent(made, a_message("id&note&", headers=FORM)) == b"id&note&"
    refused(made, "id=1&a+b=1", FORM, reason="name-as-data")
    made = rule("optional part:note", plain=["part:id"], others="seal")
    body = parts(("id", "\r\n\r\n1"), ("more", "\r\n\r\nCANARY"))
    assert b"CANARY" not in sent(made, a_message(body, headers=PARTS))
    refused(made, parts(("scan", FILE[1])), PARTS)


# --- laws

NAMED = st.sampled_from(["content", "id", "x", "Content", "größe", "i\x00d", "list", "iD"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMED, inner, max_size=4),
    max_leaves=12,
)
LISTED = ClosedJson(
    changed=[parse_json_selector("$.content").steps],
    plain=[parse_json_selector(one).steps for one in ("$.id", "$.list.*.id", "$.list.*.größe")],
)


def fits(value: object, place: str = "$") -> bool:
    """Return whether a document holds nothing but what LISTED lists."""
    if value is None or place == "$.content":
        return True
    if isinstance(value, dict):
        known = {"$": {"content", "id", "list"}, "$.list.*": {"id", "größe"}}.get(place, set())
        return place in {"$", "$.list.*"} and all(
            name in known and fits(one, f"{place}.{name}") for name, one in value.items()
        )
    if isinstance(value, list):
        return place == "$.list" and all(fits(one, f"{place}.*") for one in value)
    plain = place in {"$.id", "$.list.*.id", "$.list.*.größe"}
    return plain and not (isinstance(value, str) and is_json_text(value))


@given(document=DOCUMENTS, ascii_only=st.booleans())
def test_no_unlisted_name_of_a_document_passes(document: object, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    text = json.dumps(document, ensure_ascii=ascii_only).encode()
    try:
        LISTED.refuse_others(text)
    except UnlistedName:
        assert not fits(document)
    else:
        assert fits(document)
    if LISTED.is_clear(text):
        assert fits(document)


@given(document=st.dictionaries(NAMED, DOCUMENTS, max_size=4))
def test_nothing_unlisted_stays_plain_under_seal(document: dict[str, object]) -> None:
    made = rule("optional $.content", plain=["$.id"], others="seal")
    try:
        sealed = json.loads(sent(made, a_message(json.dumps(document))))
    except MessageError:
        return

    def is_sealed(value: object) -> bool:
        if isinstance(value, dict):
            return all(map(is_sealed, value.values()))
        if isinstance(value, list):
            return all(map(is_sealed, value))
        return value is None or str(value).startswith("eyJ")

    plain = sealed.pop("id", None)
    assert is_sealed(sealed)
    assert is_sealed(plain) or fits(plain, "$.id")


def test_keys_are_asked_for_all_that_is_sealed() -> None:
    messages = messages_of(rule("$.content", others="seal"))
    plan = plan_message(messages, b'{"content":"a","b":1,"c":[2,3]}')
    assert sum(plan.needs.seals.values()) == 4
    assert apply(plan, keys_for(plan.needs), NOW).counts == {"sealed": 4}
