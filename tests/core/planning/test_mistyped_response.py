"""What a body is shows in its bytes, whole or while it comes."""

from __future__ import annotations

import gzip
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.block import CompiledBlock
from proxy.core.crypto import sealed_stream
from proxy.core.crypto.context import Context
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.planning.mistyped_response import (
    JSON,
    LINES,
    Look,
    holds_sealed,
    is_exact,
    may_be_mistyped,
    shape_of,
    typed_by_look,
)
from proxy.core.policy import PIECE_BYTES
from proxy.core.rules.model import Block, Names, Part
from proxy.core.slices import pausing
from proxy.core.transform import pass_response
from tests.core.explained import explain_response
from tests.core.json_texts import documents
from tests.factories import SCOPE, Trip, a_block, a_message, a_response, a_rule, a_session, an_item

BIND: tuple[Part, ...] = ("tenant", "conversation")
NAMES = Names(parse_source("const:clinic"), parse_source("const:c1"))
TOKEN = a_session().seal(b"opened", Context(SCOPE))
OPENS = a_block(decrypt=[an_item("tokens", bind=BIND)])
BODIES = a_block(decrypt=[an_item("body", bind=BIND)])
SIZE = 100_000


def compiled(block: Block = OPENS) -> CompiledBlock:
    return CompiledBlock(block, NAMES, "response")


def head_of(media: str | None, *more: tuple[bytes, bytes]) -> Headers:
    return more if media is None else ((b"Content-Type", media.encode()), *more)


def look(
    *pieces: bytes,
    block: Block = OPENS,
    told: bool = False,
    limit: int = SIZE,
    end: bool = True,
    headers: Headers = (),
) -> Look:
    """Return a look at a body of some pieces."""
    length = sum(map(len, pieces)) if told else None
    made = Look(compiled(block), a_response(headers=headers), length, limit)
    for piece in pieces:
        made.feed(piece)
    if end:
        made.end()
    return made


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (b"", "more"),
        (b" \r\n", "more"),
        (b"hello", "never"),
        (b"<p>", "never"),
        (b"12", "never"),
        (b"[", "more"),
        (b'{"a":tru', "more"),
        (b'{"a":"b\\u00', "more"),
        (b'{"a":"unterminated and much longer than an escape', "more"),
        (b'{"a":1}', "whole"),
        (b'{"a":\n1}\n', "whole"),
        (b'"x"\n', "whole"),
        (b'{"a":1}\n', "lines"),
        (b'{"a":1}\n{"a"', "lines"),
        (b'{"a":1}\nno JSON', "lines"),
        (b'{"a":1} {"a":1}', "never"),
        (b"[2027-01-01 10:00:00] begun\n", "never"),
        (b"{ color: red }             ", "never"),
        (b"[" * 100_000, "never"),
    ],
)
def test_a_beginning_tells_what_may_follow(text: bytes, shape: str) -> None:
    assert shape_of(text) == shape


@pytest.mark.parametrize("padding", [0, SIZE])
def test_a_number_of_any_length_is_a_number(padding: int) -> None:
    for number in (b"1" * 5000, b"-1." + b"1" * 5000, b"1e" + b"1" * 5000):
        text = b'["' + b"x" * padding + b'",{"n":' + number
        assert shape_of(text) == "more"
        assert shape_of(text + b"}]") == "whole"
        assert look(text + b"}]", told=True, limit=2 * SIZE).passes


@pytest.mark.no_cover
@pytest.mark.parametrize("element", [b"[]", b"{}", b"1", b'"a"', b'{"a":[1]}'])
def test_a_long_beginning_is_looked_at_in_pieces(element: bytes) -> None:
    text = b"[" + b",".join([element] * (2 * SIZE // len(element)))
    pauses = 0

    def pause() -> None:
        nonlocal pauses
        pauses += 1

    with pausing(pause):
        assert shape_of(text) == "more"
        assert pauses > len(text) // PIECE_BYTES
        assert shape_of(text + b"]") == "whole"
        assert shape_of(text + b"] no JSON") == "never"
        assert shape_of(text + b",no") == "more"  # it is held until all of it has come
        assert shape_of(b"[" + text[1:].replace(b",", b" ")) == "never"


def test_a_long_text_is_what_its_beginning_is() -> None:
    assert shape_of(b"[2027-01-01 10:00:00] begun\n" * SIZE) == "never"
    assert shape_of(b"[1]" + b" " * SIZE) == "whole"
    assert shape_of(b"[1]" + b" " * SIZE + b"x") == "never"
    assert shape_of(b'["' + b"x" * SIZE + b'",' + b"[" * SIZE) == "never"


@pytest.mark.no_cover
def test_what_has_as_many_values_as_json_may_have_is_read() -> None:
    assert shape_of(b'["' + b"x" * SIZE + b'"' + b",[]" * 499_000) == "more"


def test_what_has_more_values_than_json_may_have_is_not_read() -> None:
    text = b'["' + b"x" * SIZE + b'"'
    assert shape_of(text + b",[]" * 500_001) == "never"
    assert shape_of(text + b",0" * 1_000_001) == "never"


@given(documents(), st.integers(0, 200))
def test_no_beginning_of_json_is_taken_for_none(text: str, cut: int) -> None:
    body = text.encode()
    assert shape_of(b"[" + body[:cut]) != "never"
    assert shape_of(b"[" + body + b"]") in {"whole", "lines"}


def test_a_whole_body_with_something_sealed_is_read_as_what_it_is() -> None:
    for told in (True, False):
        assert look(b'{"a":\n"%b"}' % TOKEN, told=told).media == JSON
        assert look(b'["', TOKEN, b'"]', told=told).media == JSON
        assert look(b'{"a":"%b"}\n[1]\n' % TOKEN, told=told).media == LINES
        for other in (b"", b"hello", TOKEN, b'{"a":1}'):
            assert look(other, told=told).passes
    # Where a length is told all of it is waited for, and one line that is none leaves it.
    assert look(b'{"a":"%b"}\nx' % TOKEN, told=True).passes
    assert look(b'{"a":1}\n' * 40_000 + b'["%b"]' % TOKEN, told=True, limit=10**6).passes


def test_a_look_ends_as_soon_as_it_can_tell() -> None:
    assert look(b"hello", end=False).passes
    assert look(b'{"a":1}\n', end=False).media == LINES
    assert not look(b'{"a":1}\n', end=False, told=True).over
    assert not look(b'{"a":', b"1", end=False).over
    assert look(b"[", b"x" * 50, end=False).passes
    assert look(b"[", b'"' + b"x" * SIZE, end=False).passes
    assert look(b'["%b"]' % (b"x" * SIZE), told=True, end=False).passes
    late = look(b"hello", b'["%b"]' % TOKEN)
    assert (late.media, late.seen) == (None, b'hello["%b"]' % TOKEN)


def test_frames_and_tokens_are_known_by_how_they_begin() -> None:
    context = Context(SCOPE, kind="stream")
    begun, sealer = sealed_stream.begin(a_session(), context, "text/plain")
    framed = begun + sealer.update(b"x") + sealer.finish()
    for told in (True, False):
        assert look(framed[:3], framed[3:], block=BODIES, told=told, end=False).media == (
            sealed_stream.MEDIA_TYPE.encode()
        )
        assert look(TOKEN[:4], TOKEN[4:], block=BODIES, told=told).media == b"application/jose"
        assert look(TOKEN + b"!", block=BODIES, told=told).passes
        assert look(b"x" * 20, block=BODIES, told=told, end=False).passes
        assert look(b"x", block=BODIES, told=told).passes
    assert look(framed, block=BODIES, limit=5, end=False).media == sealed_stream.MEDIA_TYPE.encode()
    assert look(TOKEN, b"x" * 140_000, block=BODIES, limit=10**6, end=False).passes
    assert holds_sealed(framed)


def test_a_value_that_the_backend_decoded_is_known_by_its_mark() -> None:
    text = b64encode(b"x" * 200_000)  # longer than a token of a body
    value = b64decode(a_session().seal(text, Context(SCOPE), form="base64"))
    for told in (True, False):
        assert look(value[:5], value[5:], block=BODIES, told=told, limit=10**6).media == (
            b"application/jose"
        )
        assert look(value[:40], block=BODIES, told=told).passes  # a mark, and no token behind it
    assert not look(value, block=BODIES, limit=10**6, end=False).over
    assert look(value, block=BODIES).passes
    assert holds_sealed(value)


def test_coded_bodies_are_looked_into_where_they_have_an_end() -> None:
    coded = gzip.compress(b'["%b"]' % TOKEN)
    gzipped = ((b"Content-Encoding", b"gzip"),)
    assert look(coded, headers=gzipped, told=True).media == JSON
    assert look(coded[:-9], headers=gzipped, told=True).passes
    assert look(coded, headers=gzipped, end=False).passes
    assert look(coded, headers=((b"Content-Encoding", b"rot13"),), told=True, end=False).passes


@pytest.mark.parametrize(
    "media", ["text/plain", "text/json", "application/octet-stream", "text/html", None, "nonsense"]
)
def test_a_lax_type_may_be_wrong(media: str | None) -> None:
    trip = Trip((a_rule(response=OPENS, names=NAMES),), a_message())

    assert may_be_mistyped(trip.exchange, a_response(headers=head_of(media))) is not None


@pytest.mark.parametrize(
    "media",
    [
        *("image/png", "video/mp4", "multipart/mixed; boundary=x", "application/grpc", "text/css"),
        *("text/event-stream", "application/json", "application/x-ndjson"),
        "text/plain; charset=utf-16",
    ],
)
def test_a_type_that_tells_is_believed(media: str) -> None:
    trip = Trip((a_rule(response=OPENS, names=NAMES),), a_message())

    assert may_be_mistyped(trip.exchange, a_response(headers=head_of(media))) is None


@pytest.mark.parametrize(
    "media", ["image/png", "application/json", "text/event-stream", "application/pdf", None]
)
def test_a_sealed_body_may_have_any_type(media: str | None) -> None:
    rules = (a_rule(response=(OPENS, BODIES), names=NAMES),)
    trip, head = Trip(rules, a_message()), a_response(headers=head_of(media))

    found = may_be_mistyped(trip.exchange, head)

    assert found is not None
    # What tokens may be in is JSON, which is sent without a type but not as a picture.
    assert (found.block is OPENS) == (media is None)
    assert is_exact(head) == (media is not None)
    assert not is_exact(a_response(headers=((b"Content-Type", b"a/b"), (b"Content-Type", b"a/b"))))


@pytest.mark.parametrize(
    "beginning", [b"SYST\x02", b"sy2.", b"eyJ0eXAiOiJKV1Qi", b"\x89PNG", b": a\n\n", b"s"]
)
def test_what_begins_otherwise_passes_with_its_first_other_byte(beginning: bytes) -> None:
    made = Look(compiled(BODIES), a_response(), None, SIZE)
    for at in range(1, len(beginning)):
        made.feed(beginning[at - 1 : at])
    made.feed(beginning[-1:])

    assert made.passes == (beginning != b"s")


@pytest.mark.parametrize(
    "block",
    [
        replace(OPENS, types=("application/json",)),
        replace(BODIES, types=("application/jose",)),
        replace(OPENS, format="json"),
        replace(OPENS, statuses=((404, 404),)),
        a_block(decrypt=[an_item("form:a", bind=BIND)]),
        a_block(decrypt=[an_item("text", bind=BIND)]),
        a_block(encrypt=[an_item("$.a", bind=BIND)]),
    ],
)
def test_what_a_rule_says_of_its_responses_is_heeded(block: Block) -> None:
    trip = Trip((a_rule(response=block, names=NAMES),), a_message())

    assert may_be_mistyped(trip.exchange, a_response(headers=head_of("text/plain"))) is None


def test_what_may_have_been_cut_is_not_read() -> None:
    made = Look(compiled(), a_response(), None, SIZE, reads=False)

    made.feed(b'["%b"]' % TOKEN)

    assert (made.media, made.passes, holds_sealed(made.seen)) == (None, True, True)


def test_nothing_is_looked_at_without_a_rule() -> None:
    trip = Trip((), a_message())

    assert may_be_mistyped(trip.exchange, a_response()) is None


@pytest.mark.parametrize("media", ["text/html", None, "text/plain", "a/b; =", "text/plain "])
def test_what_is_read_keeps_the_type_that_it_came_with(media: str | None) -> None:
    trip = Trip((a_rule(response=OPENS, names=NAMES),), a_message())
    head = a_response(headers=head_of(media, (b"X-A", b"b")))
    body = b'["%b"]' % a_session().seal(b"<b>", Context(SCOPE))
    seen = look(body, headers=head.headers)

    read, chosen = typed_by_look(trip.exchange, head, seen)

    assert chosen is not None
    assert read.headers == head.headers
    assert read.facts[b"content-type"] == [JSON]
    explained = explain_response(trip.exchange, head, body)
    assert [one.action for one in explained.values] == ["opened"]
    page = media in {"text/html", None, "a/b; ="}
    assert read.facts.as_page == page
    assert typed_by_look(trip.exchange, head, look(b"x")) == (head, None)
    assert explain_response(trip.exchange, head, b"hello").outgoing == b"hello"


def test_what_passes_unread_is_marked() -> None:
    trip = Trip((a_rule(response=OPENS, names=NAMES),), a_message())
    head = a_response(headers=head_of("text/plain"))

    for unread, marks in ((True, ((b"Sealyard-Unread", b"1"),)), (False, ())):
        passed = pass_response(trip.exchange, head, bodiless=False, unread=unread)
        assert passed.frame.added_headers == marks


def test_a_look_tells_how_much_has_come() -> None:
    made = Look(compiled(), a_response(), None, SIZE)
    made.feed(b'{"a":')
    made.feed(b"1}")

    assert made.size == 7
