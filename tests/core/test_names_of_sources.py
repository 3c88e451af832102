"""A name that binds a message is one name to Sealyard and to every backend, or 400.

A stolen token, sealed for the conversation `victim`, is sent to a conversation of the thief's own.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from http import HTTPStatus

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import SealyardError
from proxy.core.expressions.sources import FirstSource, ListSource, Source, parse_source
from proxy.core.formats.multipart import reader
from proxy.core.http.message import Headers, RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Names, Part, Rule, Verdict
from proxy.core.transform import pass_handshake, pass_request, plan_flowing_request
from tests.core.explained import explain_request
from tests.factories import (
    JSON_TYPE,
    Trip,
    a_block,
    a_message,
    a_rule,
    a_session,
    an_item,
    flowing_request,
    send,
)

VICTIM = Scope("clinic", "victim")
TOKEN = a_session(VICTIM).seal(b"CANARY", Context(VICTIM)).decode()
BIND: tuple[Part, ...] = ("tenant", "conversation")
FORM: Headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
PARTS: Headers = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)


def names(conversation: str | Source) -> Names:
    source = parse_source(conversation) if isinstance(conversation, str) else conversation
    return Names(parse_source("const:clinic"), source)


def opening(conversation: str | Source, *patterns: str, select: str = "$.content") -> Rule:
    block = a_block(decrypt=[an_item(select, field="content", bind=BIND)])
    return a_rule(*patterns, request=block, names=names(conversation))


def sealing(conversation: str | Source, *patterns: str, select: str = "$.content") -> Rule:
    block = a_block(encrypt=[an_item(select, field="content", bind=BIND)])
    return a_rule(*patterns, request=block, names=names(conversation))


def a_part(name: str, text: str) -> str:
    return f'--of-parts\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'


def outcome(rule: Rule, body: str, target: str = "/api/messages", headers: Headers = ()) -> str:
    """Return how a request is refused, or the outcome of what it holds."""
    method = "POST" if body else "GET"
    message = a_message(body, method=method, target=target, headers=headers or JSON_TYPE)
    try:
        return next(iter(send(rule, message).counts))
    except SealyardError as error:
        return error.reason if type(error).status == HTTPStatus.BAD_REQUEST else str(error.status)


BODY = json.dumps({"conversationId": "victim", "content": TOKEN})


def test_an_honest_message_is_opened() -> None:
    assert outcome(opening("$.conversationId"), BODY) == "opened"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (f'"{name}":"mine"', "name-variant")
        for name in (
            "ConversationId", "CONVERSATIONID", "conversation_id", "conversation-id",
            "conversationid", "conversationId.x", "conversationId\\u0000", "\\uff43onversationId",
            " conversationId",
        )
    ]
    + [
        ('"conversationId":"mine"', "duplicate-member"),
        ('"conversationId":"victim"', "duplicate-member"),
        ('"\\u0063onversationId":"mine"', "duplicate-member"),
        ('"__proto__":{"conversationId":"mine"}', "name-hidden"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [opening, sealing])
def test_a_member_that_binds_has_one_spelling(make: object, members: str, reason: str) -> None:
    body = f"{{{members},{BODY[1:]}"
    for rule in (make("$.conversationId"), replace_variants(make("$.conversationId"))):  # type: ignore[operator]  # a maker
        assert outcome(rule, body) == reason


def replace_variants(rule: Rule) -> Rule:
    assert isinstance(rule.request, tuple)
    return replace(rule, request=(replace(rule.request[0], case_variants_allowed=True),))


@pytest.mark.parametrize(
    "query",
    [
        "conversationId=mine",
        "conversationId[]=victim",
        "conversation_id=victim",
        "ConversationId=mine",
        "conversation.id=mine",
        "conversation+id=mine",
        "conversationId=victim&conversationId=mine",
        "conversationId[x]=victim",
        "a=1;conversationId=victim",
        "%63onversationId=mine",
    ],
)
def test_a_member_that_binds_is_the_same_in_the_query(query: str) -> None:
    for make in (opening, sealing):
        assert outcome(make("$.conversationId"), BODY, f"/api/messages?{query}") == "name-differs"


def test_no_backend_takes_a_member_from_a_cookie() -> None:
    def with_cookie(cookie: bytes) -> str:
        headers = (*JSON_TYPE, (b"Cookie", cookie))
        return outcome(opening("$.conversationId"), BODY, headers=headers)

    for cookie in (b"a=1; conversationId=mine", b"a=1; conversationId=victim", b"a=1"):
        assert with_cookie(cookie) == "opened"


@pytest.mark.parametrize(
    "query", ["conversationId=victim", "conversationId=victim&page=1", "%63onversationId=victim"]
)
def test_the_same_name_with_the_same_text_passes(query: str) -> None:
    assert outcome(opening("$.conversationId"), BODY, f"/api/messages?{query}") == "opened"


def test_a_whole_number_is_the_same_as_its_text() -> None:
    body = '{"conversationId":17,"content":"x"}'
    assert outcome(sealing("$.conversationId"), body, "/api/messages?conversationId=17") == "sealed"


def test_what_cannot_be_compared_stands_in_one_place() -> None:
    deep = '{"meta":{"room":"victim"},"content":"x"}'
    assert outcome(sealing("$.meta.room"), deep, "/api/messages?meta[room]=victim") == (
        "name-differs"
    )
    listed = '{"to":["a","b"],"content":"x"}'
    assert outcome(sealing("$.to.*"), listed, "/api/messages?to=a") == "name-differs"
    assert outcome(sealing("$.to.*"), listed, "/api/messages?from=a") == "sealed"
    assert outcome(sealing("$.*.id"), '{"a":{"id":"1"},"content":"x"}', "/api/messages?id=2") == (
        "sealed"
    )


QUERY = "/api/messages?conversationId=victim"


@pytest.mark.parametrize(
    "more",
    [
        "&+conversationId=mine",
        "&%20conversationId=mine",
        "&conversationId%00=mine",
        "&conversationId[]=mine",
        "&conversationId%5B%5D=mine",
        "&conversation.id=mine",
        "&conversation_id=mine",
        "&conversation+id=mine",
        "&ConversationId=mine",
        "&!conversationId=mine",
        ";conversationId=mine",
        "&%2563onversationId=mine",
        "&%EF%BD%83onversationId=mine",
        "&[conversationId]=mine",
        "&conversationId=mine",
        "&conversationId=victim",
        "&conversationId",
    ],
)
@pytest.mark.parametrize("make", [opening, sealing])
def test_a_parameter_that_binds_has_one_spelling_and_stands_once(make: object, more: str) -> None:
    reason = outcome(make("query:conversationId"), f'{{"content":"{TOKEN}"}}', QUERY + more)  # type: ignore[operator]  # a maker
    assert reason in {"name-variant", "name-stands-twice", "no-name"}


@pytest.mark.parametrize(
    ("select", "body", "headers", "expected"),
    [
        ("$.content", '{"content":"T","conversationId":"mine"}', JSON_TYPE, "name-differs"),
        ("$.content", '{"content":"T","conversationId":["victim"]}', JSON_TYPE, "name-differs"),
        ("$.content", '{"content":"T","conversation_id":"victim"}', JSON_TYPE, "name-variant"),
        ("$.content", '{"content":"T","conversationId":"victim"}', JSON_TYPE, "opened"),
        ("$.content", '{"content":"T","conversationId":null}', JSON_TYPE, "opened"),
        ("$.content", '{"content":"T"}', JSON_TYPE, "opened"),
        ("form:content", "content=T&conversationId=mine", FORM, "name-differs"),
        ("form:content", "content=T&conversation.id=victim", FORM, "name-differs"),
        ("form:content", "content=T&conversationId", FORM, "name-differs"),
        ("form:content", "content=T&conversationId=%FF", FORM, "name-differs"),
        ("form:content", "content=T&x=1;conversationId=victim", FORM, "name-differs"),
        ("form:content", "content=T&conversationId=victim", FORM, "name-stands-twice"),
        (
            "part:content",
            a_part("content", "T") + a_part("conversationId", "mine") + "--of-parts--\r\n",
            PARTS,
            "name-differs",
        ),
        (
            "part:content",
            a_part("content", "T") + a_part("conversationId", "victim") + "--of-parts--\r\n",
            PARTS,
            "name-stands-twice",
        ),
    ],
)
def test_a_parameter_that_binds_is_the_same_in_the_body(
    select: str, body: str, headers: Headers, expected: str
) -> None:
    rule = opening("query:conversationId", select=select)
    assert outcome(rule, body.replace("T", TOKEN), QUERY, headers) == expected


@pytest.mark.parametrize("room", ["victim", "mine"])
def test_a_field_that_binds_has_no_parameter_beside_it(room: str) -> None:
    rule = opening("form:conversationId", select="form:content")
    body = f"content={TOKEN}&conversationId=victim"
    assert outcome(rule, body, "/api/messages", FORM) == "opened"
    beside = f"/api/messages?conversationId={room}"
    assert outcome(rule, body, beside, FORM) == "name-stands-twice"


LINES: Headers = ((b"Content-Type", b"application/x-ndjson"),)
EVENTS: Headers = ((b"Content-Type", b"text/event-stream"),)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ('{"content":"T","conversationId":"mine"}', "name-differs"),
        ('{"content":"T","conversation_id":"victim"}', "name-variant"),
        ('{"content":"T","conversationId":"victim"}', "opened"),
        ('{"content":"T"}', "opened"),
    ],
)
def test_a_parameter_that_binds_is_the_same_in_each_record(record: str, expected: str) -> None:
    rule = opening("query:conversationId")
    for lines in (record + "\n", f'{{"content":"T"}}\n{record}\n'):
        assert outcome(rule, lines.replace("T", TOKEN), QUERY, LINES) == expected


def test_a_record_that_is_no_document_has_no_members_to_compare() -> None:
    rule = sealing("query:conversationId", select="text")
    assert isinstance(rule.request, tuple)
    rule = replace(rule, request=(replace(rule.request[0], format="sse"),))
    assert outcome(rule, "data: conversationId, he said\n\n", QUERY, EVENTS) == "sealed"


def test_a_member_that_binds_a_record_needs_no_parameter() -> None:
    rule = opening("$.conversationId")
    assert outcome(rule, BODY + "\n", headers=LINES) == "opened"


def test_a_file_under_the_name_of_a_parameter_is_not_the_same() -> None:
    file = a_part("conversationId", "victim").replace('Id"', 'Id"; filename="a"')
    body = a_part("content", TOKEN) + file + "--of-parts--\r\n"
    rule = opening("query:conversationId", select="part:content")
    assert outcome(rule, body, QUERY, PARTS) == "name-differs"


def test_bodies_of_other_kinds_are_not_compared() -> None:
    text = ((b"Content-Type", b"text/plain"),)
    rule = sealing("query:conversationId", select="text")
    assert outcome(rule, "conversationId=mine", QUERY, text) == "sealed"
    assert outcome(sealing("query:conversationId", select="body"), "x", QUERY, text) == "sealed"


def test_a_parameter_that_binds_is_the_same_in_a_cookie() -> None:
    def with_cookie(cookie: bytes) -> str:
        headers = (*JSON_TYPE, (b"Cookie", cookie))
        return outcome(opening("query:conversationId"), f'{{"content":"{TOKEN}"}}', QUERY, headers)

    assert with_cookie(b"conversationId=mine") == "name-differs"
    assert with_cookie(b"conversation_id=victim") == "name-differs"
    assert with_cookie(b"conversationId=victim; a=b") == "opened"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (((b"X-Room", b"victim"),), "opened"),
        (((b"x-room", b"victim"), (b"X-Roo", b"mine")), "opened"),
        (((b"X-Room", b"victim"), (b"X-Room", b"victim")), "name-stands-twice"),
        (((b"X-Room", b"victim"), (b"x-room", b"mine")), "name-stands-twice"),
        (((b"X-Room", b"victim"), (b"X.Room", b"mine")), "name-variant"),
        (((b"XRoom", b"mine"), (b"X-Room", b"victim")), "name-variant"),
        (((b"X~Room", b"mine"),), "name-variant"),
        (((b"X-Room", b"victim,mine"),), "name-in-a-list"),
        (((b"X-Room", b"victim"), (b"Connection", b"x-room")), "name-in-connection"),
        (((b"X-Room", b"victim"), (b"Connection", b"close, X-ROOM")), "name-in-connection"),
        (((b"X-Room", b"victim"), (b"Connection", b"close")), "opened"),
        (((b"X-Room", b""),), "empty-name"),
        ((), "missing-conversation"),
    ],
)
def test_a_header_that_binds_has_one_line_that_reaches_the_backend(
    more: Headers, reason: str
) -> None:
    rule = opening("header:x-room")
    assert outcome(rule, f'{{"content":"{TOKEN}"}}', headers=(*JSON_TYPE, *more)) == reason


def a_jwt(payload: str) -> str:
    head, body = (
        base64.urlsafe_b64encode(one.encode()).rstrip(b"=").decode() for one in ('{"a":1}', payload)
    )
    return f"{head}.{body}.sig"


MINE, HIS = a_jwt('{"sub":"mine"}'), a_jwt('{"sub":"victim"}')


@pytest.mark.parametrize(
    ("target", "more", "reason"),
    [
        ("", (), "opened"),
        (f"?access_token={HIS}", (), "opened"),
        ("?page=1", ((b"Cookie", b"session=1"),), "opened"),
        (f"?access_token={MINE}", (), "second-credential"),
        (f"?Access-Token={MINE}", (), "second-credential"),
        (f"?access.token[]={HIS}", (), "opened"),
        ("", ((b"Cookie", b"access_token=" + MINE.encode()),), "second-credential"),
        ("", ((b"Cookie", b"Authorization=Bearer " + MINE.encode()),), "second-credential"),
        ("", ((b"Cookie", b"Authorization=Bearer " + HIS.encode()),), "opened"),
        ("", ((b"Authorization", b"Bearer " + MINE.encode()),), "name-stands-twice"),
        ("", ((b"Author-ization", b"Bearer " + MINE.encode()),), "name-variant"),
        ("", ((b"Connection", b"authorization"),), "name-in-connection"),
    ],
)
def test_a_claim_comes_with_one_credential(target: str, more: Headers, reason: str) -> None:
    headers = (*JSON_TYPE, (b"Authorization", b"Bearer " + HIS.encode()), *more)
    body = f'{{"content":"{TOKEN}"}}'
    assert outcome(opening("jwt-unverified:sub"), body, f"/api/messages{target}", headers) == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"content=T&access_token={MINE}", "second-credential"),
        (f"content=T&access_token={HIS}", "opened"),
        ("content=T&x=1", "opened"),
    ],
)
def test_a_form_holds_no_second_credential(body: str, reason: str) -> None:
    headers = (*FORM, (b"Authorization", b"Bearer " + HIS.encode()))
    rule = opening("jwt-unverified:sub", select="form:content")
    assert outcome(rule, body.replace("T&", f"{TOKEN}&"), headers=headers) == reason


def test_without_a_credential_there_is_no_second() -> None:
    body = f'{{"content":"{TOKEN}"}}'
    target = f"/api/messages?access_token={MINE}"
    assert outcome(opening("jwt-unverified:sub"), body, target) == "missing-conversation"
    rule = opening("jwt-unverified:sub", select="form:content")
    assert outcome(rule, f"content={TOKEN}&access_token={MINE}", headers=FORM) == (
        "missing-conversation"
    )


def test_what_stands_for_a_claim_stands_for_no_other_credential() -> None:
    rule = opening(FirstSource((parse_source("jwt-unverified:sub"), parse_source("query:u"))))
    body = f'{{"content":"{TOKEN}"}}'
    assert outcome(rule, body, "/api/messages?u=victim") == "opened"
    target = f"/api/messages?u=victim&access_token={MINE}"
    assert outcome(rule, body, target) == "second-credential"


def test_a_claim_that_stands_twice_is_none() -> None:
    token = a_jwt('{"sub":"victim","sub":"mine"}')
    headers = (*JSON_TYPE, (b"Authorization", b"Bearer " + token.encode()))
    body = f'{{"content":"{TOKEN}"}}'
    assert outcome(opening("jwt-unverified:sub"), body, headers=headers) == "claim-stands-twice"


@pytest.mark.parametrize(
    ("room", "reason"),
    [
        ("victim", "opened"),
        ("victim;x=1", "parameters-in-name"),
        ("victim%3bx", "parameters-in-name"),
        ("victim%253bx", "parameters-in-name"),
        ("victim%25252525253bx", "wrong-context"),  # six decodings: no server does so many
        ("victim%252525253bx", "parameters-in-name"),
        ("victim%ef%bc%9bx", "parameters-in-name"),
        ("victim%cd%bex", "parameters-in-name"),
        ("victim%25ef%25bc%259bx", "parameters-in-name"),
        ("mine%2f..%2fvictim", "dots-in-name"),
        ("mine%5c..%5cvictim", "dots-in-name"),
        ("mine%2f.%2e%20%2fvictim", "two-readings-of-path"),
        ("mine%252f..%252fvictim", "dots-in-name"),
        ("x%2f.", "dots-in-name"),
        (".%2fvictim", "dots-in-name"),
        ("victim%2f", "dots-in-name"),
        ("victim%5c", "dots-in-name"),
        ("%2fvictim", "dots-in-name"),
        ("mine%2f%2fvictim", "two-readings-of-path"),
        ("victim%252f", "dots-in-name"),
        ("mine%ef%bc%8f..%ef%bc%8fvictim", "dots-in-name"),
        ("%e5%ae%a4", "wrong-context"),
        ("a.b%25c", "wrong-context"),
    ],
)
def test_a_capture_that_binds_is_one_segment_to_all(room: str, reason: str) -> None:
    rule = opening("path:room", "POST /rooms/{room}")
    assert outcome(rule, f'{{"content":"{TOKEN}"}}', f"/rooms/{room}") == reason


def test_a_label_of_the_path_is_compared_with_nothing() -> None:
    rule = opening("path:id", "POST /rooms/{id}")
    body = f'{{"id":"17","content":"{TOKEN}"}}'
    assert outcome(rule, body, "/rooms/victim?id=18") == "opened"


def test_the_same_name_in_path_and_body_passes() -> None:
    rule = opening("path:roomId", "POST /rooms/{roomId}")
    assert outcome(rule, f'{{"roomId":"victim","content":"{TOKEN}"}}', "/rooms/victim") == "opened"


@pytest.mark.parametrize("conversation", ["$.conversationId", "query:conversationId"])
def test_an_empty_name_is_refused(conversation: str) -> None:
    body = '{"conversationId":"","content":"x"}'
    target = "/api/messages?conversationId="
    for make in (opening, sealing):
        assert outcome(make(conversation), body.replace("x", TOKEN), target) == "empty-name"


def test_each_name_of_a_joined_one_is_looked_at() -> None:
    joined = ListSource((parse_source("$.a"), parse_source("query:b")))
    body = '{"a":"1","content":"x"}'
    assert outcome(sealing(joined), body, "/api/messages?b=2") == "sealed"
    assert outcome(sealing(joined), body, "/api/messages?b=2&a=3") == "name-differs"
    assert outcome(sealing(joined), body, "/api/messages?b=2&B=3") == "name-variant"
    first = FirstSource((parse_source("$.a"), parse_source("query:b")))
    assert outcome(sealing(first), body, "/api/messages?b=2") == "sealed"
    assert outcome(sealing(first), body.replace('"1"', '""'), "/api/messages?b=2") == "empty-name"


def test_names_that_bind_nothing_may_be_spelled_in_any_way() -> None:
    block = a_block(encrypt=[an_item("$.content", bind=["tenant"])])
    rule = a_rule(request=block, names=names("query:conversationId"))
    body = '{"conversationId":"a","ConversationId":"b","content":"x"}'
    assert outcome(rule, body, f"{QUERY}&conversationId=mine") == "sealed"
    rule = a_rule(request=block, names=names("$.conversationId"))
    assert outcome(rule, body, QUERY) == "sealed"


def an_exchange(rule: Rule, target: str, method: str = "GET", headers: Headers = ()) -> Exchange:
    message = a_message("", method=method, target=target, headers=headers)
    book = RuleTable((rule,), pass_unmatched=True)
    websocket = rule.patterns[0].websocket
    decision = book.decide(method, canonical(message.head.path), websocket=websocket)
    return Exchange(decision, message.head)


def test_a_request_that_passes_unread_is_looked_at_too() -> None:
    rule = a_rule(
        "GET /api/messages",
        response=a_block(decrypt=[an_item("$.content", bind=BIND)]),
        names=names("query:conversationId"),
    )
    assert pass_request(an_exchange(rule, QUERY)).body is None
    for _ in range(2):
        with pytest.raises(SealyardError, match="name-variant"):
            pass_request(an_exchange(rule, f"{QUERY}&+conversationId=mine"))
    head = RequestHead("GET", "/api/messages", "conversationId=a&+conversationId=b", ())
    book = RuleTable((rule,), pass_unmatched=True)
    refusal = explain_request(book, head, canonical("/api/messages"), b"")[0].refusal
    assert refusal is not None
    assert refusal.reason == "name-variant"


def test_a_handshake_is_looked_at_too() -> None:
    rule = a_rule(
        "WS /ws",
        request=a_block(encrypt=[an_item("$.content", bind=BIND)]),
        names=names("query:room"),
    )
    pass_handshake(an_exchange(rule, "/ws?room=a"))
    with pytest.raises(SealyardError, match="name-variant"):
        pass_handshake(an_exchange(rule, "/ws?room=a&Room=b"))


def test_what_flows_is_looked_at_before_it_goes_on() -> None:
    rule = sealing("query:room", select="body")
    exchange = an_exchange(rule, "/api/messages?room=a&room[]=b", "POST")
    compiled = flowing_request(exchange, None, 1000)
    assert compiled is not None
    with pytest.raises(SealyardError, match="name-variant"):
        plan_flowing_request(exchange, compiled, b"x" * 100, 1000)


@pytest.mark.parametrize(
    ("room", "expected"), [("victim", "name-stands-twice"), ("mine", "name-differs")]
)
def test_parts_that_flow_are_compared_as_they_come(room: str, expected: str) -> None:
    rule = opening("query:conversationId", select="part:content")
    exchange = an_exchange(rule, QUERY, "POST", PARTS)
    body = (a_part("conversationId", room) + a_part("content", TOKEN) + "--of-parts--\r\n").encode()
    compiled = flowing_request(exchange, None, 10)
    assert compiled is not None
    plan = plan_flowing_request(exchange, compiled, body, 1000)
    assert plan.form is not None
    with pytest.raises(SealyardError, match=expected):
        list(plan.form.feed(body))


def allowing(rule: Rule) -> Rule:
    assert isinstance(rule.request, tuple)
    return replace(rule, request=(replace(rule.request[0], elsewhere_allowed=True),))


def test_other_places_may_be_allowed_and_other_spellings_never() -> None:
    body = f'{{"conversationId":"mine","content":"{TOKEN}"}}'
    cookie = (*JSON_TYPE, (b"Cookie", b"conversationId=mine"))
    rule = allowing(opening("query:conversationId"))
    assert outcome(rule, body, QUERY, cookie) == "opened"
    assert outcome(rule, body, f"{QUERY}&ConversationId=mine") == "name-variant"
    rule = allowing(opening("$.conversationId"))
    assert outcome(rule, BODY, "/api/messages?conversationId=mine", cookie) == "opened"
    assert outcome(rule, f'{{"ConversationId":"mine",{BODY[1:]}') == "name-variant"
    headers = (*JSON_TYPE, (b"Authorization", b"Bearer " + HIS.encode()))
    rule = allowing(opening("jwt-unverified:sub"))
    assert outcome(rule, body, f"/api/messages?access_token={MINE}", headers) == "opened"


def test_a_body_beyond_ascii_is_read_for_a_parameter() -> None:
    rule = opening("query:conversationId")
    for odd, reason in (
        ('"é":1', "opened"),
        ('"\\uff43onversationId":"mine"', "name-variant"),
        ('"\uff43onversationId":"mine"', "name-variant"),
    ):
        assert outcome(rule, f'{{{odd},"content":"{TOKEN}"}}', QUERY) == reason


def test_a_part_that_is_compared_is_held_until_it_is_there() -> None:
    rule = opening("query:conversationId", select="part:content")
    exchange = an_exchange(rule, QUERY, "POST", PARTS)
    body = (
        a_part("content", TOKEN) + a_part("conversationId", "mine") + "--of-parts--\r\n"
    ).encode()
    compiled = flowing_request(exchange, None, 10)
    assert compiled is not None
    plan = plan_flowing_request(exchange, compiled, body[:50], 1000)
    form = plan.form
    assert form is not None
    assert compiled.sources_elsewhere is not None
    parts = list(reader.parts(body, reader.read_boundary([PARTS[0][1]])))
    assert [compiled.sources_elsewhere.takes(one) for one in parts] == [False, True]
    pieces = [body[at : at + 10] for at in range(0, len(body), 10)]
    with pytest.raises(SealyardError, match="name-differs"):
        [list(form.feed(piece)) for piece in pieces]


def test_names_kept_for_the_answer_are_looked_at() -> None:
    rule = a_rule(
        response=a_block(decrypt=[an_item("$.content", bind=BIND)]),
        names=names("$.conversationId"),
        request=Verdict.PASS,
    )
    for body, reason in (
        ('{"conversationId":"a","ConversationId":"b"}', "name-variant"),
        ('{"conversationId":""}', "empty-name"),
    ):
        with pytest.raises(SealyardError, match=reason):
            Trip((rule,), a_message(body)).request()
