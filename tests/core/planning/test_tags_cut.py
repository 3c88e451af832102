"""Answers that no rule reads lose their tags, in whatever pieces they come."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import UpstreamFailed
from proxy.core.formats.token_places import without_tags
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.tags_cut import TagsCut, refuse_uncuttable
from proxy.core.planning.treatment import PASS
from proxy.core.policy import PIECE_BYTES
from proxy.core.rules.model import Verdict
from proxy.core.search.model import WordsIndex
from proxy.core.transform import pass_request, pass_response, prepare_response
from tests.factories import a_block, a_response, a_rule, an_item

TOKEN = b"eyJ0eXAiOiJzeTEiLCJhbGciOiJkaXIifQ.." + b"i" * 16 + b"." + b"c" * 30 + b"." + b"t" * 22
SHORT = b"sy1.A" + b"s" * 90
WORDS = b"~abcde~fghij~"
EXACT = b"~" + b"k" * 27 + b"~"
TEXTS = [
    TOKEN, SHORT, WORDS, EXACT, b"~abcd", b"~", b'"tags"', b'"tags":"', b'"', b" : ", b"e", b"sy1.",
    b"eyJ0", b" sy1.A", b"\n", b"{", b"a", b",",
]  # fmt: skip
MEMBERS = frozenset({"tags", "t"})


def passed(pieces: list[bytes], members: frozenset[str] = MEMBERS) -> bytes:
    flow = TagsCut(members)
    return b"".join([*map(flow.feed, pieces), flow.end()])


@given(st.lists(st.sampled_from(TEXTS), max_size=12), st.lists(st.integers(0, 400), max_size=6))
@example([TOKEN, WORDS, b'"', b'"tags":"', WORDS, b'"'], [95, 121, 140])
@example([SHORT, EXACT], [94, 95, 96])
def test_a_body_in_pieces_loses_what_it_would_lose_as_a_whole(
    texts: list[bytes], cuts: list[int]
) -> None:
    body = b"".join(texts)
    places = [0, *sorted(min(one, len(body)) for one in cuts), len(body)]
    pieces = [body[one:other] for one, other in itertools.pairwise(places)]
    assert passed(pieces) == passed([body])
    for token in (TOKEN, SHORT):
        assert token + WORDS not in passed(pieces)


@pytest.mark.parametrize("token", [TOKEN, SHORT])
@pytest.mark.parametrize("tags", [WORDS, EXACT])
@pytest.mark.parametrize("behind", [b'"', b"", b"~", b" ~abcde~", b"x"])
def test_it_cuts_what_is_cut_from_answers_that_are_read(
    token: bytes, tags: bytes, behind: bytes
) -> None:
    body = b'{"tags":"~abcde~", "x": "~abcde~", "content":"' + token + tags + behind
    assert passed([body]) == without_tags(body, MEMBERS)
    assert passed([bytes((one,)) for one in body]) == without_tags(body, MEMBERS)


@pytest.mark.parametrize("token", [TOKEN, SHORT])
@pytest.mark.parametrize("tags", [WORDS, EXACT + EXACT[1:]])
@pytest.mark.parametrize("mark", [b"~", b"%7E", b"%7e", b"%257E", b"%25257e"])
def test_a_preview_that_ends_within_tags_has_none_of_them(
    token: bytes, tags: bytes, mark: bytes
) -> None:
    spelled = tags.replace(b"~", mark)
    ends = range(len(mark), len(spelled) + 1)
    for end, behind in itertools.product(ends, (b"", b'"', b"...", b"&page=2")):
        body = token + spelled[:end] + behind
        assert without_tags(body, frozenset()) == token + behind
        assert passed([body]) == passed([body[:-3], body[-3:]]) == token + behind


SPELLINGS = [
    lambda one: bytes((one,)),
    lambda one: b"\\u%04x" % one,
    lambda one: b"\\u%04X" % one,
    lambda one: b"\\\\u%04x" % one,
    lambda one: b"\\" * 8 + b"u%04x" % one,
    lambda one: b"\\x%02X" % one,
    lambda one: b"&#%d;" % one,
    lambda one: b"&#x%x;" % one,
    lambda one: b"&#X0%X;" % one,
    lambda one: b"&amp;#%d;" % one,
    lambda one: b"%%%02X" % one,
    lambda one: b"%%25%02x" % one,
]
"""A character in a text, a string of JSON or a script, HTML, a link, and in each within itself."""
GROUPS = [WORDS, EXACT, WORDS + WORDS, WORDS + EXACT, EXACT + WORDS + b"~klmno~", WORDS + EXACT[1:]]


@given(
    st.sampled_from([TOKEN, SHORT]),
    st.sampled_from(GROUPS),
    st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=4),
    st.sampled_from([b"", b'"', b"</p>", b"\\n", b"&lt;", b" and", b"%20is", b"\\u003c"]),
    st.lists(st.integers(0, 900), max_size=6),
)
def test_no_tag_leaves_however_its_characters_are_spelled(
    token: bytes,
    tags: bytes,
    spellings: list[Callable[[int], bytes]],
    behind: bytes,
    cuts: list[int],
) -> None:
    how = itertools.cycle(spellings)
    # Letters and digits need no escape anywhere; `.`, `_`, `-` and `~` get one from thorough ones.
    shown = b"".join(next(how)(one) if one in b"._-" else bytes((one,)) for one in token)
    body = b"<p>" + shown + b"".join(next(how)(one) for one in tags)
    left = b"<p>" + shown + behind
    assert without_tags(body + behind) == left
    places = [0, *sorted(min(one, len(body)) for one in cuts), len(body + behind)]
    pieces = [(body + behind)[one:other] for one, other in itertools.pairwise(places)]
    assert passed(pieces) == left


@given(st.sampled_from(GROUPS), st.sampled_from(SPELLINGS[:3]), st.booleans())
def test_what_a_json_string_says_has_no_tags(
    tags: bytes,
    spelled: Callable[[int], bytes],
    own: bool,  # noqa: FBT001 - drawn
) -> None:
    token = b"" if own else TOKEN
    tags = WORDS if own else tags
    body = b'{"tags": "%b%b", "n\\u00e9": "\\u0007e"}' % (token, b"".join(map(spelled, tags)))
    left = json.loads(without_tags(body, MEMBERS))
    assert left == {"tags": token.decode(), "n\u00e9": "\u0007e"}
    assert json.loads(passed([body[:70], body[70:]])) == left


def test_a_long_body_is_read_as_a_short_one() -> None:
    one = TOKEN + b"\\u007eabcde&#126;" + b"," * (PIECE_BYTES - 180) + b"\\" * 300 + b"%7,"
    assert without_tags(one * 5) == one.replace(b"\\u007eabcde&#126;", b"") * 5
    assert passed([one] * 5) == one.replace(b"\\u007eabcde&#126;", b"") * 5


@pytest.mark.parametrize(
    "behind",
    [b"~Ann", b"~ ~", b"~well-known", b"~x_y", b"%20is", b"%7Bx", b"\\u007eAnn", b"&#126;x_y"],
)
def test_a_text_beside_a_token_that_is_no_tag_stays(behind: bytes) -> None:
    for token in (TOKEN, SHORT):
        body = b" ".join((token + behind, token))
        left = body.replace(b"~ ~", b" ~")
        assert passed([body]) == without_tags(body, MEMBERS) == left


def test_records_are_not_held_back() -> None:
    flow = TagsCut(MEMBERS)
    record = b'data: {"tags":"~abcde~","content":"' + TOKEN + WORDS + b'"}\n\n'
    for _ in range(2):
        assert flow.feed(record) == without_tags(record, MEMBERS)
    assert flow.end() == b""


def test_what_is_held_back_has_an_end() -> None:
    flow = TagsCut(MEMBERS)
    assert flow.feed(TOKEN + b"~" + b"a" * 2 * PIECE_BYTES)
    assert len(flow.feed(b'"tags":' + b" " * 2 * PIECE_BYTES)) > PIECE_BYTES
    assert TagsCut(frozenset()).length(0) == 0
    assert TagsCut(frozenset()).length(5) is None
    assert passed([TOKEN + WORDS, b'"tags":"~abcde~"'], frozenset()) == TOKEN + b'"tags":"~abcde~"'


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, ()),
        (200, ((b"Content-Type", b"multipart/byteranges; boundary=x"),)),
        (200, ((b"Content-Type", b"application/json; charset=UTF-16"),)),
        (200, ((b"Content-Encoding", b"gzip"),)),
    ],
)
def test_what_cannot_be_cut_is_refused(
    status: int, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    with pytest.raises(UpstreamFailed, match="tags-not-cut"):
        refuse_uncuttable(a_response(status, headers=headers))
    refuse_uncuttable(a_response(headers=((b"Content-Encoding", b"identity"),)))


INDEXED = a_rule(
    "POST /m", request=a_block(encrypt=[replace(an_item("$.content"), index=WordsIndex())])
)
PASSES = a_rule("GET /m", response=Verdict.PASS)


@pytest.mark.parametrize("path", ["/m", "/unruled"])
def test_an_answer_that_no_rule_reads_passes_through_it(path: str) -> None:
    table = RuleTable((INDEXED, PASSES), pass_unmatched=True)
    head = RequestHead("GET", path, None, ())
    exchange, answer = Exchange(table.decide("GET", canonical(path)), head), a_response()
    request = pass_request(exchange)
    assert request.frame.ruled  # neither ranges nor codings
    message = pass_response(exchange, answer, bodiless=False)
    assert message.flow is not None
    assert message.frame.ruled
    assert pass_response(exchange, answer, bodiless=True).flow is None
    assert prepare_response(exchange, PASS, answer) is None


def test_rules_that_index_nothing_let_answers_pass_as_they_are() -> None:
    observing = replace(INDEXED, observes=True)
    table = RuleTable((observing, PASSES), pass_unmatched=True)
    exchange = Exchange(table.decide("GET", canonical("/m")), RequestHead("GET", "/m", None, ()))
    message = pass_response(exchange, a_response(), bodiless=False)
    assert (message.flow, message.frame.ruled) == (None, False)
    assert prepare_response(exchange, PASS, a_response()) is not None
