"""Searches in sealed values: what the backend is sent, and what stays of its answers."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest

from proxy.core.callers import VerifiedCaller
from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import Form
from proxy.core.errors import (
    CallerMayNotOpen,
    CallerMayNotSearch,
    IndexIncomplete,
    InvalidBody,
    InvalidExpression,
    SealyardError,
    SearchNotSupported,
    SearchTooBroad,
    UpstreamFailed,
)
from proxy.core.explain.describe import describe
from proxy.core.explain.dry_run import assumed_keys, with_trial_sealing
from proxy.core.expressions.selectors import JsonSelector, parse_json_selector, parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.json import FoundValue
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.planning.tags_cut import TagsCut
from proxy.core.rules.audience import CallerAudience, Mask, Shown
from proxy.core.rules.model import Block, Item, KeptResults, Names, Rule
from proxy.core.search.model import ExactIndex, FieldIndex, WordsIndex
from proxy.core.search.queries import FieldSearch
from proxy.core.transform import pass_response
from proxy.core.transform.changed import Applied, apply
from proxy.core.transform.planner import plan_request
from proxy.core.values.key_needs import Unrevoked
from proxy.core.values.sieve import Sieve
from tests.factories import (
    INDEX_KEYS,
    JSON_TYPE,
    NOW,
    USUAL_PARTS,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    an_item,
    forged,
    keys_for,
    sent,
)

WORDS = WordsIndex(skip=frozenset({"the", "of"}))
EMAIL = ExactIndex("email")
FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
NAMES = Names(
    tenant=parse_source("const:clinic"), conversation=parse_source("query:conversationId")
)
SCOPE = Scope("clinic", "c1")


def a_search(selector: str = "query:q", index: FieldIndex = WORDS, field: str = "content") -> Item:
    parsed = parse_selector(selector)
    name = parsed.field if isinstance(parsed, JsonSelector) else getattr(parsed, "field", "")
    sought = FieldSearch(name or "", field, index)
    return Item(parsed, field, frozenset(USUAL_PARTS), optional=True, sought=sought)


def searching(
    *searches: Item,
    items: str = "$.data",
    total: tuple[str, ...] = (),
    decrypt: tuple[str, ...] = ("$.data.*.content",),
    pattern: str = "GET /api/messages",
) -> Rule:
    searches = searches or (a_search(),)
    names = tuple(one.sought.name for one in searches if one.sought is not None)
    keep = KeptResults(parse_json_selector(items), names, tuple(map(parse_json_selector, total)))
    return a_rule(
        pattern,
        names=NAMES,
        request=replace(Block(search=searches), others="refuse", query=frozenset({"page"})),
        response=replace(a_block(decrypt=decrypt), keep=keep),
    )


def a_trip(
    query: str = "q=penicillin",
    rule: Rule | None = None,
    *,
    method: str = "GET",
    body: str = "",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Trip:
    target = f"/api/messages?conversationId=c1&{query}"
    message = a_message(body, method=method, target=target, headers=headers)
    return Trip((rule or searching(),), message)


def asked(trip: Trip, *, indexed: bool = True) -> Applied:
    plan = plan_request(trip.exchange, trip.message.body)
    assert not plan.needs.seals
    keys = keys_for(plan.needs)
    return apply(plan, keys if indexed else replace(keys, standing=Unrevoked()), NOW)


def query_of(done: Applied) -> str:
    head = done.forwardable.head
    assert isinstance(head, RequestHead)
    return head.query or ""


def tag(word: str) -> str:
    return f"~{INDEX_KEYS.word_tags(SCOPE, 'content', [word])[0]}~"


def sealed(text: str, form: Form = "jwe") -> str:
    block = a_block(encrypt=("$.content",))
    block = replace(block, encrypt=tuple(replace(one, form=form) for one in block.encrypt))
    rule = a_rule("POST /api/messages", request=block, names=NAMES)
    body = json.dumps({"content": text})
    message = a_message(body, target="/api/messages?conversationId=c1", headers=JSON_TYPE)
    token: str = json.loads(sent(rule, message))["content"]
    return token


def an_answer(*texts: str, **more: object) -> str:
    elements = [{"id": at, "content": sealed(text)} for at, text in enumerate(texts)]
    return json.dumps({"data": elements, **more})


def answered(trip: Trip, body: str) -> bytes:
    asked(trip)
    done = trip.response(body)
    assert done is not None
    assert done.forwardable.body is not None
    return done.forwardable.body


def ids(body: bytes) -> list[int]:
    return [one["id"] for one in json.loads(body)["data"]]


def test_the_backend_gets_the_tag_of_the_longest_word_that_is_not_skipped() -> None:
    done = asked(a_trip("q=The%20allergy+of+Penicillin&page=2"))
    query = f"conversationId=c1&q={tag('penicillin')}&page=2"
    assert query_of(done) == query
    assert done.counts == {"searched": 1}


def test_of_words_that_are_equally_long_the_first_one_is_sent() -> None:
    done = asked(a_trip("q=two+one"))
    assert query_of(done).endswith(tag("two"))


def test_a_value_that_is_compared_is_sent_as_the_tag_of_its_normal_form() -> None:
    rule = searching(a_search("query:email", EMAIL, "email"), decrypt=("$.data.*.email",))
    done = asked(a_trip("email=Ada@Example.org%20", rule))
    exact = INDEX_KEYS.exact_tag(SCOPE, "email", "ada@example.org")
    assert query_of(done) == f"conversationId=c1&email=~{exact}~"


@pytest.mark.parametrize(
    ("selector", "query", "found"),
    [
        (
            "query:where $.content",
            'where={"content":"penicillin","n":1}',
            '{"content":"TAG","n":1}',
        ),
        (
            "query:where $.content['$regex']",
            'where={"content": {"$regex": "penicillin"}}',
            '{"content": {"$regex": "TAG"}}',
        ),
    ],
)
def test_json_in_a_parameter_is_changed_where_the_value_lies(
    selector: str, query: str, found: str
) -> None:
    rule = with_plain(searching(a_search(selector)), "query:where $.n")
    name, _, text = query.partition("=")
    done = asked(a_trip(f"{name}={quote(text)}", rule))
    expected = found.replace("TAG", tag("penicillin"))
    assert unquote(query_of(done)) == f"conversationId=c1&where={expected}"


def with_plain(rule: Rule, *plain: str) -> Rule:
    (request,) = rule.blocks_of("request")
    selectors = tuple(map(parse_selector, plain))
    return replace(rule, request=(replace(request, plain=selectors),))  # type: ignore[arg-type]  # none is whole


@pytest.mark.parametrize(
    "where",
    [
        '{"content":{"$regex":"penicillin"},"other":"Secret"}',
        '{"other":"Secret"}',
        '{"content":"Secret"}',
        '{"content":{"$regex":"penicillin","$options":"Secret"}}',
        '{"$or":[{"content":{"$regex":"Secret"}}]}',
        '{"n":{"$ne":"Secret"}}',
        '"Secret"',
        "Secret",
        '{"Content":{"$regex":"Secret"}}',
    ],
)
def test_json_in_a_parameter_holds_nothing_else(where: str) -> None:
    rule = with_plain(searching(a_search("query:where $.content['$regex']")), "query:where $.n")
    for spelled in (where, where.replace('"', "%22")):
        with pytest.raises(SealyardError):
            asked(a_trip(f"where={quote(spelled, safe='%')}", rule))
    (request,) = rule.blocks_of("request")
    listing = replace(rule, request=(replace(request, query=frozenset({"page", "where"})),))
    assert asked(a_trip("where=%7B%22other%22:1%7D", listing)).counts == {}


@pytest.mark.parametrize(
    ("selector", "headers", "body", "found"),
    [
        ("form:q", FORM, "q=the+penicillin", "q=TAG"),
        ("form:where $.q", FORM, "where=%7B%22q%22%3A%22penicillin%22%7D", None),
        (
            "$.variables.q",
            JSON_TYPE,
            '{"variables":{"q":"Penicillin"}}',
            '{"variables":{"q":"TAG"}}',
        ),
    ],
)
def test_bodies_are_searched_by_the_same_selectors(
    selector: str, headers: tuple[tuple[bytes, bytes], ...], body: str, found: str | None
) -> None:
    rule = searching(a_search(selector), pattern="QUERY /api/messages")
    trip = a_trip("page=1", rule, method="QUERY", body=body, headers=headers)
    done = asked(trip).forwardable.body
    spelled = tag("penicillin")
    if found is None:
        found, spelled = "where=%7B%22q%22%3A%22TAG%22%7D", spelled.replace("~", "%7E")
    assert done == found.replace("TAG", spelled).encode()


@pytest.mark.parametrize(
    ("query", "error", "reason"),
    [
        ("q=", SearchTooBroad, "no-word-left"),
        ("q=...", SearchTooBroad, "no-word-left"),
        ("q=the+of", SearchTooBroad, "common-words"),
        ("q=a+b+c+d+e+f+g+h+i", SearchTooBroad, "too-many-words"),
        ("q=%E4%BD%A0%E5%A5%BD", SearchNotSupported, "no-word-breaks"),
        *(
            (f"q={one}", SearchNotSupported, "search-operator")
            for one in (
                "penic*", "%22two+words%22", "a%7Cb", "-word", "one+-two", "%2Bword", "wom?n",
                "field:word", "/re/", "one+AND+two", "OR+one", "~ak3f7~", "^one", "100%25", "a=b",
                "(one)", "[a-z]", "a%26%26b", "one%5Cd",
            )
        ),
        ("q=one&q=two", InvalidBody, "duplicate-name"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_for_is_refused(
    query: str, error: type[SealyardError], reason: str
) -> None:
    with pytest.raises(error) as raised:
        asked(a_trip(query))
    assert raised.value.reason == reason


@pytest.mark.parametrize("query", ["q%5B%5D=one", "q%5B$regex%5D=one", "Q=one", "q.x=one"])
def test_another_spelling_of_the_parameter_is_refused(query: str) -> None:
    with pytest.raises(SealyardError):
        asked(a_trip(query))


@pytest.mark.parametrize("query", ["q=what+is+it?", "q=R%26D+urgent!", "q=well-known", "q=10:30"])
def test_marks_beside_words_are_no_operators(query: str) -> None:
    assert asked(a_trip(query)).counts == {"searched": 1}


def test_a_value_without_a_normal_form_is_too_broad() -> None:
    rule = searching(
        a_search("query:phone", ExactIndex("digits"), "phone"), decrypt=("$.data.*.phone",)
    )
    with pytest.raises(SearchTooBroad):
        asked(a_trip("phone=none", rule))


def test_what_is_no_string_is_refused() -> None:
    rule = searching(a_search("$.q"), pattern="QUERY /api/messages")
    trip = a_trip("page=1", rule, method="QUERY", body='{"q":["one"]}', headers=JSON_TYPE)
    with pytest.raises(SearchNotSupported):
        asked(trip)


def test_while_stored_values_have_no_tags_a_search_is_refused() -> None:
    item = a_search()
    assert item.sought is not None
    rule = searching(replace(item, sought=replace(item.sought, refused=True)))
    with pytest.raises(IndexIncomplete):
        asked(a_trip(rule=rule))


def test_without_an_index_secret_nothing_is_searched() -> None:
    with pytest.raises(IndexIncomplete):
        asked(a_trip(), indexed=False)


def test_a_request_that_searches_nothing_gets_all() -> None:
    trip = a_trip("page=1")
    assert ids(answered(trip, an_answer("one", "two"))) == [0, 1]


def test_elements_that_lack_a_word_are_dropped() -> None:
    body = an_answer("Penicillin allergy", "penicillin", "an allergy", "allergy: PENICILLIN!")
    assert ids(answered(a_trip("q=penicillin+allergy"), body)) == [0, 3]


def test_tokens_of_each_form_are_searched() -> None:
    forms: tuple[Form, ...] = ("jwe", "short")
    texts = ((form, text) for text in ("penicillin", "aspirin") for form in forms)
    elements = [{"id": at, "content": sealed(text, form)} for at, (form, text) in enumerate(texts)]
    assert ids(answered(a_trip(), json.dumps({"data": elements}))) == [0, 1]


@pytest.mark.parametrize("stays", [(), (0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("space", ["", " "])
def test_what_is_left_is_json_whatever_is_dropped(stays: tuple[int, ...], space: str) -> None:
    texts = ["penicillin" if at in stays else "aspirin" for at in range(3)]
    body = an_answer(*texts, next=7).replace(", ", f"{space},{space}")
    assert ids(answered(a_trip(), body)) == list(stays)


def test_lists_within_lists_are_each_filtered() -> None:
    rule = searching(items="$.groups.*.data", decrypt=("$.groups.*.data.*.content",))
    groups = [json.loads(an_answer("aspirin", "penicillin")), json.loads(an_answer("aspirin"))]
    found = json.loads(answered(a_trip(rule=rule), json.dumps({"groups": groups})))
    assert [[one["id"] for one in each["data"]] for each in found["groups"]] == [[1], []]


def test_a_total_is_null_where_an_element_was_dropped() -> None:
    rule = searching(total=("$.total", "$.page.count"))
    more = {"total": 2, "page": {"count": 2}}
    found = json.loads(answered(a_trip(rule=rule), an_answer("penicillin", "aspirin", **more)))
    assert (found["total"], found["page"]["count"]) == (None, None)
    found = json.loads(answered(a_trip(rule=rule), an_answer("penicillin", "penicillin", **more)))
    assert (found["total"], found["page"]["count"]) == (2, 2)


def test_all_that_opens_in_a_dropped_element_is_dropped_with_it() -> None:
    rule = searching(decrypt=("$.data.*.content", "$.data.*.content2"))
    elements = [{"id": 0, "content": sealed("aspirin"), "content2": sealed("x")}]
    rule = searching()
    found = answered(a_trip(rule=rule), json.dumps({"data": elements}))
    assert json.loads(found) == {"data": []}


def test_values_are_compared_by_their_normal_form() -> None:
    rule = searching(a_search("query:content", EMAIL), decrypt=("$.data.*.content",))
    body = an_answer("Ada@example.org", "ada@example.com", "")
    assert ids(answered(a_trip("content=ADA@example.org", rule), body)) == [0]


def test_what_has_no_words_has_none_that_is_searched_for() -> None:
    assert ids(answered(a_trip(), an_answer("\u4f60\u597d penicillin"))) == []


def test_what_was_never_sealed_is_searched_as_it_is() -> None:
    rule = searching()
    response = rule.response
    assert isinstance(response, tuple)
    lax = replace(response[0], permissive_until=NOW + 1)
    trip = a_trip(rule=replace(rule, response=(lax,)))
    data = [{"id": 0, "content": "old penicillin"}, {"id": 1, "content": "old"}]
    data += [{"id": 2, "content": sealed("penicillin")}, {"id": 3, "content": 7}]
    assert ids(answered(trip, json.dumps({"data": data}))) == [0, 2]


@pytest.mark.parametrize("spelled", ["~", "\\u007e", "\\u007E"])
def test_links_to_other_pages_have_what_the_client_has_sent(spelled: str) -> None:
    trip = a_trip("q=The+penicillin")
    word = tag("penicillin")
    answer = an_answer(
        "the penicillin",
        next=f"http://h/messages?q={word}&page=2",
        previous=f"http://h/messages?page=0&q={word.replace('~', '%7E')}",
        where=f"http://h/messages?where=%7B%22q%22%3A%22{word}%22%7D",
        query=word,
        near=f"none for '{word}'",
        stored=f"{sealed('x')}{word}",
        listed=[f"{word}abcde~", f"~abcde{word}", f"~{'a' * 27}{word}", f"{word}{'a' * 27}~"],
    )
    found = json.loads(answered(trip, answer.replace("~", spelled)))
    assert found["next"] == "http://h/messages?q=The%20penicillin&page=2"
    assert found["previous"] == "http://h/messages?page=0&q=The%20penicillin"
    assert found["where"] == "http://h/messages?where=%7B%22q%22%3A%22The%20penicillin%22%7D"
    assert found["query"] == "The penicillin"
    assert found["near"] == "none for 'The penicillin'"
    assert all(word in one for one in found["listed"])
    assert "~" not in found["stored"]
    assert "penicillin" not in found["stored"]


def test_headers_that_lead_to_other_pages_have_it_too() -> None:
    trip = a_trip("q=The+penicillin")
    asked(trip)
    link = f'<http://h/messages?q={tag("penicillin")}&page=2>; rel="next"'.encode()
    head = a_response(headers=(*JSON_TYPE, (b"Link", link)))
    done = trip.response(an_answer("the penicillin"), head)
    assert done is not None
    found = done.forwardable.head
    assert isinstance(found, ResponseHead)
    expected = b'<http://h/messages?q=The%20penicillin&page=2>; rel="next"'
    assert dict(found.headers)[b"Link"] == expected


@pytest.mark.parametrize("bodiless", [True, False])
@pytest.mark.parametrize("status", [301, 404])
@pytest.mark.parametrize("mark", [b"%7e", b"&#126;", b"&#x7E;", b"\\u007e"])
def test_answers_that_no_block_reads_have_it_too(
    status: int, mark: bytes, *, bodiless: bool
) -> None:
    rule = searching()
    response = rule.response
    assert isinstance(response, tuple)
    rule = replace(rule, response=(replace(response[0], statuses=((200, 200),)),))
    trip = a_trip("q=The+penicillin", rule)
    asked(trip)
    word = tag("penicillin").encode()
    token = sealed("x").encode()
    stored = token + word + b"fghij~"
    headers = ((b"Location", b"/m/?q=" + word + b"&a=" + stored), (b"X-Said", word))
    message = pass_response(trip.exchange, a_response(status, headers=headers), bodiless=bodiless)
    assert isinstance(message.head, ResponseHead)
    found = dict(message.head.headers)
    assert found[b"Location"].startswith(b"/m/?q=The%20penicillin&a=eyJ")
    assert b"~" not in found[b"Location"]
    assert found[b"X-Said"] == b"The penicillin"
    if bodiless:
        return
    spelled = word.replace(b"~", mark)
    body = b"<p>No %b, %b, in %b. %%7 ~abcde %%" % (word, spelled, stored)
    expected = b"<p>No The%%20penicillin, The%%20penicillin, in %b. %%7 ~abcde %%"
    for size in (1, 7, len(body)):
        assert message.flow is not None
        flow = pass_response(trip.exchange, a_response(status), bodiless=False).flow
        assert isinstance(flow, TagsCut)
        pieces = [flow.feed(body[at : at + size]) for at in range(0, len(body), size)]
        assert b"".join([*pieces, flow.end()]) == expected % token


def test_what_the_client_has_sent_is_no_markup() -> None:
    rule = searching(a_search("query:content", ExactIndex("none")))
    trip = a_trip("content=%3Cscript%3E", rule)
    asked(trip)
    exact = INDEX_KEYS.exact_tag(SCOPE, "content", "<script>")
    done = trip.response(an_answer(said=f"none for ~{exact}~"))
    assert done is not None
    assert done.forwardable.body is not None
    assert b"<" not in done.forwardable.body
    assert json.loads(done.forwardable.body)["said"] == "none for <script>"


@pytest.mark.parametrize(
    ("referer", "sent"),
    [
        (b"https://app:8443/search?q=penicillin", b"https://app:8443/"),
        (b"HTTP://app/penicillin#q", b"HTTP://app/"),
        (b"/search?q=penicillin", b""),
        (b"https://penicillin@app/", b""),
    ],
)
def test_the_address_of_the_page_stays_with_the_client(referer: bytes, sent: bytes) -> None:
    trip = a_trip(headers=((b"REFERER", referer), (b"Accept", b"*/*")))
    head = asked(trip).forwardable.head
    assert isinstance(head, RequestHead)
    assert dict(head.headers)[b"REFERER"] == sent


def test_counts_tell_candidates_and_what_was_dropped() -> None:
    trip = a_trip()
    asked(trip)
    done = trip.response(an_answer("penicillin", "aspirin"))
    assert done is not None
    assert (done.counts["found"], done.counts["filtered"]) == (1, 1)


def test_headers_count_tokens_that_stay_and_none_that_was_dropped() -> None:
    rule = searching(decrypt=("$.data.*.content", "$.data.*.note"))
    response = rule.response
    assert isinstance(response, tuple)
    rule = replace(rule, response=(replace(response[0], keep_unopened=True),))
    lost = [{"note": forged(sealed("note")), "content": sealed("penicillin")}]
    dropped = [{"content": forged(sealed("penicillin"))}]
    for elements, kept, filtered in ((lost, 1, 0), (lost + dropped, 1, 1), (dropped, 0, 1)):
        trip = a_trip(rule=rule)
        asked(trip)
        done = trip.response(json.dumps({"data": elements}))
        assert done is not None
        assert (done.counts.get("kept", 0), done.counts.get("filtered", 0)) == (kept, filtered)
        frame = done.forwardable.frame
        assert dict(frame.added_headers).get(b"Sealyard-Kept") == (b"%d" % kept if kept else None)
        assert frame.for_caller
        assert len(done.unopened) == len(elements)


def test_members_of_an_object_are_no_elements() -> None:
    with pytest.raises(UpstreamFailed):
        answered(a_trip(), json.dumps({"data": {"a": {"content": sealed("penicillin")}}}))


def test_records_do_not_answer_a_search() -> None:
    trip = a_trip()
    asked(trip)
    head = a_response(headers=((b"Content-Type", b"application/x-ndjson"),))
    with pytest.raises(UpstreamFailed):
        trip.response(an_answer("penicillin"), head)


@pytest.mark.parametrize("decrypt", ["$.other.*.content", "$..content", "$.data.* json:$.content"])
def test_what_stays_must_have_values_that_open(decrypt: str) -> None:
    with pytest.raises(InvalidExpression):
        a_trip(rule=searching(decrypt=(decrypt,)))


def test_elements_are_not_found_anywhere() -> None:
    with pytest.raises(InvalidExpression):
        a_trip(rule=searching(items="$..data", decrypt=("$..data.*.content",)))


def test_counts_are_not_found_anywhere() -> None:
    with pytest.raises(InvalidExpression):
        a_trip(rule=searching(total=("$..total",)))


def test_records_answer_what_is_no_search() -> None:
    trip = a_trip("page=1")
    asked(trip)
    head = a_response(headers=((b"Content-Type", b"application/x-ndjson"),))
    done = trip.response(an_answer("penicillin") + "\n", head)
    assert done is not None


def test_the_answer_of_a_write_is_not_filtered() -> None:
    search = a_search("query:email", EMAIL, "email")
    rule = searching(search, pattern="DELETE /api/messages")
    response = rule.response
    assert isinstance(response, tuple)
    rule = replace(rule, response=(replace(response[0], keep=None),))
    tag = INDEX_KEYS.exact_tag(SCOPE, "email", "ada@example.org")
    trip = a_trip("email=ada@example.org", rule, method="DELETE")
    found = answered(trip, an_answer("one", "two", undo=f"/undo?email=~{tag}~"))
    assert ids(found) == [0, 1]
    assert json.loads(found)["undo"] == "/undo?email=ada%40example.org"
    head = a_response(headers=((b"Content-Type", b"application/x-ndjson"),))
    assert trip.response('{"content":1}\n', head) is not None


def test_an_answer_is_filtered_by_the_searches_that_it_names() -> None:
    rule = searching(a_search(), a_search("query:other"))
    response = rule.response
    assert isinstance(response, tuple)
    keep = response[0].keep
    assert keep is not None
    rule = replace(rule, response=(replace(response[0], keep=keep._replace(matching=("other",))),))
    assert ids(answered(a_trip(rule=rule), an_answer("aspirin"))) == [0]


def test_searches_in_two_fields_are_both_met() -> None:
    rule = searching(
        a_search(), a_search("query:title", field="title"),
        decrypt=("$.data.*.content", "$.data.*.title", "$.data.*.note"),
    )  # fmt: skip
    elements = [
        {"id": at, "content": sealed(text), "title": title, "note": 1}
        for at, (text, title) in enumerate(
            [("penicillin", "allergy"), ("penicillin", "other"), ("allergy", "allergy")]
        )
    ]
    response = rule.response
    assert isinstance(response, tuple)
    rule = replace(rule, response=(replace(response[0], permissive_until=NOW + 1),))
    trip = a_trip("q=penicillin&title=allergy", rule)
    assert ids(answered(trip, json.dumps({"data": elements}))) == [0]


def test_a_tag_within_a_value_is_no_link() -> None:
    rule = searching()
    response = rule.response
    assert isinstance(response, tuple)
    lax = replace(response[0], permissive_until=NOW + 1)
    trip = a_trip(rule=replace(rule, response=(lax,)))
    content = f"penicillin ={tag('penicillin')}"
    found = json.loads(answered(trip, json.dumps({"data": [{"id": 0, "content": content}]})))
    assert found["data"][0]["content"] == content


def test_an_opened_value_that_is_no_text_fits_nothing() -> None:
    query = FieldSearch("q", "content", WORDS).read("penicillin")
    sieve = Sieve((query,), [FoundValue((0,), 0, 1)], {0: (0, "content")}, [])
    sieve.take(0, b"penicillin \xff")
    sieve.take(1, b"penicillin")
    assert sieve.stays == [False]
    sieve.take(0, b"penicillin")
    sieve.take(0, b"aspirin")
    assert sieve.stays == [True]


def test_a_search_says_what_it_compares() -> None:
    assert FieldSearch("q", "content", WORDS).match == "words"
    assert FieldSearch("email", "email", EMAIL).match == "exact"


def for_callers(**shown: Shown) -> tuple[Rule, Rule]:
    """Return a rule that searches `content`, and one that deletes by it without an answer."""
    audience = CallerAudience(tuple(shown.items()), otherwise="refuse")
    find = searching(decrypt=("$.data.*.content", "$.data.*.note"))
    response = find.response
    assert isinstance(response, tuple)
    decrypt = tuple(
        replace(one, audience=audience) if one.field == "content" else one
        for one in response[0].decrypt
    )
    find = replace(find, callers=tuple(shown), response=(replace(response[0], decrypt=decrypt),))
    request = Block(search=(a_search("query:content", EMAIL),), others="refuse")
    delete = a_rule("DELETE /api/messages", name="delete", request=request, names=NAMES)
    return find, replace(delete, callers=tuple(shown))


@pytest.mark.parametrize("shown", [Mask(), "token", "absent", "refuse"])
@pytest.mark.parametrize(
    ("method", "query"), [("GET", "q=penicillin"), ("DELETE", "content=a@example.org")]
)
def test_who_does_not_get_the_values_of_a_field_may_not_search_it(
    shown: Shown, method: str, query: str
) -> None:
    rules = for_callers(ada="value", bob=shown)
    target = f"/api/messages?conversationId=c1&{query}"
    message = a_message("", method=method, target=target, headers=())
    for name, may in (("ada", True), ("bob", False)):
        trip = Trip(rules, message)
        trip.exchange.caller = VerifiedCaller(name)
        if may:
            assert asked(trip).counts == {"searched": 1}
        else:
            with pytest.raises((CallerMayNotSearch, CallerMayNotOpen)):
                asked(trip)


def test_a_field_that_no_rule_gives_a_caller_is_searched_by_none() -> None:
    _, delete = for_callers(ada="value")
    trip = a_trip("content=a@example.org", delete, method="DELETE")
    trip.exchange.caller = VerifiedCaller("ada")
    with pytest.raises(CallerMayNotSearch):
        asked(trip)


def test_who_gets_a_member_named_tokens_searches_nothing_else_by_it() -> None:
    _, delete = for_callers(ada="value")
    item = replace(an_item("$.tokens"), audience=CallerAudience((("ada", "value"),)))
    reads = replace(a_rule("GET /x", response=a_block(decrypt=[item])), callers=("ada",))
    target = "/api/messages?conversationId=c1&content=a@example.org"
    trip = Trip((reads, delete), a_message("", method="DELETE", target=target, headers=()))
    trip.exchange.caller = VerifiedCaller("ada")
    with pytest.raises(CallerMayNotSearch):
        asked(trip)


def test_what_is_left_out_of_a_dropped_element_is_dropped_with_it() -> None:
    find, _ = for_callers(ada="value")
    response = find.response
    assert isinstance(response, tuple)
    note = CallerAudience((("ada", "absent"),))
    decrypt = tuple(
        replace(one, audience=note) if one.field == "note" else one for one in response[0].decrypt
    )
    trip = a_trip(rule=replace(find, response=(replace(response[0], decrypt=decrypt),)))
    trip.exchange.caller = VerifiedCaller("ada")
    elements = [
        {"note": sealed("n"), "content": sealed(text)} for text in ("aspirin", "penicillin")
    ]
    found = json.loads(answered(trip, json.dumps({"data": elements})))
    assert found == {"data": [{"content": "penicillin"}]}


def test_a_request_searches_for_one_thing_by_one_name() -> None:
    rule = searching(a_search("$.q"), pattern="QUERY /api/messages")
    request = rule.request
    assert isinstance(request, tuple)
    several = replace(request[0], records=parse_json_selector("$"))
    rule = replace(rule, request=(several,))
    for body, may in (('{"q":"one"}', True), ('[{"q":"one"},{"q":"two"}]', False)):
        trip = a_trip("page=1", rule, method="QUERY", body=body, headers=JSON_TYPE)
        if may:
            asked(trip)
            continue
        with pytest.raises(SearchNotSupported):
            asked(trip)


QUERY = "query%s {messages(room: 1, q: %s) {content}}"


def graphql(body: object) -> Trip:
    selector = "$.fields.messages.q"
    rule = with_plain(searching(a_search(selector), pattern="POST /api/messages"),
        "$.fields.messages.room")  # fmt: skip
    (request,) = rule.blocks_of("request")
    rule = replace(rule, request=(replace(request, format="graphql"),))
    text = json.dumps(body)
    return a_trip("page=1", rule, method="POST", body=text, headers=JSON_TYPE)


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"query": QUERY % ("($q: String)", "$q"), "variables": {"q": "The Penicillin"}}, "TAG"),
        ({"query": QUERY % ("", '"The Penicillin"')}, '"TAG"'),
        ({"query": QUERY % ('($q: String = "The Penicillin")', "$q")}, '"TAG"'),
    ],
)
def test_an_argument_of_an_operation_is_searched_for(body: dict[str, object], sent: str) -> None:
    done = asked(graphql(body)).forwardable.body
    assert done is not None
    told = json.dumps(body).replace("The Penicillin", tag("penicillin"))
    assert json.loads(done) == json.loads(told)
    assert sent.replace("TAG", tag("penicillin")) in str(json.loads(done))
    assert ids(answered(graphql(body), an_answer("penicillin, the", "penicillin"))) == [0]


@pytest.mark.parametrize(
    "query",
    [
        'query {a: messages(q: "one") {content} b: messages(q: "two") {content}}',
        'query {messages(q: "one", content: "Secret") {content}}',
        'query {messages(q: ["Secret"]) {content}}',
        'query {messages(q: "one") {content} other(q: "Secret") {content}}',
    ],
)
def test_an_operation_searches_once_and_holds_nothing_else(query: str) -> None:
    with pytest.raises(SealyardError):
        asked(graphql({"query": query}))


def test_a_batch_of_operations_searches_for_nothing() -> None:
    one = {"query": 'query {messages(q: "one") {content}}'}
    with pytest.raises(SearchNotSupported):
        asked(graphql([one]))


def test_records_search_for_nothing() -> None:
    rule = searching(a_search("$.q"), pattern="QUERY /api/messages")
    headers = ((b"Content-Type", b"application/x-ndjson"),)
    trip = a_trip("page=1", rule, method="QUERY", body='{"q":"one"}\n', headers=headers)
    with pytest.raises(SealyardError):
        asked(trip)


def test_what_is_searched_for_is_explained() -> None:
    trip = a_trip("q=penicillin")
    plan = plan_request(trip.exchange, b"")
    keys = with_trial_sealing(assumed_keys(plan.needs), plan.needs, NOW)
    (value,) = describe(plan, keys, NOW).values
    assert (value.action, value.field, value.place) == ("searched", "content", "query")
