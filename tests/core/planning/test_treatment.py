"""How a message is treated, by its head: what every lane is told, and told alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.crypto import sealed_stream
from proxy.core.errors import RejectedByRule, UnsupportedBody, UpstreamFailed
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers, ResponseHead
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.mistyped_response import Look
from proxy.core.planning.treatment import (
    PASS,
    READ_REQUEST,
    HeadOnly,
    LookAt,
    ReadResponse,
    ResponseTreatment,
    StreamBody,
    StreamRecords,
    as_it_arrives,
    treat_request,
    treat_response,
    treat_seen,
)
from proxy.core.rules.model import Names, Rule, Verdict
from tests.factories import Trip, a_block, a_message, a_response, a_rule

LIMIT = 100_000
NAMES = Names(parse_source("const:clinic"), parse_source("const:c1"))
EVENTS: Headers = ((b"Content-Type", b"text/event-stream"),)
LINES: Headers = ((b"Content-Type", b"application/x-ndjson"),)
FORM: Headers = ((b"Content-Type", b"multipart/form-data; boundary=x"),)
TEXT: Headers = ((b"Content-Type", b"text/plain"),)
STREAM: Headers = ((b"Content-Type", sealed_stream.MEDIA_TYPE.encode()),)
MALFORMED: Headers = ((b"Content-Type", b"nonsense"),)
READS = a_rule(response=a_block(decrypt=["$.v"]), names=NAMES)
OPENS = a_rule(response=a_block(decrypt=["body"]), names=NAMES)


def an_exchange(*rules: Rule, headers: Headers = ()) -> Exchange:
    return Trip(rules, a_message(b"", headers=headers)).exchange


def arriving(rule: Rule, headers: Headers, length: int | None) -> object:
    exchange, head = an_exchange(rule), a_response(headers=headers)
    treatment = treat_response(exchange, head, length=length)
    assert not isinstance(treatment, LookAt)
    return as_it_arrives(treatment, head, length, LIMIT)


def block(treatment: object) -> object:
    return getattr(treatment, "block", None)


def test_a_request_that_no_rule_reads_passes() -> None:
    assert treat_request(an_exchange(), None, LIMIT) is PASS
    assert treat_request(an_exchange(READS), None, LIMIT) is PASS


@pytest.mark.parametrize("length", [None, LIMIT, LIMIT + 1])
def test_a_request_of_json_is_read_whole_whatever_its_length(length: int | None) -> None:
    exchange = an_exchange(a_rule(request=a_block(encrypt=["$.v"])))

    assert treat_request(exchange, length, LIMIT) is READ_REQUEST


def test_a_request_that_fits_no_block_is_read_whole_so_that_planning_refuses_it() -> None:
    rule = a_rule(request=a_block(encrypt=["part:v"], types=("multipart/form-data",)))

    assert treat_request(an_exchange(rule, headers=TEXT), None, LIMIT) is READ_REQUEST


def test_a_long_request_of_records_is_a_stream_and_a_short_one_is_read() -> None:
    exchange = an_exchange(a_rule(request=a_block(encrypt=["$.v"])), headers=LINES)

    assert treat_request(exchange, LIMIT, LIMIT) is READ_REQUEST
    for length in (None, LIMIT + 1):
        treatment = treat_request(exchange, length, LIMIT)
        assert isinstance(treatment, StreamRecords)
        assert treatment.kind == "ndjson"


@pytest.mark.parametrize(("length", "flows"), [(None, True), (LIMIT + 1, True), (LIMIT, False)])
def test_a_long_form_in_a_request_is_changed_while_it_passes(
    length: int | None, *, flows: bool
) -> None:
    exchange = an_exchange(a_rule(request=a_block(encrypt=["part:v"]), names=NAMES), headers=FORM)

    assert isinstance(treat_request(exchange, length, LIMIT), StreamBody) is flows


def test_a_request_of_a_malformed_type_is_refused_where_its_type_decides() -> None:
    exchange = an_exchange(a_rule(request=a_block(encrypt=["$.v"])), headers=MALFORMED)

    assert treat_request(exchange, LIMIT, LIMIT) is READ_REQUEST
    with pytest.raises(UnsupportedBody):
        treat_request(exchange, None, LIMIT)


def test_a_response_that_no_block_reads_passes() -> None:
    sealing = a_rule(request=a_block(encrypt=["$.v"]))

    for exchange in (an_exchange(), an_exchange(sealing)):
        assert treat_response(exchange, a_response()) is PASS
    assert treat_response(an_exchange(READS), a_response(headers=FORM)) is PASS


def test_a_rule_that_rejects_responses_rejects_them_all() -> None:
    exchange = an_exchange(a_rule(response=Verdict.REJECT))

    for bodiless in (False, True):
        with pytest.raises(RejectedByRule):
            treat_response(exchange, a_response(), bodiless=bodiless)


def test_a_response_without_a_body_is_changed_in_its_head_alone() -> None:
    rule = a_rule(response=a_block(decrypt=["header:x-name"]))

    def treated(rule: Rule) -> ResponseTreatment:
        return treat_response(an_exchange(rule), ResponseHead(204, b"", ()), bodiless=True)

    assert isinstance(treated(rule), HeadOnly)
    assert treated(READS) is PASS


@pytest.mark.parametrize(
    ("status", "media"), [(206, b"application/json"), (200, b"Multipart/ByteRanges; boundary=x")]
)
def test_partial_content_is_refused_where_a_rule_may_read_it(status: int, media: bytes) -> None:
    head = a_response(status, ((b"Content-Type", media),))

    with pytest.raises(UpstreamFailed) as caught:
        treat_response(an_exchange(READS), head)
    assert caught.value.reason == "unexpected-partial-content"
    assert treat_response(an_exchange(), head) is PASS


def test_what_may_have_been_truncated_is_not_read_but_for_server_sent_events() -> None:
    exchange = an_exchange(READS)

    with pytest.raises(UpstreamFailed) as caught:
        treat_response(exchange, a_response(), delimited=False)
    assert caught.value.reason == "response-not-delimited"
    events = treat_response(exchange, a_response(headers=EVENTS), delimited=False)
    assert isinstance(events, ReadResponse)


def test_a_response_that_arrives_is_a_stream_where_it_can_be_one() -> None:
    assert isinstance(arriving(READS, EVENTS, None), StreamRecords)
    assert isinstance(arriving(READS, EVENTS, 10), ReadResponse)
    assert isinstance(arriving(OPENS, STREAM, None), StreamBody)
    assert isinstance(arriving(OPENS, STREAM, 10), ReadResponse)
    assert arriving(READS, FORM, None) is PASS


def test_a_mistyped_response_is_looked_at_and_then_treated_by_what_was_seen() -> None:
    exchange, head = an_exchange(OPENS), a_response(headers=TEXT)
    treatment = treat_response(exchange, head)
    assert isinstance(treatment, LookAt)

    def seen(body: bytes) -> tuple[ResponseHead, object]:
        look = Look(treatment.block, head, None, LIMIT)
        look.feed(body)
        look.end()
        return treat_seen(exchange, head, look)

    assert seen(b"nothing sealed") == (head, PASS)
    read, after = seen(sealed_stream.MAGIC)
    assert after == ReadResponse(treatment.block)
    assert read.facts != head.facts


def test_a_block_that_is_chosen_is_the_same_for_all_ways() -> None:
    exchange, head = an_exchange(replace(READS)), a_response(headers=EVENTS)
    treatment = treat_response(exchange, head)
    assert isinstance(treatment, ReadResponse)

    assert block(as_it_arrives(treatment, head, None, LIMIT)) is treatment.block
