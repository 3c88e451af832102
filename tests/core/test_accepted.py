"""What lax writers send: refused, unless the rule accepts it, and then forwarded as it came."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.core.errors import MessageError, UpstreamFailed
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Block, Names, Rule
from tests.factories import Trip, a_block, a_message, a_response, a_rule, an_item, sent

MARK = b"\xef\xbb\xbf"
BODY = b'{"conversationId":"c1","content":"hello","n":1}'
PLAIN = a_block(encrypt=["$.content"], plain=["$.n", "$.conversationId"])


def taking(*accept: str, block: Block = PLAIN) -> Rule:
    return a_rule(request=replace(block, accept=frozenset(accept)))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("byte-order-mark", MARK + BODY),
        ("nan", BODY.replace(b"1}", b"NaN}")),
        ("nan", BODY.replace(b"1}", b"Infinity }")),
        ("nan", BODY.replace(b"1}", b"-Infinity}")),
        ("lone-surrogates", BODY.replace(b"1}", rb'"a\ud83d"}')),
        ("lone-surrogates", BODY.replace(b"1}", rb'"\\\ude00\ud83d\ude00"}')),
    ],
)
@pytest.mark.parametrize("others", ["refuse", "seal", "pass"])
def test_what_a_rule_accepts_is_forwarded_as_it_came(name: str, body: bytes, others: str) -> None:
    block = replace(PLAIN, others=others)  # type: ignore[arg-type]  # one of the three
    with pytest.raises(MessageError):
        sent(taking(block=block), a_message(body))

    got = sent(taking(name, block=block), a_message(body))

    before, after = body.split(b'"hello"')
    assert got.startswith(before + b'"eyJ')
    assert got.endswith(after)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("nan", b'{"conversationId":"c1","content":NaN}'),
        ("nan", b'{"conversationId":NaN,"content":"a"}'),
        ("nan", b'{"conversationId":"c1","content":[NaN]}'),
        ("nan", b'{"conversationId":"c1","content":"a","n":nan}'),
        ("nan", b'{"conversationId":"c1","content":"a","n":+Infinity}'),
        ("nan", b'{"conversationId":"c1","content":"a","n":-NaN}'),
        ("nan", b'{"conversationId":"c1","content":"a","n":1NaN}'),
        ("nan", b'{"conversationId":"c1","content":"a","n":NaN1}'),
        ("nan", b'{"conversationId":"c1","content":"a","n":Infinitye1}'),
        ("nan", b'{NaN:1,"conversationId":"c1","content":"a"}'),
        ("lone-surrogates", rb'{"conversationId":"c1","content":"\ud800"}'),
        ("lone-surrogates", rb'{"conversationId":"c\udfff","content":"a"}'),
        ("lone-surrogates", rb'{"conversationId":"c1","content":"a","cont\ud800ent":"b"}'),
        ("byte-order-mark", MARK + MARK + BODY),
        ("byte-order-mark", BODY + MARK),
    ],
)
@pytest.mark.parametrize("others", ["refuse", "pass"])
def test_no_value_or_name_that_the_rule_reads_has_it(name: str, body: bytes, others: str) -> None:
    block = replace(PLAIN, others=others)  # type: ignore[arg-type]  # one of the two
    with pytest.raises(MessageError):
        sent(taking(name, block=block), a_message(body))


@pytest.mark.parametrize("value", [b"NaN", rb'"a\ud800"'])
def test_what_would_be_sealed_unlisted_has_it_neither(value: bytes) -> None:
    block = replace(PLAIN, others="seal")
    body = BODY.replace(b"}", b',"more":' + value + b"}")
    with pytest.raises(MessageError):
        sent(taking("nan", "lone-surrogates", block=block), a_message(body))


def test_a_condition_is_not_met_by_it() -> None:
    when = Condition(parse_json_selector("$.n"), frozenset({text_value("send")}))
    block = replace(PLAIN, when=(when,))
    with pytest.raises(MessageError):
        sent(
            taking("lone-surrogates", block=block),
            a_message(BODY.replace(b"1}", rb'"send\ud800"}')),
        )


def test_text_in_strings_is_no_number() -> None:
    body = BODY.replace(b"1}", rb'"\"NaN, Infinity"}')
    assert b"NaN, Infinity" in sent(taking("nan"), a_message(body))


FORM = b"multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nan", b"NaN"),
        ("nan", b"Infinity"),
        ("nan", b"-Infinity"),
        ("lone-surrogates", rb'"\ud83d"'),
    ],
)
def test_what_readers_differ_over_chooses_no_block(name: str, value: bytes) -> None:
    sealing = replace(PLAIN, when=(Condition(parse_json_selector("$.n"), frozenset({b"1"})),))
    accept = frozenset({name})
    passing = a_block(plain=["$.n", "$.conversationId", "$.content"])
    blocks = (replace(sealing, accept=accept), replace(passing, accept=accept))
    rule = replace(taking(name), request=blocks)

    assert sent(rule, a_message(BODY)) != BODY
    assert sent(rule, a_message(BODY.replace(b"1}", b"2}"))) == BODY.replace(b"1}", b"2}")
    with pytest.raises(MessageError, match="lax-value"):
        sent(rule, a_message(BODY.replace(b"1}", value + b"}")))


def test_what_readers_differ_over_may_stand_beside_what_chooses_a_block() -> None:
    when = (Condition(parse_json_selector("$.n"), frozenset({b"1"})),)
    passing = a_block(plain=["$.n", "$.x", "$.conversationId", "$.content"])
    blocks = tuple(
        replace(one, accept=frozenset({"nan"})) for one in (replace(PLAIN, when=when), passing)
    )
    body = BODY.replace(b"1}", b'2,"x":NaN}')

    assert sent(replace(taking("nan"), request=blocks), a_message(body)) == body


PART = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n%b\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("item", "media", "content"),
    [
        ("body", b"application/json", MARK + BODY),
        ("body", b"application/json", b'{"a":NaN}'),
        ("body", b"image/png", b"\x00 NaN \xff"),
        ("text", b"text/plain", MARK + rb"NaN \ud800"),
        ("part:note", FORM, rb"NaN \ud800"),
        ("form:note", b"application/x-www-form-urlencoded", b"NaN"),
    ],
)
def test_what_is_sealed_without_being_read_as_json_stays_what_it_is(
    item: str, media: bytes, content: bytes
) -> None:
    accept = frozenset({"byte-order-mark", "nan", "lone-surrogates"})
    rule = a_rule(
        request=replace(a_block(encrypt=[item]), accept=accept),
        response=replace(a_block(decrypt=[item]), accept=accept),
        names=Names(tenant=parse_source("const:t"), conversation=parse_source("const:c")),
    )
    body = PART % content if item == "part:note" else content
    body = b"note=" + content if item == "form:note" else body
    trip = Trip((rule,), a_message(body, headers=((b"Content-Type", media),)))
    done = trip.request().forwardable
    assert content not in (done.body or b"")
    kept = done.frame.media_type
    stored = media if kept is None else kept.encode()
    back = trip.response(done.body or b"", a_response(headers=((b"Content-Type", stored),)))
    assert back is not None
    assert back.forwardable.body == body


@pytest.mark.parametrize("charset", ["ISO-8859-1", "us-ascii", "windows-1252", "latin1", "ascii"])
def test_a_charset_that_is_ascii_anyway_is_accepted(charset: str) -> None:
    headers = ((b"Content-Type", f'application/json; charset="{charset}"'.encode()),)
    assert sent(taking("ascii-charset"), a_message(BODY, headers=headers))


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("iso-8859-1", BODY.replace(b"1}", '"é"}'.encode("latin-1"))),
        ("iso-8859-1", BODY.replace(b"1}", '"é"}'.encode())),
        ("utf-16", BODY),
        ("utf-7", BODY),
        ("shift_jis", BODY),
        ("ibm037", BODY),
    ],
)
def test_a_charset_that_says_something_else_is_refused(charset: str, body: bytes) -> None:
    headers = ((b"Content-Type", f"application/json; charset={charset}".encode()),)
    with pytest.raises(MessageError):
        sent(taking("ascii-charset"), a_message(body, headers=headers))


@pytest.mark.parametrize(("value", "taken"), [(b"caf%65", True), (b"caf%E9", False)])
def test_a_form_is_ascii_where_what_it_encodes_is(value: bytes, *, taken: bool) -> None:
    block = a_block(encrypt=[an_item("form:content", bind=["tenant"])])
    rule = taking("ascii-charset", block=block)
    form = (b"Content-Type", b"application/x-www-form-urlencoded; charset=ISO-8859-1")
    message = a_message(b"content=a&more=" + value, headers=(form,))
    if taken:
        assert sent(rule, message)
        return
    with pytest.raises(MessageError):
        sent(rule, message)


def answers(*accept: str, body: str) -> object:
    """Return what becomes of an answer whose end is that of its connection."""
    block = replace(a_block(decrypt=["$.content"]), accept=frozenset(accept))
    trip = Trip((a_rule(request=a_block(encrypt=["$.content"]), response=block),), a_message())
    token = json.loads(trip.request().forwardable.body or b"")["content"]
    treatment = treat_response(trip.exchange, a_response(), delimited=False)
    assert isinstance(treatment, ReadResponse)
    applied = trip.response(body.replace("TOKEN", token))
    return None if applied is None else json.loads(applied.forwardable.body or b"")


def test_json_that_ends_with_its_connection_shows_its_end() -> None:
    with pytest.raises(UpstreamFailed, match="response-not-delimited"):
        answers(body='{"content":"TOKEN"}')
    assert answers("undelimited", body='{"content":"TOKEN"}') == {"content": "hello"}
    for cut in ('{"content":"TOKEN"', '{"content":"TOK', '[{"content":"TOKEN"}'):
        with pytest.raises(MessageError):
            answers("undelimited", body=cut)
