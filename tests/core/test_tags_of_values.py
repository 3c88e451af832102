"""Values that are sealed with tags by which their backend searches, and answers without these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import leaves
from proxy.core.crypto import token
from proxy.core.crypto.secret import IndexSecret
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import (
    KeyUnavailable,
    NotIndexable,
    OpenFailed,
    UnfitValue,
    UnlistedName,
    ValueTooLong,
)
from proxy.core.explain.dry_run import assumed_keys, with_trial_sealing
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.leaves import tokens
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.treatment import treat_response
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Item, Rule
from proxy.core.search.model import ExactIndex, WordsIndex
from proxy.core.search.tags import IndexKeys, cut, listed
from proxy.core.transform import (
    Changed,
    apply,
    plan_request,
    prepare_records,
    prepare_response,
)
from proxy.core.transform.planner import plan_records
from proxy.core.values.key_needs import Keys, Needs, Unrevoked
from tests.factories import (
    INDEX_KEYS,
    NOW,
    SCOPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    an_item,
    keys_for,
    replied,
    send,
    sent,
)

FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
NDJSON = ((b"Content-Type", b"application/x-ndjson"),)
PARTS = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
PART = (
    '--of-parts\r\nContent-Disposition: form-data; name="content"\r\n\r\nCall Ann\r\n--of-parts--'
)
WORDS = WordsIndex(most=3)
TAGS = listed(INDEX_KEYS.word_tags(SCOPE, "content", ["call", "ann"]))
EMAIL = listed([INDEX_KEYS.exact_tag(SCOPE, "email", "ann@example.com")])


def indexed(selector: str = "$.content", **changes: Any) -> Item:  # noqa: ANN401 - fields
    return replace(an_item(selector, field="content", min_chars=0), index=WORDS, **changes)


def rule(*items: Item, **options: Any) -> Rule:  # noqa: ANN401 - fields
    block = a_block(encrypt=items or [indexed()])
    answer = a_block(decrypt=["optional $.content", "optional $.email"])
    return a_rule("POST /api/messages", request=replace(block, **options), response=answer)


def said(content: str = "Call Ann", **members: object) -> str:
    return json.dumps({"conversationId": "c1", "content": content, **members})


def stored(text: str, made: Rule | None = None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(sent(made or rule(), a_message(text)))
    return found


def test_tags_stand_behind_the_token_and_are_opened_with_it() -> None:
    found = stored(said())
    assert found["content"].endswith(TAGS)
    assert token.token_or_none(found["content"].encode()) is not None
    assert json.loads(replied(rule(), json.dumps(found)))["content"] == "Call Ann"


def test_a_value_without_words_is_its_token_alone() -> None:
    found = stored(said("!?"))["content"]
    assert found == cut(found).token


def test_tags_may_have_a_member_of_their_own() -> None:
    item = replace(an_item("$.email", min_chars=0), index=ExactIndex("email"), tags_member="tags")
    text = '{"conversationId":"c1","email": "Ann@example.com" }'
    body = sent(rule(item), a_message(text))
    found = json.loads(body)
    assert body.endswith(f',"tags":"{EMAIL}" }}'.encode())
    assert cut(found["email"]) == (found["email"], ())
    in_list = replace(item, selector=an_item("$.all.*.email").selector)
    listed_ = stored(
        '{"conversationId":"c1","all":[{"email":"ann@example.com"},{"email":"b"}]}', rule(in_list)
    )
    assert [one["tags"] == EMAIL for one in listed_["all"]] == [True, False]


def test_a_member_that_the_request_has_itself_is_refused() -> None:
    item = replace(an_item("$.email", min_chars=0), index=ExactIndex("email"), tags_member="tags")
    made = a_rule("POST /api/messages", request=a_block(encrypt=[item], plain=()))
    with pytest.raises(UnlistedName):
        send(made, a_message('{"conversationId":"c1","email":"a","tags":"~forged~"}'))


def test_a_member_within_a_text_is_refused() -> None:
    item = indexed("$.text json:$.content", tags_member="tags")
    text = json.dumps({"conversationId": "c1", "text": json.dumps({"content": "Call Ann"})})
    with pytest.raises(NotIndexable, match="within-a-text"):
        send(rule(item), a_message(text))


@pytest.mark.parametrize(
    ("headers", "body", "selector"),
    [
        (FORM, "conversationId=c1&content=Call+Ann", "form:content"),
        (
            PARTS,
            PART,
            "part:content",
        ),
        (NDJSON, said() + "\n" + said() + "\n", "$.content"),
    ],
)
def test_tags_stand_behind_tokens_of_every_format(
    headers: tuple[tuple[bytes, bytes], ...], body: str, selector: str
) -> None:
    block = a_block(encrypt=[indexed(selector)])
    names = rule().names
    if not selector.startswith("$"):
        names = replace(names, conversation=parse_source("const:c1"))
        body = body.replace("conversationId=c1&", "")
    made = a_rule("POST /api/messages", request=block, names=names)
    found = sent(made, a_message(body, headers=headers)).decode()
    assert TAGS in found.replace("%7E", "~")


def test_both_generations_have_tags_while_one_is_replaced() -> None:
    class Two(Unrevoked):
        index = INDEX_KEYS, IndexKeys(IndexSecret(b"j" * 32), 2)

    trip = Trip((rule(),), a_message(said()))
    plan = plan_request(trip.exchange, trip.message.body)
    keys = replace(keys_for(plan.needs), standing=Two())
    body = apply(plan, keys, NOW).forwardable.body
    both = [one for keys in Two.index for one in keys.word_tags(SCOPE, "content", ["call", "ann"])]
    assert json.loads(body or b"")["content"].endswith(listed(both))


def test_a_trial_has_an_index_secret_of_its_own() -> None:
    trip = Trip((rule(),), a_message(said()))
    plan = plan_request(trip.exchange, trip.message.body)
    keys = with_trial_sealing(assumed_keys(plan.needs), plan.needs, NOW)
    body = apply(plan, keys, NOW).forwardable.body
    assert len(cut(json.loads(body or b"")["content"]).tags) == 2


def test_without_an_index_secret_nothing_is_sealed() -> None:
    trip = Trip((rule(),), a_message(said()))
    plan = plan_request(trip.exchange, trip.message.body)
    found = keys_for(plan.needs)
    with pytest.raises(KeyUnavailable, match="no-index-secret"):
        apply(plan, Keys(found.sealing, found.opening), NOW)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("one two three four", NotIndexable),
        ("你好", NotIndexable),
        (12, UnfitValue),
    ],
)
def test_what_cannot_be_indexed_is_refused(content: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        send(rule(), a_message(said(content)))


def test_a_token_with_its_tags_is_no_longer_than_the_backend_accepts() -> None:
    length = len(stored(said())["content"])
    assert stored(said(), rule(indexed(max_chars=length)))
    with pytest.raises(ValueTooLong):
        send(rule(indexed(max_chars=length - 1)), a_message(said()))


def test_a_token_that_is_kept_gets_its_tags_again() -> None:
    made = rule(already_sealed="keep")
    first = stored(said(), made)["content"]
    bare = cut(first).token
    assert stored(said(bare), made)["content"] == first
    assert stored(said(bare + "~zzzzz~"), made)["content"] == first


SEALED = stored(said())["content"]
BARE = cut(SEALED).token


@pytest.mark.parametrize(
    ("answer", "clear"),
    [
        ({"other": SEALED}, {"other": BARE}),
        ({"other": f"see {SEALED}, and ~abcde~"}, {"other": f"see {BARE}, and ~abcde~"}),
        ({"content": SEALED, "other": [SEALED]}, {"content": "Call Ann", "other": [BARE]}),
        ({"content": "~abcde~"}, None),
        ({"other": "~abcde~"}, {"other": "~abcde~"}),
        ({"other": BARE + "~abcd"}, {"other": BARE}),
        ({"content": SEALED[:-2]}, {"content": "Call Ann"}),
        ({"other": BARE + "~Abcd"}, {"other": BARE + "~Abcd"}),
    ],
)
def test_answers_have_no_tags_behind_any_token(answer: object, clear: object) -> None:
    if clear is None:
        with pytest.raises(OpenFailed):
            replied(rule(), json.dumps(answer))
        return
    assert json.loads(replied(rule(), json.dumps(answer))) == clear


def test_members_of_tags_are_empty_in_answers() -> None:
    answer = a_block(decrypt=["optional $.content"])
    request = a_block(encrypt=[indexed(tags_member="tags")])
    made = a_rule("POST /api/messages", request=request, response=answer)
    text = '{"tags" : "%s", "all": [{"tags":"%s"}], "other": "~abcde~", "content": "%s"}'
    found = replied(made, text % (TAGS, "~", SEALED)).decode()
    assert found == text % ("", "", "Call Ann")


def test_an_answer_that_no_block_takes_loses_them_as_well() -> None:
    when = (Condition(parse_json_selector("$.kind"), frozenset({text_value("letter")})),)
    answer = replace(a_block(decrypt=["$.content"]), when=when)
    made = a_rule("POST /api/messages", request=a_block(encrypt=[indexed()]), response=answer)
    text = '{"kind": "note", "content": "%s"}'
    assert replied(made, text % SEALED).decode() == text % BARE
    assert replied(made, text % "plain").decode() == text % "plain"


def test_records_of_an_answer_lose_them() -> None:
    answer = a_block(decrypt=["$.content"])
    made = a_rule("POST /api/messages", request=a_block(encrypt=[indexed()]), response=answer)
    record = '{"content": "%s", "other": "%s"}\n'
    found = replied(made, record % (SEALED, SEALED) * 2, a_response(headers=NDJSON)).decode()
    assert found == record % ("Call Ann", BARE) * 2
    trip = Trip((made,), a_message())
    trip.request()
    head = a_response(headers=NDJSON)
    compiled = choose_response(trip.exchange, head)
    assert compiled is not None
    plan = plan_records(trip.exchange, compiled, head, (record % (SEALED, SEALED)).encode())
    assert (
        apply(plan, keys_for(plan.needs), NOW).forwardable.body
        == (record % ("Call Ann", BARE)).encode()
    )


def test_what_is_prepared_leaves_tags_to_a_plan() -> None:
    trip = Trip((rule(),), a_message())
    trip.request()
    head = a_response()
    treatment = treat_response(trip.exchange, head)
    prepared = prepare_response(trip.exchange, treatment, head)
    assert prepared is not None
    assert not isinstance(prepared, Changed)
    links = (f"/next?q={SEALED.replace('~', one)}" for one in ("%7E", "%257E"))
    for text in (SEALED, f"x {SEALED}", *links):
        body = json.dumps({"content": BARE, "other": text}).encode()
        assert prepared.change(body, Warm(), NOW) is None


def test_what_is_prepared_of_records_leaves_tags_beside_their_data_to_a_plan() -> None:
    trip = Trip((rule(),), a_message(said()))
    trip.request()
    head = a_response(headers=((b"Content-Type", b"text/event-stream"),))
    compiled = choose_response(trip.exchange, head)
    assert compiled is not None
    prepared = prepare_records(trip.exchange, compiled, head, "sse")
    assert prepared is not None
    for text, goes in ((BARE, True), (SEALED, False)):
        events = b'id: %b\ndata: {"content": null}\n\n' % text.encode()
        assert (prepared.change(events, Warm(), NOW) is not None) == goes


class Warm:
    """Keys that are at hand."""

    def resolve_warm(self, needs: Needs) -> Keys:
        return keys_for(needs)

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep nothing."""


def test_tokens_that_stay_lose_their_tags() -> None:
    answer = a_block(decrypt=["$.content"])
    made = a_rule("GET /api/messages/{id}", response=replace(answer, keep_unopened=True))
    foreign = stored(said().replace('"c1"', '"c2"'))["content"]
    trip = Trip(
        (replace(made, names=rule().names),), a_message("", method="GET", target="/api/messages/1")
    )
    applied = trip.response(json.dumps({"conversationId": "c1", "content": foreign}))
    assert applied is not None
    assert json.loads(applied.forwardable.body or b"")["content"] == cut(foreign).token


def test_tokens_in_a_text_are_opened_with_their_tags() -> None:
    answer = a_block(decrypt=[an_item("tokens", bind=["tenant", "conversation", "field"])])
    made = a_rule("POST /api/messages", request=a_block(encrypt=[indexed()]), response=answer)
    text = json.dumps({"conversationId": "c1", "content": f"a {SEALED}."})
    assert replied(made, text) == b'{"conversationId": "c1", "content": "a Call Ann."}'


@given(
    tags=st.lists(st.text("abcxyz234567", min_size=5, max_size=5), min_size=1, max_size=4),
    before=st.sampled_from(["", "a ", "~"]),
    behind=st.sampled_from(["", ".", " b", "~", "~abcd~", "ab"]),
)
def test_both_forms_of_the_leaves_find_tokens_with_tags(
    tags: list[str], before: str, behind: str
) -> None:
    """Neither knows tags: what knows them is the same code for both."""
    text = f"{BARE}{listed(tags)}".encode()
    assert leaves.token_parts(text) is None is tokens.token_parts(text)
    assert token.decode(text) == token.decode(BARE.encode())
    within = before.encode() + text + behind.encode()
    assert leaves.candidates(within, 0, len(within)) == tokens.candidates(within, 0, len(within))
