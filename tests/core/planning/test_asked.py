"""What the backend is asked for a name that a request lacks, and what its answer tells."""

from __future__ import annotations

import gzip
import json
from urllib.parse import parse_qsl, unquote

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import Decision
from proxy.core.errors import (
    AmbiguousRequest,
    AskNotFound,
    AskRefused,
    BodyTooLarge,
    InvalidBody,
    MissingValue,
    UpstreamFailed,
)
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import AskSource, SameSource, parse_ask, parse_source
from proxy.core.http.message import Headers, RequestHead
from proxy.core.planning.asked import example, name_in, question, told
from proxy.core.planning.exchange import Exchange
from proxy.core.policy import ASKED_NAME_CHARS, ASKED_TARGET_CHARS
from proxy.core.rules.model import Names, Rule
from tests.factories import JSON_TYPE, Trip, a_block, a_message, a_response, a_rule

LIMIT = 4096
ANSWER = b'{"room":"c1"}'
TARGET = "/notes/{id}/text?view={query:view}&f=room"
CANARY = b"canary-5e11"


def an_ask(target: str = "/notes/{id}", select: str = "$.room") -> AskSource:
    return parse_ask(f"GET {target}", parse_json_selector(select))


def an_exchange(
    captures: dict[str, str] | None = None, query: str | None = None, headers: Headers = ()
) -> Exchange:
    """Return an exchange that no rule takes, with the names of a path."""
    head = RequestHead("PATCH", "/changes", query, headers)
    return Exchange(Decision(None, {"id": "n0"} if captures is None else captures), head)


def asked_path(name: str) -> str:
    return question(an_exchange({"id": name}), an_ask()).path


def a_view(name: str) -> str:
    """Return a query that has a name, every byte of it encoded."""
    return "view=" + "".join(f"%{byte:02X}" for byte in name.encode())


ODD = st.text(st.sampled_from("a.%2F/\\;?#&= \r\né"), max_size=6)
NAMES = ODD | st.text(max_size=12)


@given(label=NAMES, view=NAMES)
def test_a_name_changes_nothing_of_the_target_but_its_own_segment(label: str, view: str) -> None:
    exchange = an_exchange({"id": label}, a_view(view))
    try:
        asked = question(exchange, an_ask(TARGET))
    except (AmbiguousRequest, MissingValue):
        assert not label or not view or set(label) & set("./\\;")
        return
    before, segment, *behind = asked.path.removeprefix("/").split("/")
    assert (before, behind) == ("notes", ["text"])
    assert unquote(segment) == label
    assert segment not in {"", ".", ".."}
    assert not set("/\\;") & set(label)
    assert (asked.path + (asked.query or "")).isprintable()
    assert not set("?#") & set(asked.path)
    assert parse_qsl(asked.query or "", strict_parsing=True) == [("view", view), ("f", "room")]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="./\\;"), min_size=1))
def test_a_name_without_special_characters_is_always_asked_for(name: str) -> None:
    assert unquote(asked_path(name)) == f"/notes/{name}"


@pytest.mark.parametrize(
    "name", [".", "..", "a/b", "/", "a\\b", "\\", "a;x=1", "..%2Fx", "a%2F..%2Fb", "\n/\n"]
)
def test_a_label_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(AmbiguousRequest):
        asked_path(name)


@pytest.mark.parametrize("name", [".", "..", "a/b", "a\\b", "a;x=1", "..%2Fx"])
def test_a_parameter_leads_nowhere_and_may_be_any_text(name: str) -> None:
    asked = question(an_exchange(query=a_view(name)), an_ask("/notes?view={query:view}"))
    assert asked.path == "/notes"
    assert parse_qsl(asked.query or "") == [("view", name)]


@pytest.mark.parametrize("name", ["...", "a.b", ".a", "a%20b", "a:b", "a@b", "+"])
def test_a_label_that_only_looks_odd_is_encoded(name: str) -> None:
    assert unquote(asked_path(name)) == f"/notes/{name}"


def test_a_name_that_the_request_lacks_itself_is_needed() -> None:
    with pytest.raises(MissingValue, match="asked-missing"):
        question(an_exchange(), an_ask(TARGET))
    with pytest.raises(MissingValue, match="asked-missing"):
        question(an_exchange({}, "view=1"), an_ask(TARGET))
    for query in ("view=", "view"):
        with pytest.raises(MissingValue, match="empty-name"):
            question(an_exchange(query=query), an_ask(TARGET))
    with pytest.raises(AmbiguousRequest, match="name-stands-twice"):
        question(an_exchange(query="view=1&view=1"), an_ask(TARGET))


@pytest.mark.parametrize("target", ["/notes/{id}", "/{id}?f=room", "/notes?f={query:view}"])
def test_a_target_has_a_longest_length(target: str) -> None:
    fixed = len(target.replace("{id}", "").replace("{query:view}", "").replace("?", ""))
    most = "x" * (ASKED_TARGET_CHARS - fixed)
    asked = question(an_exchange({"id": most}, f"view={most}"), an_ask(target))
    assert len(asked.path + (asked.query or "")) == ASKED_TARGET_CHARS
    with pytest.raises(MissingValue, match="asked-too-long"):
        question(an_exchange({"id": f"{most}x"}, f"view={most}x"), an_ask(target))


def test_a_query_may_begin_with_a_name() -> None:
    asked = question(an_exchange(query=a_view("x")), an_ask("/notes?{query:view}&f=room"))
    assert asked.query == "x&f=room"


def test_a_target_without_a_query_asks_without_one() -> None:
    assert question(an_exchange(query="view=1"), an_ask()).query is None


def test_a_question_has_what_tells_who_asks_and_nothing_of_the_message() -> None:
    who = (
        (b"Authorization", b"Bearer a"),
        (b"Cookie", b"s=1"),
        (b"X-Key", b"k"),
        (b"Host", b"a"),
        (b"Accepted-By", b"b"),
    )
    of_message = (
        (b"Content-Type", b"application/json"),
        (b"content-length", b"12"),
        (b"Content-Encoding", b"gzip"),
        (b"If-Match", b"*"),
        (b"IF-NONE-MATCH", b"*"),
        (b"Accept", b"text/html"),
        (b"Accept-Encoding", b"br"),
        (b"Range", b"bytes=0-0"),
        (b"Idempotency-Key", b"1"),
        (b"Prefer", b"return=minimal"),
        (b"Want-Digest", b"sha-256"),
    )
    mixed = tuple(one for pair in zip(who, of_message, strict=False) for one in pair)
    asked = question(an_exchange(headers=(*mixed, *of_message[len(who) :])), an_ask())
    assert asked.method == "GET"
    assert asked.headers == (*who, (b"Accept", b"application/json"))


def asking(*encrypt: str) -> Rule:
    names = Names(tenant=parse_source("const:t"), conversation=SameSource(an_ask()))
    return a_rule("PATCH /notes/{id}", request=a_block(encrypt=encrypt), names=names)


def asked_headers(rule: Rule, *headers: tuple[bytes, bytes]) -> set[bytes]:
    message = a_message(
        '{"text":"a"}', method="PATCH", target="/notes/n0", headers=(*JSON_TYPE, *headers)
    )
    exchange = Trip((rule,), message).exchange
    (source,) = exchange.asks
    return {name for name, _ in question(exchange, source).headers} - {b"Accept"}


@pytest.mark.parametrize("spelling", [b"x-subject", b"X-SUBJECT", b"X_Subject"])
def test_a_header_that_is_sealed_does_not_ask(spelling: bytes) -> None:
    own = ((spelling, CANARY), (b"X-Subjects", b"a"))
    assert asked_headers(asking("$.text", "header:x-subject"), *own) == {b"X-Subjects"}
    assert asked_headers(asking("$.text"), *own) == {spelling, b"X-Subjects"}


def test_a_header_is_not_what_a_parameter_of_its_name_is() -> None:
    assert asked_headers(asking("$.text", "query:subject"), (b"Subject", b"a")) == {b"Subject"}


SELECTORS = [
    "$.room",
    "$.data.room",
    "$.rows[0].room",
    "$.rows[2][1]",
    "$.rows[*].room",
    "$.*",
    "$..room",
    "$.meta json: $.room",
    "$['a \"b']",
]


@pytest.mark.parametrize("select", SELECTORS)
@given(name=st.text(min_size=1, max_size=ASKED_NAME_CHARS))
def test_an_example_is_an_answer_with_the_name(select: str, name: str) -> None:
    source = an_ask(select=select)
    assert name_in(source, example(source.selector, name)) == name


def test_an_example_has_nothing_but_the_name() -> None:
    def made(select: str) -> object:
        return json.loads(example(parse_json_selector(select), "c"))

    assert made("$.rows[2].room") == {"rows": [None, None, {"room": "c"}]}
    assert made("$.rows[*].room") == {"rows": [{"room": "c"}]}
    assert made("$.meta json: $.room") == {"meta": '{"room":"c"}'}


@given(status=st.integers(100, 599))
@hypothesis.example(status=404)
@hypothesis.example(status=410)
@hypothesis.example(status=403)
def test_only_success_tells_a_name(status: int) -> None:
    def answered() -> str:
        return told(an_ask(), a_response(status), ANSWER, LIMIT)

    if status // 100 == 2:
        assert answered() == "c1"
        return
    with pytest.raises(AskRefused) as caught:
        answered()
    assert isinstance(caught.value, AskNotFound) == (status in {404, 410})
    assert caught.value.status == (404 if status in {404, 410} else 403)


def answered(body: bytes, *headers: tuple[bytes, bytes]) -> str:
    return told(an_ask(), a_response(headers=headers), body, LIMIT)


@pytest.mark.parametrize(
    "kind",
    [b"application/json", b"application/problem+json", b"Application/JSON; charset=UTF-8"],
)
def test_an_answer_is_json(kind: bytes) -> None:
    assert answered(ANSWER, (b"Content-Type", kind)) == "c1"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"Content-Type", b"text/html"),),
        ((b"Content-Type", b"application/json; charset=utf-16"),),
        ((b"Content-Type", b"json"),),
        (*JSON_TYPE, *JSON_TYPE),
        (*JSON_TYPE, (b"Content-Encoding", b"other")),
        (*JSON_TYPE, (b"Content-Encoding", b"gzip, gzip")),
        (*JSON_TYPE, (b"Content-Encoding", b"gzip")),
    ],
)
def test_an_answer_that_cannot_be_read_as_json_is_none(headers: Headers) -> None:
    with pytest.raises(UpstreamFailed, match="asked-not-json"):
        answered(ANSWER, *headers)


@pytest.mark.parametrize("body", [b"", b'{"r', b'{"room":"c1"}}', b"room=c1", b"\xff"])
def test_an_answer_that_is_no_json_is_none(body: bytes) -> None:
    with pytest.raises(UpstreamFailed, match="asked-not-json"):
        answered(body, *JSON_TYPE)


def test_an_answer_may_be_compressed_up_to_the_limit() -> None:
    coded = (*JSON_TYPE, (b"Content-Encoding", b"gzip"))
    room = LIMIT - len(ANSWER)
    assert answered(gzip.compress(ANSWER + b" " * room), *coded) == "c1"
    with pytest.raises(BodyTooLarge):
        answered(gzip.compress(ANSWER + b" " * (room + 1)), *coded)
    assert answered(ANSWER, *JSON_TYPE, (b"Content-Encoding", b"identity")) == "c1"


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ('{"room":"c1","id":"n0"}', "c1"),
        ('{"room":7}', "7"),
        ('{"room":-7}', "-7"),
        (json.dumps({"room": "é\n"}), "é\n"),
        (json.dumps({"room": "x" * ASKED_NAME_CHARS}), "x" * ASKED_NAME_CHARS),
        ('{"data":{"ROOM":"c2"},"room":"c1"}', "c1"),
    ],
)
def test_a_name_is_a_text_or_a_whole_number(answer: str, name: str) -> None:
    assert name_in(an_ask(), answer.encode()) == name


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "[]",
        '"c1"',
        '{"data":{"room":"c1"}}',
        '{"room":""}',
        '{"room":null}',
        '{"room":true}',
        '{"room":7.0}',
        '{"room":["c1"]}',
        '{"room":{"room":"c1"}}',
        '{"room":"c1","ROOM":"c2"}',
        '{"Room":"c1"}',
        json.dumps({"room": "x" * (ASKED_NAME_CHARS + 1)}),
    ],
)
def test_what_is_not_one_name_is_none(answer: str) -> None:
    with pytest.raises(UpstreamFailed, match="asked-names-none"):
        name_in(an_ask(), answer.encode())


@pytest.mark.parametrize("other", ["c1", "c2"])
def test_a_name_that_stands_twice_is_none(other: str) -> None:
    answer = f'{{"room":"c1","room":"{other}"}}'.encode()
    with pytest.raises(InvalidBody):
        name_in(an_ask(), answer)
    with pytest.raises(UpstreamFailed):
        answered(answer, *JSON_TYPE)


VALUES = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "1", "c1"])


@given(st.lists(VALUES, max_size=4))
def test_several_places_tell_a_name_only_where_they_agree(values: list[object]) -> None:
    answer = json.dumps([{"room": one} for one in values]).encode()
    # No place has a null; what is neither text nor a whole number is no name.
    names = {"" if isinstance(one, bool) else str(one) for one in values if one is not None}
    try:
        name = name_in(an_ask(select="$[*].room"), answer)
    except UpstreamFailed:
        assert len(names) != 1 or names == {""}
    else:
        assert names == {name}
