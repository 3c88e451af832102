"""A name that a rule selects stands in one place of a request, whatever the others hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import BodyTooLarge, ForbiddenValue, InvalidBody, SealyardError
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.leaves.plain_names import PlainNames
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Names, Rule
from proxy.core.transform import begin_stream
from tests.core.rules.test_conditions import when
from tests.factories import (
    JSON_TYPE,
    Message,
    a_block,
    a_message,
    a_rule,
    items,
    send,
    sent,
    streaming_request,
    with_block,
)

CANARY = "4111-CANARY"
NAMES = Names(parse_source("const:clinic"), parse_source("const:c1"))
FORM: Headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
PARTS: Headers = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
NDJSON: Headers = ((b"Content-Type", b"application/x-ndjson"),)
A_PART = '--of-parts\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n--of-parts--\r\n'


def a_seal(*encrypt: str, **options: object) -> Rule:
    made = [replace(one, **options) for one in items(*encrypt)]  # type: ignore[arg-type]  # names of fields
    return a_rule(request=a_block(encrypt=made), names=NAMES)


CARD = a_seal("$.card")
DEEP = a_seal("$.payment.card")


def message(query: str | None, body: str, headers: Headers = JSON_TYPE) -> Message:
    target = "/api/messages" + ("" if query is None else f"?{query}")
    return a_message(body, target=target, headers=headers)


def refused(rule: Rule, message: Message) -> str:
    with pytest.raises(SealyardError) as caught:
        send(rule, message)
    assert caught.value.status in {400, 413}
    return caught.value.reason


@pytest.mark.parametrize(
    "query",
    [
        "card={}",
        "card[]={}",
        "card[n]={}",
        "%63ard={}",
        "%2563ard={}",
        "c%u0061rd={}",
        "+card={}",
        "card%00={}",
        "Card={}",
        "CARD={}",
        "%EF%BD%83ard={}",
        "%EF%BB%BFcard={}",
        "%FFcard={}",
        "[card]={}",
        "card.n={}",
        "!card={}",
        "_card={}",
        "card(1i)={}",
        "card:int={}",
        "a=1;card={}",
        "card",
        "x=1&card={}",
    ],
)
@pytest.mark.parametrize(
    ("rule", "body", "headers"),
    [
        (CARD, '{"card":"decoy"}', JSON_TYPE),
        (a_seal("optional $.card", "$.x"), '{"x":"1"}', JSON_TYPE),
        (CARD, '{"card":"decoy"}\n', NDJSON),
        (a_seal("form:card"), "card=decoy", FORM),
        (a_seal("part:card"), A_PART % ("card", "decoy"), PARTS),
        (a_seal("$..card"), '{"card":"decoy"}', JSON_TYPE),
    ],
    ids=["json", "optional", "ndjson", "form", "part", "deep"],
)
def test_no_spelling_of_a_selected_name_stands_in_the_query(
    rule: Rule, body: str, headers: Headers, query: str
) -> None:
    expected = "no-name" if "%00" in query else "name-in-query"
    assert refused(rule, message(query.format(CANARY), body, headers)) == expected


@pytest.mark.parametrize(
    "query", ["payment={}", "payment[card]={}", "payment.card={}", "Payment%5Bx%5D={}"]
)
def test_of_a_nested_name_the_first_step_counts(query: str) -> None:
    body = '{"payment":{"card":"decoy"}}'
    assert refused(DEEP, message(query.format(CANARY), body)) == "name-in-query"


@pytest.mark.parametrize(
    "cookie", [b"card=%s", b"a=1; CARD=%s", b"a=1, card=%s", b"c%%61rd=%s", b'card[x]="%s"']
)
@pytest.mark.parametrize(
    ("rule", "body", "headers", "query"),
    [
        (a_seal("query:card"), '{"a":1}', JSON_TYPE, "card=x"),
        (a_seal("form:card"), "card=x", FORM, None),
        (a_seal("part:card"), A_PART % ("card", "x"), PARTS, None),
    ],
)
def test_no_spelling_of_a_field_stands_in_a_cookie(
    rule: Rule, body: str, headers: Headers, query: str | None, cookie: bytes
) -> None:
    """PHP without a php.ini merges cookies into `$_REQUEST`."""
    headers = (*headers, (b"Cookie", cookie % CANARY.encode()))
    assert refused(rule, message(query, body, headers)) == "name-in-cookie"
    ignoring = with_block(rule, cookies_ignored=True)
    assert b"eyJ" in sent(ignoring, message(query, body, headers)) or query


@pytest.mark.parametrize("cookie", [b"card=1", b"Card=1", b"card[x]=1", b"c%61rd=1"])
def test_a_cookie_may_have_the_name_of_a_member(cookie: bytes) -> None:
    """Django's `sessionid` goes with a chat whose JSON has `sessionId`."""
    headers = (*JSON_TYPE, (b"Cookie", cookie))
    assert b"eyJ" in sent(CARD, message(None, '{"card":"x"}', headers))
    bound = a_block(encrypt=["$.text"], names=Names(conversation=parse_source("$.card")))
    rule = a_rule(request=bound, names=NAMES)
    assert b"eyJ" in sent(rule, message(None, '{"card":"c","text":"x"}', headers))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (f'{{"card":"{CANARY}"}}', JSON_TYPE),
        (f'{{"Card":"{CANARY}"}}', JSON_TYPE),
        (f'{{"card.x":"{CANARY}"}}', JSON_TYPE),
        (f"card={CANARY}", FORM),
        (f"a=1;card[]={CANARY}", FORM),
        (A_PART % ("card", CANARY), PARTS),
    ],
)
def test_a_selected_parameter_stands_in_no_body(body: str, headers: Headers) -> None:
    rule = a_seal("query:card")
    assert refused(rule, message("card=decoy", body, headers)) == "name-in-body"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ('{"cards":1}', JSON_TYPE),
        ('{"card":null}', JSON_TYPE),
        ("[1]", JSON_TYPE),
        ("a=1;b=2", FORM),
        (A_PART % ("x", "y"), PARTS),
        ("card=1", ((b"Content-Type", b"text/plain"),)),
        ("", ()),
    ],
)
def test_other_bodies_go_with_a_selected_parameter(body: str, headers: Headers) -> None:
    send(a_seal("query:card"), message("card=decoy", body, headers))


@pytest.mark.parametrize(
    "query",
    ["page=2&per_page=10", "cards=1", "filter[card]=x", "x=card", "x=%63ard", "q=a%20b;c=d", ""],
)
def test_other_parameters_and_cookies_may_stand_there(query: str) -> None:
    headers = (*JSON_TYPE, (b"Cookie", b"session=abc; lang=de; csrf=%7B%22card%22%7D"))
    assert b"eyJ" in sent(CARD, message(query, '{"card":"1"}', headers))
    deep = "" if "[card]" in query else query
    assert b"eyJ" in sent(a_seal("$.*.card"), message(deep, '{"a":{"card":"1"}}', headers))


@pytest.mark.parametrize("select", ["$.*.card", "$..card", "$[*].card", "$.*[0].card"])
def test_a_name_within_any_other_stands_in_no_parameter(select: str) -> None:
    rule = a_seal(f"optional {select}")
    body = '{"a":{"card":"decoy"}}' if "[" not in select else "[]"
    for query in ("a[card]={}", "a.card={}", "x[0][Card]={}", "a[b][card]={}"):
        assert refused(rule, message(query.format(CANARY), body)) == "name-in-query"
    send(rule, message("a[cards]=1&b=2", body))


def test_a_selector_without_names_is_looked_for_nowhere() -> None:
    send(a_seal("optional $.*.*"), message("a[card]=1", "{}"))


def test_a_parameter_may_be_allowed_in_the_body() -> None:
    allowed = replace(items("query:card")[0], elsewhere_allowed=True)
    rule = a_rule(request=a_block(encrypt=[allowed], decrypt=["optional form:other"]), names=NAMES)
    assert send(rule, message("card=1", "card=2", FORM)).counts == {"sealed": 1}


def test_names_of_objects_are_remembered_up_to_a_number() -> None:
    names = PlainNames(["card"])
    for at in range(300):
        assert names.suit({"card": 1, f"a{at % 150}": 2})
        assert not names.suit({"card": 1, "Card": 2})
    many = ",".join(f'"a{at}":1' for at in range(50))
    assert b"eyJ" in sent(CARD, message(None, f'{{"card":"x",{many}}}'))


def test_a_block_may_say_that_nobody_looks_there() -> None:
    block = a_block(encrypt=["$.card"], names=Names(conversation=parse_source("$.room")))
    rule = a_rule(request=replace(block, elsewhere_allowed=True), names=NAMES)
    headers = (*JSON_TYPE, (b"Cookie", b"card=1; room=2"))
    assert b"eyJ" in sent(rule, message("card=full&room=3", '{"card":"1","room":"c"}', headers))


def test_an_item_may_say_that_nobody_looks_there() -> None:
    rule = a_seal("$.card", elsewhere_allowed=True)
    headers = (*JSON_TYPE, (b"Cookie", b"card=1"))
    assert b"eyJ" in sent(rule, message("card=full", '{"card":"1"}', headers))


@pytest.mark.parametrize("conditions", [(), when("$.type", text_value("send"))])
def test_a_request_without_a_body_has_none_of_the_names_elsewhere(
    conditions: tuple[Condition, ...],
) -> None:
    block = replace(a_block(encrypt=["optional $.card"]), when=conditions, nothing="pass")
    rule = a_rule(request=block, names=NAMES)
    cookie = (*JSON_TYPE, (b"Cookie", b"card=1"))

    assert refused(rule, message(f"card={CANARY}", "")) == "name-in-query"
    assert sent(rule, message("x=1", "", cookie)) == b""


def test_a_stream_of_records_begins_with_the_same_look() -> None:
    head = message("card=1", "", NDJSON).head
    exchange = Exchange(
        RuleTable((CARD,), pass_unmatched=True).decide("POST", canonical(head.path)), head
    )
    streaming = streaming_request(exchange, None, 1000)
    assert streaming is not None

    with pytest.raises(ForbiddenValue, match="name-in-query"):
        begin_stream(exchange, streaming[0], head, streaming[1], 1000)


@pytest.mark.parametrize(
    ("rule", "body", "headers"),
    [
        (a_seal("form:card", each=True), "card=1&x=2&card=3", FORM),
        (a_seal("query:card", each=True), "", ()),
    ],
)
def test_each_seals_every_occurrence(rule: Rule, body: str, headers: Headers) -> None:
    in_query = not body
    applied = send(rule, message("card=1&x=2&card=3" if in_query else None, body, headers))
    assert applied.counts == {"sealed": 2}
    assert (
        refused(
            a_seal("query:card") if in_query else a_seal("form:card"),
            message("card=1&card=2" if in_query else None, body, headers),
        )
        == "duplicate-name"
    )


@pytest.mark.parametrize(
    "body",
    [
        f'{{"card":"decoy","{name}":"CANARY"}}'
        for name in (
            "Card", "CARD", "ca_rd", "ca-rd", "card_", " card", "card.x", "card[0]", "[card]",
            "\\uff43ard", "card\\u0000", "\ufeffcard", "c\\u0061rd\\u0000x",
        )
    ],
)  # fmt: skip
def test_no_twin_stands_beside_a_selected_member(body: str) -> None:
    assert refused(CARD, message(None, body)) == "name-variant"


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        (CARD, '{"card":"decoy","__proto__":{"card":"CANARY"}}'),
        (CARD, '{"card":"decoy","constructor":{"prototype":{"card":"CANARY"}}}'),
        (CARD, '{"card":"decoy","prototype":{"card":"CANARY"}}'),
        (CARD, '{"__proto__":{"card":"CANARY"},"card":"decoy"}'),
        (DEEP, '{"payment":{"card":"decoy","__proto__":{"card":"CANARY"}}}'),
        (DEEP, '{"payment":{"card":"decoy","\\u005f_proto__":{"card":"CANARY"}}}'),
        (a_seal("$.a[*].card"), '{"a":[{"card":"decoy","__proto__":{"card":"CANARY"}}]}'),
        (a_seal("$..card"), '{"card":"decoy","__proto__":{"x":"CANARY"}}'),
        (a_seal("optional $.items[0]"), '{"items":{"0":"CANARY"}}'),
        (a_seal("optional $.items[10]"), '{"items":{"10":"CANARY"}}'),
        (a_seal("optional $.items[0]", "optional $.items.x"), '{"items":{"0":"CANARY"}}'),
        (a_seal("optional $.items[0]"), '{"items":{"__proto__":["CANARY"]}}'),
        (a_seal("optional $.items[0].card"), '{"items":{"0":{"card":"CANARY"}}}'),
    ],
)
def test_no_other_way_leads_to_a_selected_member(rule: Rule, body: str) -> None:
    assert refused(rule, message(None, body)) == "name-hidden"


@pytest.mark.parametrize(
    "body",
    [
        '{"card":"x","constructor":"Ferrari"}',
        '{"card":"x","constructor":{"name":"Ferrari"}}',
        '{"card":"x","prototype":"X-1"}',
        '{"card":"x","_card":"y"}',
        '{"card":"x","cards":["y"]}',
        '{"card":"x","card number":"y"}',
        '{"card":"x","other":{"Card":"y"}}',
    ],
)
def test_what_is_no_twin_passes(body: str) -> None:
    assert sent(CARD, message(None, body)).startswith(b'{"card":"eyJ')


def test_other_members_pass_where_an_element_is_selected() -> None:
    rule = a_seal("optional $.items[0]")
    for body in ('{"items":["x","y"]}', '{"items":null}', '{"item":{"1":"x"}}'):
        send(rule, message(None, body))
    for body in ('{"items":{"1":"x","a":"y"}}', '{"items":{}}'):
        assert refused(rule, message(None, body)) == "parent-of-another-type"


# Each of these took seconds; what bounds them is counted, not timed.
SIXTEEN = 16 * 1024 * 1024 - 100


@pytest.mark.parametrize(
    ("body", "error", "reason"),
    [
        (b"card=1&" + b"%25" * (SIXTEEN // 3) + b"=1", InvalidBody, "name-too-long"),
        (b"card=1&" + b"[a" * (SIXTEEN // 2) + b"=1", InvalidBody, "name-too-long"),
        (
            b"card=1&" + b"&".join(b"%%25%%25%sz%d=1" % (b"%25" * 400, at) for at in range(9000)),
            BodyTooLarge,
            "names-too-long",
        ),
        (
            b"card=1;" + b";".join(b"%%25%sz%d=1" % (b"%25" * 400, at) for at in range(9000)),
            BodyTooLarge,
            "names-too-long",
        ),
    ],
)
def test_names_of_forms_take_no_more_than_they_may(
    body: bytes, error: type[SealyardError], reason: str
) -> None:
    with pytest.raises(error) as caught:
        send(a_seal("form:card"), a_message(body, headers=FORM))
    assert caught.value.reason == reason


def test_a_part_has_no_longer_name_either() -> None:
    body = A_PART % ("%25" * 1500, "x")
    assert refused(a_seal("optional part:card"), message(None, body, PARTS)) == "name-too-long"


@pytest.mark.parametrize("name", ["é%d", "\\u0063%d"])
def test_odd_names_of_one_text_are_read_up_to_a_number(name: str) -> None:
    few = ",".join(f'"{name % at}":1' for at in range(1000))
    many = ",".join(f'"{name % at}":1' for at in range(60_000))
    again = ",".join(f'"{name % 1}":1' for at in range(60_000))
    assert b"eyJ" in sent(CARD, message(None, f'{{"card":"1",{few}}}'))
    assert b"eyJ" in sent(CARD, message(None, f'{{"card":"1",{again}}}'))
    assert refused(CARD, message(None, f'{{"card":"1",{many}}}')) == "too-many-odd-names"
