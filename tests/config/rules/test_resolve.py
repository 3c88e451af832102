from datetime import UTC, datetime

import pytest

from proxy.config.rules.item_checks import shortest
from proxy.core.crypto.token import FORMS
from proxy.core.expressions.selectors import Whole, parse_selector
from proxy.core.expressions.sources import (
    FirstSource,
    JsonSource,
    ListSource,
    MembersSource,
    NameSource,
    SameSource,
    Source,
)
from proxy.core.rules.model import Block, Item, Names, Rule, Verdict
from tests.config.builders import changed, loaded, problems_of, with_rules

A, B = NameSource("const", "a"), NameSource("path", "id")
TENANT = "{tenant: const:t}"


def _rule(keys: str, *, defaults: str = TENANT, top: str = "") -> Rule:
    text = with_rules(
        f"      - name: r\n        match: POST /a/{{id}}\n{_indented(keys)}",
        defaults=defaults,
        top=top,
    )
    (listener,) = loaded(text).settings.listeners
    return listener.rules[0]


def _told(keys: str, *, defaults: str = TENANT, match: str = "POST /a/{id}") -> list[str]:
    rules = f"      - name: r\n        match: {match}\n{_indented(keys)}"
    return problems_of(with_rules(rules, defaults=defaults))


def _indented(keys: str) -> str:
    return "".join(f"        {line}\n" for line in keys.splitlines())


def _request(rule: Rule) -> Block:
    assert isinstance(rule.request, tuple)
    return rule.request[0]


def _response(rule: Rule) -> Block:
    assert isinstance(rule.response, tuple)
    return rule.response[0]


def _item(written: str) -> Item:
    said = ", nothing: pass" if "optional" in written else ""
    return _request(_rule(f"request: {{encrypt: {written}{said}}}")).encrypt[0]


def test_an_item_says_where_else_its_name_may_stand_and_how_often() -> None:
    plain, each = _item("form:a"), _item("{select: 'form:a', each: true, elsewhere: allow}")

    assert (plain.each, plain.elsewhere_allowed) == (False, False)
    assert (each.each, each.elsewhere_allowed) == (True, True)
    assert not _item("{select: $.a, each: false, elsewhere: refuse}").elsewhere_allowed


def test_a_rule_says_nothing_but_its_route() -> None:
    rule = _rule("", defaults="{}")

    assert Rule("r", rule.patterns) == rule
    assert [pattern.text for pattern in rule.patterns] == ["POST /a/{id}"]


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ("const:a", A),
        ("[const:a, path:id]", ListSource((A, B))),
        ("{members: [path:id, const:a]}", MembersSource((B, A))),
        ("{first: [path:id, [const:a]]}", FirstSource((B, ListSource((A,))))),
    ],
)
def test_a_source_is_written_as_text_list_or_mapping(written: str, source: Source) -> None:
    assert source == _rule(f"conversation: {written}").names.conversation


def test_a_source_in_json_may_be_the_name_of_a_member() -> None:
    source = _rule("conversation: $.a.*~").names.conversation

    assert isinstance(source, JsonSource)
    assert (source.selector, source.member_name) == (parse_selector("$.a.*"), True)


@pytest.mark.parametrize(
    ("written", "selector", "field", "optional"),
    [
        ("$.content", "$.content", "content", False),
        ("optional $.content", "$.content", "content", True),
        ("$.content as text", "$.content", "text", False),
        ("optional  $.a.b  as  c.d-e", "$.a.b", "c.d-e", True),
        ("\"$['x as y']\"", "$['x as y']", "x as y", False),
        ("\"$['x as y'] as z\"", "$['x as y']", "z", False),
        ("body", "body", "body", False),
        ("text as message", "text", "message", False),
        ("{select: $.a, field: b, optional: true}", "$.a", "b", True),
        ("'$[0] as first'", "$[0]", "first", False),
    ],
)
def test_an_item_is_written_short_or_long(
    written: str, selector: str, field: str, *, optional: bool
) -> None:
    item = _item(written)

    assert (parse_selector(selector), field, optional) == (
        item.selector,
        item.field,
        item.optional,
    )


def test_an_item_takes_form_and_max_chars_from_its_field() -> None:
    top = "fields:\n  a: {form: short, max_chars: 100}\n  b: {max_chars: 500}\n"
    keys = "request: {encrypt: [$.a, $.b, {select: $.c, field: a, max_chars: 90}, $.d]}"

    items = _request(_rule(keys, top=top)).encrypt

    expected = [("short", 100), ("jwe", 500), ("short", 90), ("jwe", None)]
    assert expected == [(item.form, item.max_chars) for item in items]


@pytest.mark.parametrize(
    ("field", "item", "least"),
    [
        ("{}", "", None),
        ("{string: true}", "", 0),
        ("{string: false}", "", None),
        ("{min_chars: 2}", "", 2),
        ("{string: true, min_chars: 2}", "", 2),
        ("{}", ", string: true", 0),
        ("{}", ", min_chars: 3", 3),
        ("{min_chars: 2}", ", min_chars: 3", 3),
        ("{min_chars: 2}", ", string: true", 2),
        ("{min_chars: 2}", ", string: false", None),
        ("{string: true}", ", string: false", None),
        ("{string: false}", ", string: true", 0),
        ("{not_blank: true}", "", 0),
        ("{}", ", trim: true", 0),
        ("{trim: true, not_blank: true}", ", min_chars: 3", 3),
        ("{trim: true, not_blank: true}", ", string: false", None),
        ("{trim: true}", ", trim: false", None),
    ],
)
def test_an_item_asks_for_strings_as_it_or_its_field_says(
    field: str, item: str, least: int | None
) -> None:
    top = f"fields: {{a: {field}}}\n"
    keys = f"request: {{encrypt: {{select: $.a{item}}}}}\nresponse: {{decrypt: $.a}}"

    rule = _rule(keys, top=top)

    (found,) = _request(rule).encrypt
    asked = field + item if "false" not in item else ""

    assert found.min_chars == least
    assert (found.trim, found.not_blank) == ("trim: true" in asked, "not_blank" in asked)
    assert _response(rule).decrypt[0].min_chars is None


@pytest.mark.parametrize(
    ("form", "least"), [("jwe", {145: 368, 200: 441}), ("short", {129: 255, 0: 83})]
)
def test_min_chars_fit_into_max_chars(form: str, least: dict[int, int]) -> None:
    """A token of so many ASCII characters, under a KEK whose id has one character."""
    for size, length in least.items():
        said = f"min_chars: {size}" if size else "string: true"
        keys = f"request: {{encrypt: {{select: $.a, form: {form}, max_chars: {length}, {said}}}}}"
        assert _told(keys) == []
        told = _told(keys.replace(str(length), str(length - 1)))
        assert len(told) == 1
        assert ("never fit" in told[0]) == bool(size)


@pytest.mark.parametrize("selector", ["text as a", "form:a", "part:a", "filename:a", "header:a"])
def test_every_text_may_be_asked_for(selector: str) -> None:
    select, _, field = selector.partition(" as ")
    keys = f"request: {{encrypt: {{select: '{select}', field: {field or 'a'}, min_chars: 2}}}}"

    assert _request(_rule(keys)).encrypt[0].min_chars == 2


def test_a_body_is_no_string() -> None:
    (told,) = _told("request: {encrypt: {select: body, string: true}}")
    assert told.endswith("what asks for a string does not apply to `body`; select `text`")


def test_max_chars_holds_at_least_an_empty_token() -> None:
    for form in (one for one in FORMS if one != "equal"):  # which takes a bind of its own
        least = shortest(form)
        keys = f"request: {{encrypt: {{select: $.a, form: {form}, max_chars: {least}}}}}"

        assert least == _request(_rule(keys)).encrypt[0].max_chars
        assert len(_told(keys.replace(str(least), str(least - 1)))) == 1


@pytest.mark.parametrize(
    ("item", "framed"),
    [
        ("body", True),
        ("{select: body, form: jwe}", False),
        ("{select: body, max_chars: 90000}", False),
        ("body as told", False),
    ],
)
def test_a_body_whose_form_is_given_never_becomes_a_frame(item: str, *, framed: bool) -> None:
    top = "fields: {told: {form: jwe}}\n"

    block = _request(_rule(f"request: {{encrypt: {item}}}", top=top))

    assert block.encrypt[0].framed == framed


def test_a_body_has_no_short_form() -> None:
    assert len(_told("request: {encrypt: {select: body, form: short}}")) == 1


def test_a_block_holds_conditions_and_options() -> None:
    keys = (
        "response:\n"
        "  - {type: [Application/JSON, text/*], status: [2xx, 404, all], decrypt: $.a,\n"
        "     on_error: keep, case_variants: allow, elsewhere: allow, already_sealed: keep}\n"
        "  - {status: 500}\n"
        "  - {decrypt: tokens, bind: [tenant], max_tokens: 5, placeholder: '...'}"
    )

    blocks = _rule(keys).response

    assert isinstance(blocks, tuple)
    first, second, third = blocks
    assert first.types == ("application/json", "text/*")
    assert first.statuses == ((200, 299), (404, 404), (100, 599))
    assert (
        first.keep_unopened,
        first.case_variants_allowed,
        first.already_sealed,
    ) == (True, True, "keep")
    assert Block(statuses=((500, 500),)) == second
    assert (
        third.max_tokens,
        third.placeholder,
        third.decrypt[0].selector,
    ) == (5, "...", Whole.TOKENS)


def test_permissive_ends_when_its_day_begins() -> None:
    block = _request(_rule("mode: permissive until 2027-03-31\nrequest: {decrypt: $.a}"))

    assert datetime(2027, 3, 31, tzinfo=UTC).timestamp() == block.permissive_until


@pytest.mark.parametrize(
    ("written", "selectors"),
    [
        ("$.id", ["$.id"]),
        ("[$.id, '$.a.*.{b, c}']", ["$.id", "$.a.*.b", "$.a.*.c"]),
        ("'$.{a,b}'", ["$.a", "$.b"]),
    ],
)
def test_plain_places_are_listed_one_by_one(written: str, selectors: list[str]) -> None:
    block = _request(_rule(f"request: {{encrypt: $.x, plain: {written}}}"))
    assert [one.text for one in block.plain] == selectors
    assert block.others == "refuse"
    assert block.query == frozenset()


def test_forms_list_names() -> None:
    block = _request(_rule("request: {encrypt: 'form:x', plain: 'form:{a,b}'}"))
    assert [one.text for one in block.plain] == ["form:a", "form:b"]


def test_requests_that_seal_in_bodies_are_closed_and_no_others() -> None:
    for block, others, query in (
        ("encrypt: $.x", "refuse", frozenset[str]()),
        ("encrypt: $.x, others: pass", "pass", None),
        ("plain: $.x", "refuse", frozenset[str]()),
        ("others: refuse", "refuse", frozenset[str]()),
        ("encrypt: text", "pass", frozenset[str]()),
        ("encrypt: 'header:x-a'", "refuse", frozenset[str]()),
        ("decrypt: $.x", "refuse", frozenset[str]()),
        ("decrypt: body", "pass", frozenset[str]()),
        ("decrypt: tokens", "pass", frozenset[str]()),
    ):
        made = _request(_rule(f"request: {{{block}}}"))
        assert (made.others, made.query) == (others, query), block
    assert _response(_rule("response: {encrypt: $.x}")).others == "pass"


def test_a_name_of_the_path_may_be_said_to_be_in_other_places_or_not() -> None:
    said = "{from: path:id, also: [$.roomId, 'query:room'], unrelated: [$.clientId]}"
    written = f"conversation: {said}\nrequest: {{encrypt: $.x, plain: $.clientId}}"
    source = _rule(written).names.conversation
    assert isinstance(source, SameSource)
    assert source.source == NameSource("path", "id")
    assert [one.text for one in source.unrelated] == ["$.clientId"]  # type: ignore[union-attr]  # a path
    assert len(source.also) == 2


def test_names_of_a_query_are_added_to_and_taken_away() -> None:
    defaults = "{tenant: const:t, query: {page: plain, q: plain}, response: {decrypt: $.x}}"
    written = "query: {q: refuse, a: plain}\nrequest: {encrypt: $.x, query: {b: plain}}"
    rule = _rule(written, defaults=defaults)
    assert _request(rule).query == frozenset({"page", "a", "b"})
    assert rule.query == frozenset({"page", "a"})
    assert _rule("request: pass", defaults=defaults).query is None
    assert _rule("others: pass", defaults=defaults).query is None


def test_the_rest_is_sealed_as_an_item_without_settings_of_its_own() -> None:
    defaults = "{tenant: const:t, bind: [tenant], response: {decrypt: tokens}, expires: 1h}"
    rest = _request(_rule("request: {encrypt: $.x, others: seal}", defaults=defaults)).rest
    assert rest is not None
    assert (rest.bind, rest.expires, rest.form) == (frozenset({"tenant"}), 3600, "jwe")


# --- defaults ------------------------------------------------------------------------------------


def test_defaults_are_replaced_key_by_key() -> None:
    defaults = (
        "{tenant: const:t, conversation: const:a, request: {encrypt: $.x}, "
        "response: {decrypt: $.x}, already_sealed: reject}"
    )

    rule = _rule("conversation: path:id\nrequest: {encrypt: $.y as x}", defaults=defaults)

    assert Names(NameSource("const", "t"), B) == rule.names
    assert [parse_selector("$.y")] == [item.selector for item in _request(rule).encrypt]
    assert _request(rule).already_sealed == "reject"
    assert [parse_selector("$.x")] == [item.selector for item in _response(rule).decrypt]


def test_a_rule_can_take_a_default_back() -> None:
    defaults = "{tenant: const:t, mode: permissive until 2027-01-01, request: {decrypt: $.a}}"

    assert Verdict.PASS is _rule("request: pass", defaults=defaults).request
    assert _request(_rule("mode: enforce", defaults=defaults)).permissive_until is None


def test_a_block_stands_closer_than_its_rule() -> None:
    keys = "already_sealed: keep\nrequest: {encrypt: $.a, already_sealed: reject}"

    assert _request(_rule(keys)).already_sealed == "reject"


def test_on_error_of_a_rule_is_for_the_decrypts_of_responses_alone() -> None:
    response = "[{status: 500, decrypt: $.a}, {encrypt: $.b}]"
    keys = f"on_error: keep\nrequest: {{decrypt: $.a}}\nresponse: {response}"

    rule = _rule(keys)

    assert isinstance(rule.response, tuple)
    kept = [block.keep_unopened for block in (_request(rule), *rule.response)]
    assert kept == [False, True, False]


def test_a_rejecting_rule_has_no_response() -> None:
    defaults = "{tenant: const:t, response: {decrypt: $.a}}"

    assert Verdict.PASS is _rule("request: reject", defaults=defaults).response


# --- bind ----------------------------------------------------------------------------------------


def test_the_default_bind_is_what_is_given() -> None:
    assert {"tenant", "field"} == _item("$.a").bind
    rule = _rule("conversation: path:id\nrequest: {encrypt: $.a}")
    assert {"tenant", "conversation", "field"} == _request(rule).encrypt[0].bind


def test_an_inherited_bind_leaves_out_what_is_not_given() -> None:
    defaults = "{tenant: const:t, bind: [tenant, conversation, message, purpose]}"

    assert {"tenant"} == _request(_rule("request: {encrypt: $.a}", defaults=defaults)).encrypt[
        0
    ].bind


def test_the_closest_bind_is_taken() -> None:
    top = "fields: {a: {bind: [field]}}\n"
    defaults = "{tenant: const:t, bind: [tenant]}"
    from_field = _rule("request: {encrypt: [$.a, $.b]}", defaults=defaults, top=top)
    from_rule = _rule("bind: [tenant, field]\nrequest: {encrypt: $.a}", defaults=defaults, top=top)
    from_block = _rule(
        "bind: [tenant, field]\nrequest: {encrypt: $.a, bind: [tenant]}", defaults=defaults, top=top
    )

    assert [{"field"}, {"tenant"}] == [item.bind for item in _request(from_field).encrypt]
    assert {"tenant", "field"} == _request(from_rule).encrypt[0].bind
    assert {"tenant"} == _request(from_block).encrypt[0].bind


def test_a_block_of_defaults_keeps_its_bind_less_what_is_not_given() -> None:
    defaults = "{tenant: const:t, response: {decrypt: tokens, bind: [tenant, conversation]}}"
    keys = "bind: [tenant, field]\nrequest: {encrypt: $.a}"

    without = _rule(keys, defaults=defaults)
    given = _rule(f"conversation: path:id\n{keys}", defaults=defaults)

    assert _response(without).decrypt[0].bind == {"tenant"}
    assert _response(given).decrypt[0].bind == {"tenant", "conversation"}


def test_tokens_may_be_bound_to_the_field_of_their_place() -> None:
    block = _response(_rule("response: {decrypt: tokens, names: {first_name: firstName}}"))
    assert block.decrypt[0].bind == {"tenant", "field"}
    assert block.renamed == {"first_name": "firstName"}


def test_a_block_gives_its_own_names_to_bind() -> None:
    block = _response(
        _rule("response: {conversation: $.c, decrypt: $.a, bind: [tenant, conversation]}")
    )

    assert {"tenant", "conversation"} == block.decrypt[0].bind
    assert isinstance(block.names.conversation, JsonSource)
    assert block.names.conversation.selector == parse_selector("$.c")


def test_a_purpose_is_bound_where_bind_says_so() -> None:
    bound = _rule("purpose: mail\nbind: [tenant, purpose]\nrequest: {encrypt: $.a}")
    unbound = _rule("purpose: mail\nrequest: {encrypt: $.a}")

    assert (
        _request(bound).encrypt[0].purpose,
        _request(unbound).encrypt[0].purpose,
    ) == ("mail", None)


def test_an_own_bind_needs_a_source_for_each_part() -> None:
    told = _told("bind: [tenant, conversation, purpose]\nrequest: {encrypt: $.a}")

    lacks, cure = "which the rule `r` does not give", "in the rule, or leave it out of `bind`"
    assert told == [
        f"13:15 listeners[0].rules[0].bind binds `{part}`, {lacks}; write `{part}` {cure}"
        for part in ("conversation", "purpose")
    ]


def test_something_is_bound_to_every_value() -> None:
    (told,) = _told("request: {decrypt: tokens}", defaults="{bind: [tenant]}")

    assert told.endswith("request.decrypt is bound to nothing; give the rule a `tenant`")


@pytest.mark.parametrize(
    "name", ["host", "Authorization", "content-type", "If-Match", "X-Forwarded-For"]
)
def test_h6_a_header_that_is_read_on_the_way_cannot_be_selected(name: str) -> None:
    rule = f"      - {{name: a, match: POST /a, request: {{encrypt: 'header:{name}'}}}}\n"

    (told,) = problems_of(with_rules(rule))

    assert told.endswith(
        f"`header:{name.lower()}` is read by servers on the way, so it cannot be a token"
    )


@pytest.mark.parametrize(
    ("defaults", "own", "shuts"),
    [("", "", False), ("", "shut", True), ("shut", "", True), ("shut", "alert", False)],
)
def test_a_rule_shuts_on_poison_where_it_or_the_defaults_say_so(
    defaults: str, own: str, *, shuts: bool
) -> None:
    more = f", poison: {defaults}" if defaults else ""
    text = changed("defaults: {tenant: const:t}", f"defaults: {{tenant: const:t{more}}}")
    if own:
        text = text.replace("      - name: send\n", f"      - name: send\n        poison: {own}\n")
    (rule,) = loaded(text).settings.listeners[0].rules
    assert rule.shuts_on_poison == shuts


@pytest.mark.parametrize(
    ("defaults", "rule", "block", "item", "expected"),
    [
        ("", "", "", "", None),
        ("30d", "", "", "", 30 * 86_400),
        ("30d", "2h", "", "", 7200),
        ("30d", "2h", "5m", "", 300),
        ("30d", "2h", "5m", "1500ms", 2),
        ("30d", "never", "", "", None),
        ("30d", "", "never", "", None),
        ("", "", "5m", "never", None),
        ("never", "", "", "10s", 10),
    ],
)
def test_values_end_as_the_closest_place_says(
    defaults: str, rule: str, block: str, item: str, expected: int | None
) -> None:
    def said(value: str, before: str = "") -> str:
        return f"{before}expires: {value}" if value else ""

    keys = (
        f"{said(rule)}\nrequest: {{encrypt: {{select: $.a{said(item, ', ')}}}"
        f"{said(block, ', ')}}}\nresponse: {{decrypt: $.a}}"
    )

    made = _rule(keys.lstrip(), defaults=f"{{tenant: const:t{said(defaults, ', ')}}}")

    assert _request(made).encrypt[0].expires == expected
    assert _response(made).decrypt[0].expires is None


def test_a_field_in_the_short_form_takes_the_end_back() -> None:
    top = "fields: {a: {form: short}}\n"
    keys = "expires: 30d\nrequest: {encrypt: [{select: $.a, expires: never}, $.b]}"

    items = _request(_rule(keys, top=top)).encrypt

    assert [item.expires for item in items] == [None, 30 * 86_400]
