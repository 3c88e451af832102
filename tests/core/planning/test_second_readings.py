"""A body is no body of another format as well, where a rule seals it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    MessageError,
    UnsupportedBody,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import Kind
from proxy.core.http.message import Headers
from proxy.core.planning.treatment import ReadRequest, StreamRecords, treat_request
from proxy.core.rules.model import Names, Rule
from tests.factories import (
    JSON_TYPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    replied,
    send,
    sent,
)

NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
FORM: Headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
EVENTS: Headers = ((b"Content-Type", b"text/event-stream"),)
PARTS: Headers = ((b"Content-Type", b"multipart/form-data; boundary=X-1"),)
CANARY = "CANARY"
COMMENTED = '{/*\ndata: {"card":"d"}\n\n*/"card":"CANARY"}'


def seals(*selectors: str, **changes: object) -> Rule:
    block = replace(a_block(encrypt=selectors), **changes)  # type: ignore[arg-type]  # its fields
    return a_rule(request=block, names=NAMES)


# --- event streams -------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", ["$.card", "optional $.card", "optional $..card"])
@pytest.mark.parametrize(
    "body",
    ['{"card":"CANARY"}', COMMENTED, 'data: {"card":"d"}\n\n', '{"card":\n"CANARY"}', ": x\n"],
)
def test_a_request_is_no_event_stream_unless_its_rule_says_so(selector: str, body: str) -> None:
    with pytest.raises(UnsupportedBody):
        send(seals(selector), a_message(body, headers=EVENTS))


@pytest.mark.parametrize("changes", [{"format": "sse"}, {"types": ("text/event-stream",)}])
def test_a_request_is_an_event_stream_where_its_rule_says_so(changes: dict[str, object]) -> None:
    body = b': hello\nevent: add\nid: 1\nretry: 5\ndata: {"card":"4111222233334444"}\n\n'
    out = sent(seals("$.card", **changes), a_message(body, headers=EVENTS))
    assert b"4111222233334444" not in out
    assert out.startswith(b': hello\nevent: add\nid: 1\nretry: 5\ndata: {"card":"eyJ')


def test_a_type_that_covers_all_makes_no_event_stream() -> None:
    for types in (("*/*",), ("text/*",)):
        with pytest.raises(InvalidBody):
            send(seals("$.card", types=types), a_message(COMMENTED, headers=EVENTS))


def test_the_events_of_a_response_are_read_as_ever() -> None:
    rule = a_rule(response=a_block(encrypt=["$.card"], names=NAMES), names=NAMES)
    assert b"4111222233334444" not in answered(rule, 'data: {"card":"4111222233334444"}\n\n')


def answered(rule: Rule, body: str) -> bytes:
    return replied(rule, body, a_response(headers=EVENTS))


@pytest.mark.parametrize(
    "line",
    [
        '{"card":"CANARY"}',
        "{/*",
        '*/"card":"CANARY"}',
        "card=CANARY",
        "CANARY",
        "DATA: x",
        " data",
    ],
)
@pytest.mark.parametrize("selector", ["$.card", "optional $.card", "text"])
def test_where_a_rule_seals_a_line_is_a_field_a_comment_or_blank(line: str, selector: str) -> None:
    body = f'data: {{"card":"d"}}\n\n{line}\n'
    for order in (body, f"{line}\n{body}", f'data: {{"card":"d"}}\n{line}\n\n'):
        with pytest.raises(MessageError):
            send(seals(selector, format="sse"), a_message(order, headers=EVENTS))


def test_where_a_rule_only_opens_odd_lines_pass() -> None:
    rule = a_rule(response=a_block(decrypt=["$.card"]), names=NAMES)
    assert answered(rule, "odd: line\n\n") == b"odd: line\n\n"


# --- forms ---------------------------------------------------------------------------------------

JSON_TOO = [
    '{"a":"&card=d&","card":"CANARY"}',
    '\ufeff{"a":"&card=d&","card":"CANARY"}',
    ' \r\n\t{"a":"&card=d&","card":"CANARY"}',
    '/* c */{"a":"&card=d&","card":"CANARY"}',
    '// c\n{"a":"&card=d&","card":"CANARY"}',
    '# c\n\n/**/ {"a":"&card=d&","card":"CANARY"}',
    '[{"a":"&card=d&","card":"CANARY"}]',
    '[{"a":"&card=d&","card":"CANARY"}]  \n',
    '[{"a":"&card=d&","card":"CANARY"}] // c\n',
    '[{"a":"&card=d&","card":"CANARY"}]/* ] */',
    '%7B"a":"&card=d&","card":"CANARY"}',
    "<m><card>CANARY</card><a>&card=d&</a></m>",
    '<?xml version="1.0"?><m><card>CANARY</card>&card=d&</m>',
    '--X-1\r\nContent-Disposition: form-data; name="card"\r\n\r\nCANARY&card=d&\r\n--X-1--\r\n',
    "{'a':'&card=d&','card':'CANARY'}",
    "{a:`&card=d&`,card:'CANARY'}",
]


@pytest.mark.parametrize("body", JSON_TOO)
@pytest.mark.parametrize("selector", ["form:card", "optional form:card"])
def test_a_form_that_is_something_else_too_is_refused(body: str, selector: str) -> None:
    with pytest.raises(UnsupportedBody) as caught:
        send(seals(selector), a_message(body, headers=FORM))
    assert caught.value.status == 415
    assert "format: json" in (caught.value.detail or "")
    assert "CANARY" not in str(caught.value.detail)


@pytest.mark.parametrize(
    "body",
    [
        "card=4111222233334444",
        "a=%7B%22x%22%3A1%7D&card=4111222233334444",
        'a={"x":1}&card=4111222233334444',
        "card=4111222233334444&note=[1,2]",
        "[a]=b&card=4111222233334444",
        "a[]=1&card=4111222233334444",
        "q=http://a.example/?x=1%26card%3D2&card=4111222233334444",
        "card=4111222233334444&xml=<a/>",
        "note=// not a comment&card=4111222233334444",
        "#=1&card=4111222233334444",
        "card=4111222233334444&code=/*{*/",
        "-x=1&card=4111222233334444",
    ],
)
def test_an_honest_form_is_sealed(body: str) -> None:
    out = sent(seals("form:card"), a_message(body, headers=FORM))
    assert b"4111222233334444" not in out


def test_a_form_of_which_names_are_listed_is_none_of_json_either() -> None:
    rule = a_rule(request=a_block(plain=["form:card"]), names=NAMES)
    with pytest.raises(UnsupportedBody):
        send(rule, a_message('{"card":"CANARY"}', headers=FORM))


def test_a_form_of_which_nothing_is_sealed_may_be_anything() -> None:
    rule = a_rule(request=a_block(decrypt=["optional form:card"]), names=NAMES)
    assert sent(rule, a_message('{"card":"x"}', headers=FORM)) == b'{"card":"x"}'


@given(st.text(st.sampled_from('{}[]&=;"/*# \n%7Bcard<-a'), max_size=20))
def test_no_form_that_passes_sealed_begins_as_json_does(text: str) -> None:
    try:
        send(seals("optional form:card"), a_message(text, headers=FORM))
    except MessageError:
        return
    bare = text.lstrip()
    assert not bare.startswith("{")
    assert not (bare.startswith("[") and bare.rstrip().endswith("]"))


# --- what is taken for one format and holds a comment for another ---------------------------------


@pytest.mark.parametrize(
    ("selector", "headers"),
    [
        ("$.card", JSON_TYPE),
        ("$.card", ((b"Content-Type", b"application/x-ndjson"),)),
        ("$.card", ((b"Content-Type", b"application/json-seq"),)),
        ("$.card", EVENTS),
        ("form:card", FORM),
        ("part:card", PARTS),
    ],
)
def test_no_format_takes_a_body_that_is_json_with_comments(selector: str, headers: Headers) -> None:
    inner = {
        "form:card": "&card=d&",
        "part:card": '\r\n--X-1\r\nContent-Disposition: form-data; name="card"\r\n\r\nd\r\n'
        "--X-1--\r\n",
    }.get(selector, '\ndata: {"card":"d"}\n\n')
    for hidden in (inner, '\n{"card":"d"}\n', '\x1e{"card":"d"}\n'):
        for begin, end in (("{/*", '*/"card":"CANARY"}'), ("/*", '*/{"card":"CANARY"}')):
            for changes in ({}, {"types": ("*/*",)}):
                rule = seals(selector, **changes)
                with pytest.raises(MessageError):
                    send(rule, a_message(begin + hidden + end, headers=headers))


def test_a_form_in_parts_has_nothing_around_them() -> None:
    part = '--X-1\r\nContent-Disposition: form-data; name="card"\r\n\r\nd\r\n--X-1--'
    for before, after in (("{/*\r\n", ""), ("", '\r\n*/"card":"CANARY"}'), ("x=1\r\n", "")):
        with pytest.raises(InvalidBody):
            send(seals("part:card"), a_message(before + part + after, headers=PARTS))


# --- JSON under the type of forms ----------------------------------------------------------------

SAYS_JSON = [{"format": "json"}, {"types": ("application/x-www-form-urlencoded",)}]


@pytest.mark.parametrize("changes", SAYS_JSON)
@pytest.mark.parametrize(
    "hidden",
    [
        *("&card=CANARY", "&card=CANARY&", ";card=CANARY;", "&c%61rd=CANARY", "&card[]=CANARY"),
        *("& card=CANARY", "&Card=CANARY", "&card%00=CANARY", "&x=1;card=CANARY"),
    ],
)
def test_json_that_is_a_form_too_has_no_pair_of_a_selected_name(
    changes: dict[str, object], hidden: str
) -> None:
    body = f'{{"a":"{hidden}","card":"d"}}'
    for selector in ("$.card", "optional $.card", "$.card.number"):
        with pytest.raises(MessageError):
            send(seals(selector, **changes), a_message(body, headers=FORM))


@pytest.mark.parametrize("changes", SAYS_JSON)
@pytest.mark.parametrize(
    "note",
    [
        "http://a.example/?x=1&y=2&cards=3",
        "Tom & Jerry; cardinals",
        "if (a && b) { card; }",
        "<p>&nbsp;&lt;card&gt;</p>",
        "100% &c%zz=1",
    ],
)
def test_honest_json_under_the_type_of_forms_is_sealed(
    changes: dict[str, object], note: str
) -> None:
    body = f'{{"a":"{note}","card":"4111222233334444"}}'
    out = sent(seals("$.card", **changes), a_message(body, headers=FORM))
    assert b"4111222233334444" not in out
    assert note.encode() in out


RECORDS = [
    ("ndjson", "%s\n"),
    ("json-seq", "\x1e%s\n"),
    ("sse", "data: %s\n\n"),
]


@pytest.mark.parametrize(("kind", "record"), RECORDS)
@pytest.mark.parametrize("hidden", ["&card=CANARY", ";card=CANARY;", "&c%61rd=CANARY&"])
def test_records_that_are_a_form_too_have_no_pair_of_a_selected_name(
    kind: str, record: str, hidden: str
) -> None:
    whole = record % '{"card":"d"}'
    for body in (record % f'{{"card":"d","a":"{hidden}"}}', whole + record % f'{{"{hidden}":1}}'):
        for selector in ("$.card", "optional $.card", "$..card"):
            with pytest.raises(MessageError) as caught:
                send(seals(selector, format=kind, nothing="pass"), a_message(body, headers=FORM))
            assert caught.value.reason in {"name-in-form", "missing-value"}
    honest = record % '{"card":"4111222233334444","a":"x & y; z=1"}'
    assert b"4111222233334444" not in sent(
        seals("$.card", format=kind), a_message(honest, headers=FORM)
    )


@pytest.mark.parametrize("changes", SAYS_JSON)
def test_json_that_is_a_form_too_has_no_pair_with_a_selected_name_within(
    changes: dict[str, object],
) -> None:
    for hidden in ("&a[card]=CANARY&", "&a.card=CANARY"):
        for selector in ("$.*.card", "$..card"):
            body = f'{{"q":{{"card":"d","x":"{hidden}"}}}}'
            with pytest.raises(ForbiddenValue):
                send(seals(selector, **changes), a_message(body, headers=FORM))


@pytest.mark.parametrize(("kind", "record"), RECORDS)
def test_records_under_the_type_of_forms_are_read_whole(kind: Kind, record: str) -> None:
    rule = seals("$.card", format=kind)
    for headers, type_ in ((FORM, ReadRequest), (TEXT, StreamRecords)):
        message = a_message(record % '{"card":"d"}', headers=headers)
        exchange = Trip((rule,), message).exchange
        assert isinstance(treat_request(exchange, None, 1 << 24), type_)


def test_declared_json_may_hold_pairs() -> None:
    body = '{"note":"http://a.example/?x=1&card=2","card":"4111222233334444"}'
    assert b"4111222233334444" not in sent(seals("$.card"), a_message(body))


def test_more_pairs_than_a_form_may_have_are_refused() -> None:
    body = '{"a":"' + "&" * 10_000 + '","card":"d"}'
    with pytest.raises(BodyTooLarge):
        send(seals("$.card", format="json"), a_message(body, headers=FORM))


# --- packets that are no events ------------------------------------------------------------------

TEXT: Headers = ((b"Content-Type", b"text/plain;charset=UTF-8"),)


@pytest.mark.parametrize(
    "selector", ["$[1].content", "optional $[1].content", "optional $..content"]
)
@pytest.mark.parametrize(
    "packet",
    [
        *(
            '40{"content":"CANARY"}',
            '40/chat,{"content":"CANARY"}',
            '40{"a":[{"content":"CANARY"}]}',
        ),
        *('40{"Content":"CANARY"}', '40{"cont_ent":"CANARY"}', '40{"c\\u006fntent":"CANARY"}'),
        *('40{"content.x":"CANARY"}', '40{"__proto__":{"content":"CANARY"}}', '40"CANARY"'),
        *(
            '44{"message":"CANARY"}',
            '44"CANARY"',
            '0{"sid":"CANARY"}',
            '40{"token":"a"}\x1e44"CANARY"',
        ),
        '40{"token":"' + "x" * 70_000 + '"}',
    ],
)
def test_no_other_packet_of_a_client_carries_what_an_event_would(
    selector: str, packet: str
) -> None:
    rule = seals(selector, format="socketio", nothing="pass")
    for body in (packet, f'42["m",{{"content":"d"}}]\x1e{packet}'):
        with pytest.raises(MessageError):
            send(rule, a_message(body, headers=TEXT))


@pytest.mark.parametrize(
    "packet",
    [
        *(
            "40",
            '40{"token":"eyJhbGciOiJIUzI1NiJ9.e30.x"}',
            '40/chat,{"user":{"id":7}}',
            "41",
            "41/chat,",
        ),
        *("2", "3", "2probe", "5", "40{}", '42["m",{"content":"d"}]', '431[{"ok":true}]'),
    ],
)
def test_what_clients_say_to_begin_and_end_passes(packet: str) -> None:
    rule = seals("optional $[1].content", format="socketio", nothing="pass")
    send(rule, a_message(packet, headers=TEXT))


@pytest.mark.parametrize(
    ("packet", "passes"),
    [
        ('0{"sid":"a","upgrades":[],"pingInterval":1}', True),
        ('40{"sid":"a"}', True),
        ('44{"message":"not allowed"}', True),
        ('44{"message":"no","data":{"content":"CANARY"}}', False),
    ],
)
def test_a_server_whose_events_are_sealed_opens_and_refuses_as_ever(
    packet: str, *, passes: bool
) -> None:
    block = replace(a_block(encrypt=["optional $[1].content"]), format="socketio", nothing="pass")
    rule = a_rule(response=block, names=NAMES)
    if passes:
        assert replied(rule, packet, a_response(headers=TEXT)) == packet.encode()
    else:
        with pytest.raises(MessageError):
            replied(rule, packet, a_response(headers=TEXT))


def test_where_nothing_is_sealed_any_packet_passes() -> None:
    rule = a_rule(request=replace(a_block(decrypt=["optional $[1].content"]), format="socketio"))
    assert sent(rule, a_message('40{"content":"x"}', headers=TEXT)) == b'40{"content":"x"}'


def test_a_packet_is_asked_for_names_of_its_arrays_alone() -> None:
    rule = seals("$[1].content", "header:X-Room", format="socketio", nothing="pass")
    headers = (*TEXT, (b"X-Room", b"a"))
    body = '40{"x-room":"a"}\x1e42["m",{"content":"4111222233334444"}]'
    out = sent(rule, a_message(body, headers=headers))
    assert out.startswith(b'40{"x-room":"a"}\x1e42["m",{"content":"eyJ')


def test_a_line_that_is_a_field_of_ones_own_passes() -> None:
    body = 'trace: 1\ndata: {"card":"4111222233334444"}\n\n'
    out = sent(seals("$.card", format="sse"), a_message(body, headers=EVENTS))
    assert out.startswith(b"trace: 1\ndata: ")
