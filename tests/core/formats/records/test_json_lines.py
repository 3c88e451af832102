"""NDJSON and JSON text sequences: each record with values and names of its own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    MissingValue,
    OpenFailed,
    SealyardError,
    UnsupportedBody,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.planning.block_choice import choose_response
from proxy.core.policy import MOST_SELECTED
from proxy.core.rules.model import Names, Rule
from proxy.core.transform import Applied, plan_request
from tests.core.explained import explain_request
from tests.core.json_texts import documents, literals
from tests.factories import (
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    keys_for,
    send,
    sent,
    with_block,
)

NDJSON = ((b"Content-Type", b"application/x-ndjson"),)
SEQUENCE = ((b"Content-Type", b"application/json-seq"),)
SEAL = a_rule(request=a_block(encrypt=["$.v"]))
OPEN = a_rule(request=a_block(decrypt=["$.v"]))
TOKENS_ITEM = an_item("tokens", bind=["tenant", "conversation"])
CONST = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
TOKENS = a_rule(request=a_block(decrypt=[TOKENS_ITEM]), names=CONST)


def through(rule: Rule, body: bytes | str, headers: Headers = NDJSON) -> bytes:
    return sent(rule, a_message(body, headers=headers))


def a_token(text: str, *, cty: str | None = None) -> str:
    return a_session().seal(text.encode(), Context(Scope("clinic", "c1")), cty=cty).decode()


values = (
    documents(literals)
    .filter(lambda one: one != "null")
    .map(lambda one: one.replace("\n", " ").replace("\r", " "))
)
rests = documents(literals).map(lambda one: one.replace("\n", " ").replace("\r", " "))
names = st.sampled_from(["c1", "c2", "é"])
gaps = st.sampled_from(["\n", "\r\n", "\n\n", " \n", "\n \t\n"])


@pytest.mark.no_cover
@given(
    st.lists(st.tuples(names, values, rests, gaps), min_size=1, max_size=4),
    st.sampled_from(["", "\n"]),
)
def test_e13_values_come_back_and_no_other_byte_of_a_line_changes(
    records: list[tuple[str, str, str, str]], end: str
) -> None:
    block = replace(a_block(encrypt=["$.v"]), case_variants_allowed=True)
    rule = a_rule(request=block)
    body = "".join(
        f'{{"conversationId":"{name}","v": {value} ,"rest":{rest}}}{gap}'
        for name, value, rest, gap in records
    )
    body = body.rstrip() + end

    sealed = through(rule, body).decode()

    left = sealed
    for name, _, rest, _ in records:
        before, after = f'{{"conversationId":"{name}","v": "', f'" ,"rest":{rest}}}'
        left = left.lstrip(" \t\r\n")
        assert left.startswith(before + "eyJ0eXAiOiJzeTEi")
        left = left[len(before) :].partition('"')[2]
        assert left.startswith(after[1:])
        left = left[len(after) - 1 :]
    assert not left.strip()
    opened = through(OPEN, sealed).decode()
    assert [json.loads(one) for one in body.split("\n") if one.strip()] == [
        json.loads(one) for one in opened.split("\n") if one.strip()
    ]
    assert body.count("\n") == sealed.count("\n") == opened.count("\n")


def test_e14_values_of_a_sequence_come_back() -> None:
    body = '\x1e{"conversationId":"c1",\n "v": [1,\n2]}\n\x1e\x1e{"conversationId":"c2","v":"b"}\n'

    sealed = through(SEAL, body, SEQUENCE)

    assert sealed.count(b"eyJ0eXAiOiJzeTEi") == 2
    assert sealed.startswith(b'\x1e{"conversationId":"c1",\n "v": "eyJ')
    assert body.encode() == through(OPEN, sealed, SEQUENCE)


@pytest.mark.parametrize(
    "kind",
    ["application/x-ndjson", "Application/JSONL; charset=utf-8", "application/jsonlines"],
)
def test_lines_are_known_by_their_types(kind: str) -> None:
    body = '{"conversationId":"c1","v":1}\n{"conversationId":"c1","v":2}'

    assert through(SEAL, body, ((b"Content-Type", kind.encode()),)).count(b'"eyJ') == 2


def test_sequences_are_known_by_their_suffix() -> None:
    geo = ((b"Content-Type", b"application/geo+json-seq"),)

    assert b'"eyJ' in through(SEAL, '\x1e{"conversationId":"c1","v":1}\n', geo)


def test_each_record_is_bound_to_its_own_names() -> None:
    body = '{"conversationId":"c1","v":"a"}\n{"conversationId":"c2","v":"b"}'
    lines = through(SEAL, body).decode().split("\n")
    swapped = "\n".join(line.replace("c1", "x").replace("c2", "c1") for line in lines[1:])

    with pytest.raises(OpenFailed):
        through(OPEN, swapped)


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        ('{"conversationId":"c1","v":1}\n{"conversationId":"c1"}', NDJSON, MissingValue),
        ('{"conversationId":"c1","v":1}\n{"conversationId":"c1","v":null}', NDJSON, MissingValue),
        ('{"conversationId":"c1","v":1}\n{"v":2}', NDJSON, MissingValue),
        ('{"conversationId":"c1","v":1}\n[]', NDJSON, MissingValue),
        ("\n", NDJSON, MissingValue),
        ("", NDJSON, MissingValue),
        ("\x1e", SEQUENCE, MissingValue),
        (
            '{"conversationId":"c1","v":1}\n{"conversationId":"c1","V":2,"v":1}',
            NDJSON,
            ForbiddenValue,
        ),
        ('{"conversationId":"c1","v":1}\n{"conversationId":"c1","v":1,"v":2}', NDJSON, InvalidBody),
        ('{"conversationId":"c1","v":1}{"conversationId":"c1","v":1}', NDJSON, InvalidBody),
        ('{"conversationId":"c1","v":1}\r{"conversationId":"c1","v":1}', NDJSON, InvalidBody),
        ('{"conversationId":"c1",\n"v":1}', NDJSON, InvalidBody),
        ('{"conversationId":"c1","v":1,"x":[\r{"v":2}\r]} \r\n', NDJSON, InvalidBody),
        ('\ufeff{"conversationId":"c1","v":1}', NDJSON, InvalidBody),
        ('\x1e{"conversationId":"c1","v":1}\n', NDJSON, InvalidBody),
        ("x\n", NDJSON, InvalidBody),
        ('{"conversationId":"c1","v":1}\n', SEQUENCE, InvalidBody),
        (' \x1e{"conversationId":"c1","v":1}', SEQUENCE, InvalidBody),
        ('\x1e{"conversationId":"c1","v":1', SEQUENCE, InvalidBody),
        ('\x1e{"conversationId":"c1","v":1}\n{"v":2}\n', SEQUENCE, InvalidBody),
        ("\n" * 30_001, NDJSON, BodyTooLarge),
        ("\x1e" * 30_001, SEQUENCE, BodyTooLarge),
    ],
)
def test_what_readers_could_take_otherwise_is_refused(
    body: str, headers: Headers, error: type[SealyardError]
) -> None:
    with pytest.raises(error):
        through(SEAL, body, headers)


def test_another_charset_is_refused() -> None:
    typed = ((b"Content-Type", b"application/x-ndjson; charset=utf-16"),)

    with pytest.raises(UnsupportedBody):
        through(SEAL, '{"conversationId":"c1","v":1}', typed)


def test_all_records_together_hold_no_more_values_than_one_body_may() -> None:
    rule = with_block(a_rule(request=a_block(encrypt=["$.v.*"])), max_values=MOST_SELECTED)
    record = '{"conversationId":"c1","v":[' + ",".join(["1"] * 15_001) + "]}\n"

    assert through(rule, record)
    with pytest.raises(BodyTooLarge):
        through(rule, record * 2)


def test_optional_values_may_be_missing_in_some_records() -> None:
    rule = a_rule(request=a_block(encrypt=["optional $.v"]))
    body = '{"a":1}\n{"conversationId":"c1","v":1}\n'

    assert through(rule, body).startswith(b'{"a":1}\n{"conversationId":"c1","v":"eyJ')
    assert through(rule, "\n") == b"\n"


def test_tokens_open_in_every_record() -> None:
    text = f'{{"a":"Re: {a_token("é")}"}}\n[]\n["{a_token("x")}"]'

    assert through(TOKENS, text).decode() == '{"a":"Re: é"}\n[]\n["x"]'


def test_opened_json_stays_on_its_line_and_as_it_was_in_a_sequence() -> None:
    token = a_token('{\r\n"a": 1\n}', cty="json")

    assert through(TOKENS, f'["{token}"]\n1') == b'[{  "a": 1 }]\n1'
    assert through(TOKENS, f'\x1e["{token}"]\n', SEQUENCE) == b'\x1e[{\r\n"a": 1\n}]\n'


def test_one_record_that_does_not_open_refuses_all() -> None:
    sealed = through(SEAL, '{"conversationId":"c1","v":"a"}\n').decode()

    with pytest.raises(OpenFailed):
        through(OPEN, sealed + '{"conversationId":"c1","v":"plain"}\n')


def answered(rule: Rule, request: str, response: str, kind: Headers = NDJSON) -> Applied | None:
    trip = Trip((rule,), a_message(request, headers=NDJSON))
    trip.request()
    return trip.response(response, a_response(headers=kind))


def test_names_are_kept_for_the_answer_where_all_records_agree() -> None:
    answer = a_block(decrypt=["$.v"], types=("application/x-ndjson",))
    rule = a_rule(request=a_block(encrypt=["$.v"]), response=answer)
    one = '{"conversationId":"c1","v":"a"}\n'
    sealed = through(SEAL, one).decode()

    applied = answered(rule, one * 2, sealed * 2)

    assert applied is not None
    assert applied.forwardable.body == (one * 2).encode()
    with pytest.raises(MissingValue):
        answered(rule, one + one.replace("c1", "c2"), sealed)


def test_e15_responses_are_read_as_records_where_selectors_read_them() -> None:
    opening = a_rule(response=a_block(decrypt=[TOKENS_ITEM]), names=CONST)
    sealing = a_rule(response=a_block(encrypt=["$.v"]), names=CONST)

    for rule in (opening, sealing):
        trip = Trip((rule,), a_message())
        assert choose_response(trip.exchange, a_response(headers=NDJSON)) is not None


def test_a_selected_header_takes_no_name_from_a_record() -> None:
    item = an_item("header:title", field="title")
    headers = (*NDJSON, (b"Title", b"t"))
    record = '{"conversationId":"c1","v":1}\n'

    sealed = send(
        a_rule(request=a_block(encrypt=["$.v", item]), names=CONST),
        a_message(record, headers=headers),
    )
    assert sealed.counts == {"sealed": 2}
    with pytest.raises(MissingValue):
        through(a_rule(request=a_block(encrypt=["$.v", item])), record, headers)


def test_records_are_explained_with_their_values_masked() -> None:
    body = b'{"v":"CANARY"}\n{"v":"CANARY"}\n'
    rule = a_rule(request=a_block(encrypt=["$.v"]), names=CONST)
    message = a_message(body, headers=NDJSON)

    told, _ = explain_request(
        RuleTable((rule,), pass_unmatched=True), message.head, canonical("/api/messages"), body
    )

    assert [(one.start, one.end) for one in told.values] == [(5, 13), (20, 28)]
    assert told.outgoing is not None
    assert b"CANARY" not in told.outgoing


def test_every_record_asks_for_the_keys_of_its_conversation() -> None:
    trip = Trip((SEAL,), a_message())
    body = b'{"conversationId":"c1","v":1}\n{"conversationId":"c2","v":1}'

    plan = plan_request(Trip((SEAL,), a_message(body, headers=NDJSON)).exchange, body)

    assert {scope.conversation for scope in plan.needs.seals} == {"c1", "c2"}
    assert keys_for(plan.needs).sealing
    assert trip.exchange.facts == {}
