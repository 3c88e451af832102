from tests.config.builders import loaded, problems_of, warnings_of, with_rules

SEAL = "      - {name: seal, match: /s, conversation: const:c, request: {encrypt: $.a}}\n"
FEW = "opens whatever a client can make the backend echo"


def _rule(name: str, keys: str) -> str:
    return f"      - {{name: {name}, match: /{name}, {keys}}}\n"


def test_a_field_opened_under_other_parts_is_told() -> None:
    (told,) = problems_of(with_rules(SEAL + _rule("open", "response: {decrypt: $.x.a}")))

    place, _, message = told.partition(" opens ")
    assert place == "12:56 listeners[0].rules[1].response.decrypt"
    assert "the bind [tenant, field], but line 11 seals it with [tenant, conversation," in message


def test_a_field_opened_under_another_purpose_is_told() -> None:
    bound = "bind: [tenant, purpose]"
    rules = _rule("seal", f"purpose: p, {bound}, request: {{encrypt: $.a}}")
    rules += _rule("open", f"purpose: q, {bound}, response: {{decrypt: $.a}}")

    (told,) = problems_of(with_rules(rules))

    assert "the bind [tenant, purpose] `q`, but line 11 seals it with [tenant, purpose] `p`" in told


def test_a_field_may_be_sealed_in_two_ways_and_opened_in_one() -> None:
    rules = (
        SEAL + _rule("also", "request: {encrypt: $.a}") + _rule("open", "response: {decrypt: $.a}")
    )

    assert problems_of(with_rules(rules)) == []


def test_a_field_that_is_only_opened_is_sealed_elsewhere() -> None:
    rules = _rule("open", "response: {decrypt: $.a}")

    assert (problems_of(with_rules(rules)), warnings_of(with_rules(rules))) == ([], [])


def test_other_listeners_count() -> None:
    other = (
        "  - name: other\n    listen: 127.0.0.1:8081\n    upstream: http://127.0.0.1:3000\n"
        "    unmatched: pass\n    rules:\n"
    )
    text = with_rules(SEAL) + other + _rule("open", "response: {decrypt: $.a}, tenant: const:t")

    assert len(problems_of(text)) == 1


def test_a_field_that_nothing_opens_is_warned_of() -> None:
    (warned,) = warnings_of(with_rules(SEAL))

    assert warned.endswith(
        "no rule opens the field `a` with the bind [tenant, conversation, field]"
    )


def test_tokens_open_what_is_bound_to_the_same_parts() -> None:
    defaults = "{tenant: const:t, conversation: const:c, bind: [tenant, conversation]}"
    rules = SEAL + _rule("open", "response: {decrypt: tokens}")

    assert warnings_of(with_rules(rules, defaults=defaults)) == []


def test_tokens_open_no_bodies() -> None:
    defaults = "{tenant: const:t, conversation: const:c, bind: [tenant, conversation]}"
    rules = SEAL.replace("$.a", "body") + _rule("open", "response: {decrypt: tokens}")

    (warned,) = warnings_of(with_rules(rules, defaults=defaults))

    assert "no rule opens the field `body`" in warned


def test_tokens_bound_to_few_parts_are_warned_of() -> None:
    rules = _rule("open", "bind: [tenant], response: {decrypt: tokens}")

    (warned,) = warnings_of(with_rules(rules))

    assert FEW in warned


def test_two_meanings_under_one_name_are_warned_of() -> None:
    rules = _rule("r", "request: {encrypt: [$.from.name, $.to.name]}, response: {decrypt: $.name}")

    (warned,) = warnings_of(with_rules(rules))

    assert "has the same field name `name` as line 11" in warned


def test_the_same_field_deeper_in_an_envelope_has_one_meaning() -> None:
    rules = _rule("one", "request: {encrypt: $.name}, response: {decrypt: $.name}")
    rules += _rule("many", "request: {encrypt: '$.items.*.name'}")

    assert warnings_of(with_rules(rules)) == []


def test_two_meanings_are_told_apart_by_nothing_where_the_field_is_not_bound() -> None:
    rules = _rule("r", "bind: [tenant], request: {encrypt: [$.from.name, $.to.name]}")
    rules += _rule("open", "bind: [tenant], response: {decrypt: $.name}")

    assert warnings_of(with_rules(rules)) == []


def test_tokens_that_open_unescaped_are_warned_of() -> None:
    said = "conversation: const:c, bind: [tenant, conversation], response: {decrypt: tokens"
    for defaults in ("{tenant: const:t}", "{tenant: const:t, escape: none}"):
        own = "" if "escape" in defaults else ", escape: none"

        (warned,) = warnings_of(with_rules(_rule("open", f"{said}{own}}}"), defaults=defaults))

        assert "opens with `escape: none`" in warned
    selected = _rule("open", "response: {decrypt: $.a, escape: none}")
    assert warnings_of(with_rules(selected)) == []


def test_a_block_says_what_is_html_and_how_it_is_written() -> None:
    rules = _rule("open", "response: {decrypt: $.a, html: [$.a, $.b.*.c], escape: keep}")

    response = loaded(with_rules(rules)).settings.listeners[0].rules[0].response

    assert isinstance(response, tuple)
    (block,) = response
    assert block.escape == "keep"
    assert [one.text for one in block.rendered] == ["$.a", "$.b.*.c"]
