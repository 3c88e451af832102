from __future__ import annotations

import pytest

from tests.config.builders import loaded, problems_of, warnings_of, with_rules

FIELDS = """
fields:
  content: {index: {words: {skip: [common-en]}}}
  email: {index: {exact: {normalize: email}}}
"""
SEND = """
      - name: send
        match: POST /messages
        conversation: query:room
        request:
          encrypt: [{select: $.content, index: behind}, {select: $.email, index: behind}]
"""
SEARCH = "{select: 'query:q', field: content, match: words}"
ANSWER = "{decrypt: '$.data.*.content', keep: {items: $.data, matching: q}}"


def searching(
    search: str = SEARCH,
    *,
    match: str = "GET /messages",
    response: str = ANSWER,
    more: str = "conversation: query:room",
) -> str:
    rule = f"""
      - name: find
        match: {match}
        {more}
        request: {{search: [{search}]}}
        response: {response}
"""
    return with_rules(SEND + rule, top=FIELDS)


def test_a_search_becomes_an_item_that_is_bound_like_the_values_that_it_finds() -> None:
    (listener,) = loaded(searching()).settings.listeners
    (block,) = listener.rules[1].blocks_of("request")
    (item,) = block.search
    assert item.optional
    assert item.bind == {"tenant", "conversation", "field"}
    assert item.sought is not None
    assert (item.sought.name, item.sought.match, item.sought.refused) == ("q", "words", False)
    (answer,) = listener.rules[1].blocks_of("response")
    assert answer.keep is not None
    assert answer.keep.matching == ("q",)


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ("{select: 'query:q', field: other, match: words}", "the field `other` has no index"),
        ("{select: 'query:q', field: content, match: exact}", "is indexed by `words`"),
        ("{select: 'header:q', field: content, match: words}", "is no place of a search"),
        ("{select: tokens, field: content, match: words}", "is no place of a search"),
        ("{select: '$.q.*', field: content, match: words}", "stands for more than one value"),
        (
            "{select: 'query:q', field: content, match: words, partial: true}",
            "`partial` only applies with `complete: false`",
        ),
        (f"{SEARCH}, {SEARCH.replace('query', 'form')}", "two searches have the name `q`"),
    ],
)
def test_what_cannot_be_a_search_is_a_mistake(search: str, told: str) -> None:
    assert any(told in one for one in problems_of(searching(search)))


@pytest.mark.parametrize("match", ["DELETE /messages", "GET,POST /messages", "/messages"])
def test_words_are_searched_by_requests_that_only_read(match: str) -> None:
    assert any("may change something" in one for one in problems_of(searching(match=match)))
    reads = searching(match=match, more="reads: true\n        conversation: query:room")
    assert problems_of(reads) == []


def test_a_value_may_be_searched_by_any_request() -> None:
    search = "{select: 'query:email', field: email, match: exact}"
    assert problems_of(searching(search, match="DELETE /messages", response="pass")) == []


@pytest.mark.parametrize(
    "response",
    ["pass", "{decrypt: '$.data.*.content'}", f"[{ANSWER}, {{type: text/html, decrypt: tokens}}]"],
)
def test_the_answer_to_a_search_by_words_is_filtered(response: str) -> None:
    found = problems_of(searching(response=response))
    assert any("the answer is not filtered" in one for one in found)


def test_what_stays_names_a_search() -> None:
    answer = ANSWER.replace("matching: q", "matching: [q, other]")
    assert any("has no search `other`" in one for one in problems_of(searching(response=answer)))


def test_what_else_json_in_a_parameter_may_hold_is_listed() -> None:
    search = SEARCH.replace("query:q", "query:where $.q")
    made = searching(search).replace("search: [", "plain: 'query:where $.{room,limit}', search: [")
    (listener,) = loaded(made).settings.listeners
    (block,) = listener.rules[1].blocks_of("request")
    assert [one.text for one in block.plain] == ["query:where $.room", "query:where $.limit"]
    told = problems_of(made.replace("query:where $.{room,limit}", "query:page"))
    assert any("is no plain place" in one for one in told)


def test_a_search_within_a_conversation_names_it() -> None:
    found = problems_of(searching(more="message: query:id"))
    assert any("the rule names none" in one for one in found)


def test_a_search_in_an_answer_and_what_stays_of_a_request_are_mistakes() -> None:
    found = problems_of(searching(response=f"{{search: {SEARCH}}}"))
    assert any("only applies to requests" in one for one in found)
    rule = "      - {name: r, match: GET /, request: {keep: {items: $.data, matching: q}}}\n"
    assert any("only applies to responses" in one for one in problems_of(with_rules(rule)))


def test_what_is_lost_in_other_columns_is_told() -> None:
    assert any("other columns" in one for one in warnings_of(searching()))


def test_what_an_index_gives_away_is_told() -> None:
    told = [one for one in warnings_of(searching()) if "the index of `content`" in one]
    assert len(told) == 2
    text = " ".join(told)
    assert "of a conversation have the same word" in text
    assert "learns the tag of each word that it sends" in text
    assert "can leave out what it finds" in text
    common = searching().replace("{skip: [common-en]}", "{}")
    assert any("`skip: [common-en]`" in one for one in warnings_of(common))


def test_messages_of_a_websocket_answer_no_search() -> None:
    search = SEARCH.replace("query:q", "$.q")
    found = problems_of(searching(search, match="WS /messages"))
    assert any("answer no search" in one for one in found)
