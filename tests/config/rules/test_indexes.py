"""How fields are indexed, where their tags are kept, and what is refused."""

from __future__ import annotations

import pytest

from proxy.core.search.model import ExactIndex, WordsIndex
from proxy.core.search.skipped import COMMON
from tests.config.builders import loaded, problems_of, warnings_of, with_rules

RULE = """\
      - name: r
        match: POST /r
        tenant: const:t
        conversation: $.c
        request: {REQUEST}
"""
FIELDS = "fields: {content: {index: INDEX}}\n"


def written(request: str, index: str = "{words: {}}") -> str:
    return with_rules(RULE.replace("{REQUEST}", request), top=FIELDS.replace("INDEX", index))


BEHIND = "{encrypt: {select: $.content, index: behind}}"


def test_an_index_of_words_has_what_it_is_given() -> None:
    text = written(BEHIND, "{words: {skip: [common-en, foo], most: 7}}")
    (item,) = loaded(text).settings.listeners[0].rules[0].blocks[0].encrypt
    skipped = COMMON["common-en"] | {"foo"}
    assert item.index == WordsIndex("conversation", skipped, 7)
    assert (item.min_chars, item.framed, item.tags_member) == (0, False, None)


def test_an_index_of_values_may_have_a_member_for_its_tags() -> None:
    request = "{encrypt: {select: '$.all.*.content', index: {as: '$.all.*.tags'}}}"
    text = written(request, "{exact: {normalize: email, scope: tenant}}")
    (item,) = loaded(text).settings.listeners[0].rules[0].blocks[0].encrypt
    assert (item.index, item.tags_member) == (ExactIndex("email", "tenant"), "tags")


def test_words_of_a_whole_tenant_are_asked_for_twice() -> None:
    (problem,) = problems_of(written(BEHIND, "{words: {scope: tenant}}"))
    assert "learns the words of others" in problem
    assert not problems_of(written(BEHIND, "{words: {scope: tenant, accept_leakage: true}}"))


@pytest.mark.parametrize(
    ("request_", "index", "told"),
    [
        ("{encrypt: $.content}", "{words: {}}", "its tags have no place"),
        ("{encrypt: {select: $.other, index: behind}}", "{words: {}}", "`other` has no index"),
        ("{decrypt: {select: $.content, index: behind}}", "{words: {}}", "only apply to what is s"),
        ("{encrypt: {select: body, field: content, index: behind}}", "{words: {}}", "whole body"),
        ("{encrypt: {select: $.content, index: {as: $.a.b}}}", "{words: {}}", "no member beside"),
        ("{encrypt: {select: $.content, index: {as: $.content}}}", "{words: {}}", "no member besi"),
        (
            "{encrypt: {select: $..content, index: {as: $..a}}, others: pass}",
            "{words: {}}",
            "no m",
        ),
        (
            "{encrypt: {select: $.t json:$.content, index: {as: $.t json:$.tags}}}",
            "{words: {}}",
            "no member beside",
        ),
        (
            "{encrypt: {select: form:content, index: {as: $.tags}}}",
            "{words: {}}",
            "no member beside",
        ),
        (
            "{encrypt: {select: $.content, index: {as: $.tags}}, others: pass}",
            "{words: {}}",
            "needs `others: refuse`",
        ),
        (
            "{encrypt: {select: $.content, index: behind, form: base64}}",
            "{words: {}}",
            "no place for tags",
        ),
        (
            "{encrypt: {select: $.content, index: behind, expires: 1d}}",
            "{words: {}}",
            "its tags would stay",
        ),
        (BEHIND, "{words: {skip: [Two words]}}", "is no word as it is indexed"),
        (BEHIND, "{words: {most: 0}}", "1"),
        (BEHIND, "{exact: {}}", "lacks the key `normalize`"),
        (BEHIND, "{words: {}, exact: {normalize: none}}", "give only one"),
        (BEHIND, "{}", "lacks a key"),
    ],
)
def test_what_cannot_be_indexed_is_refused(request_: str, index: str, told: str) -> None:
    problems = problems_of(written(request_, index))
    assert any(told in one for one in problems)


def test_tags_are_for_requests_alone() -> None:
    response = "        response: {encrypt: {select: $.content, index: behind}}\n"
    (problem,) = problems_of(written("{encrypt: {select: $.content, index: behind}}") + response)
    assert "`index` only applies to requests" in problem
    plain = response.replace(", index: behind", "")
    (rule,) = loaded(written(BEHIND) + plain).settings.listeners[0].rules
    assert [one.index is None for block in rule.blocks for one in block.encrypt] == [False, True]


def test_a_default_does_not_let_a_request_have_the_member_of_its_tags() -> None:
    text = written("{encrypt: {select: $.content, index: {as: $.tags}}}")
    text = text.replace("defaults: {tenant: const:t}", "defaults: {tenant: const:t, others: pass}")
    assert any("needs `others: refuse`" in one for one in problems_of(text))


def test_what_can_be_erased_has_no_tags_that_would_stay() -> None:
    text = written(BEHIND).replace("keyring: {", "sessions: {mode: ephemeral}\n  keyring: {")
    problems = problems_of(text)
    assert any("stays when its keys are erased" in one for one in problems)


@pytest.mark.parametrize(
    ("more", "plain", "told"),
    [
        ("", "$.a", False),
        ("", "$.tags", True),
        ("", "$.*", True),
        ("", "$..x", True),
        (", {select: $.b, field: content, index: {as: $.tags}}", "$.a", True),
        (", {select: $.b, field: content, index: {as: $.more}}", "$.a", False),
        (", $.tags", "$.a", True),
    ],
)
def test_the_member_of_tags_is_that_of_one_value(more: str, plain: str, *, told: bool) -> None:
    item = "{select: $.content, index: {as: $.tags}}"
    problems = problems_of(written(f"{{encrypt: [{item}{more}], plain: ['{plain}']}}"))
    assert any("a member of their own" in one for one in problems) == told


EQUAL = "{form: equal, bind: [tenant, field], accept_leakage: true}"


def equal(
    field: str = EQUAL, *, select: str = "$.content", match: str = "POST /r", item: str = ""
) -> str:
    text = RULE.replace("{REQUEST}", f"{{encrypt: {{select: {select}{item}}}}}")
    text = text.replace("POST /r", match).replace("conversation: $.c", "conversation: const:c")
    return with_rules(text, top=f"fields: {{content: {field}}}\n")


@pytest.mark.parametrize(
    ("match", "select", "seeks"),
    [
        ("POST /r", "$.content", False),
        ("DELETE /r", "'query:content'", True),
        ("QUERY /r", "$.content", True),
    ],
)
def test_an_equal_value_is_stored_or_looked_for(match: str, select: str, *, seeks: bool) -> None:
    text = equal(match=match, select=select)
    (item,) = loaded(text).settings.listeners[0].rules[0].blocks[0].encrypt
    assert item.form == "equal"
    assert item.bind == {"tenant", "field"}
    assert item.seeks is seeks
    assert any("sees which values of a tenant are the same" in one for one in warnings_of(text))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[tenant, field]", "[tenant, conversation, field]", "bound to tenant and field alone"),
        ("bind: [tenant, field], ", "", "bound to tenant and field alone"),
        ("accept_leakage: true", "accept_leakage: false", "sees which values of a tenant are"),
        ("form: equal", "form: equal, max_chars: 29", "at least 30 are needed"),
    ],
)
def test_what_a_field_of_the_equal_form_lacks_is_told(old: str, new: str, told: str) -> None:
    assert any(told in one for one in problems_of(equal(EQUAL.replace(old, new))))


@pytest.mark.parametrize(
    ("select", "item", "told"),
    [
        ("text", ", field: content", "not for a whole body"),
        ("$.content", ", expires: 1h", "cannot have an expiry"),
        ("$.content", ", index: behind", "no place for tags"),
    ],
)
def test_what_goes_not_with_the_equal_form_is_told(select: str, item: str, told: str) -> None:
    field = EQUAL[:-1] + (", index: {words: {}}}" if "index" in item else "}")
    assert any(told in one for one in problems_of(equal(field, select=select, item=item)))


def test_the_equal_form_is_not_for_keys_that_are_erased_or_of_senders() -> None:
    ephemeral = equal().replace("keyring: {", "sessions: {mode: ephemeral}\n  keyring: {")
    assert any("the form `equal`, which stays" in one for one in problems_of(ephemeral))
    parties = "tenant: const:t\n        sender: header:x-user\n        recipients: $.to\n"
    ends = equal().replace("tenant: const:t\n        conv", parties + "        conv")
    assert any("which senders and recipients do not have" in one for one in problems_of(ends))
