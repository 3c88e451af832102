import pytest

from tests.config.builders import problems_of, warnings_of, with_rules


def _rules(match: str, keys: str) -> str:
    lines = "".join(f"        {line}\n" for line in keys.splitlines())
    return f"      - name: r\n        match: {match}\n{lines}"


def _told(match: str, keys: str, *, defaults: str = "{tenant: const:t}") -> list[str]:
    return problems_of(with_rules(_rules(match, keys), defaults=defaults))


ENCRYPT = "\nrequest: {encrypt: $.a}"


@pytest.mark.parametrize(
    ("match", "source", "told"),
    [
        ("['/a/{id}', /b]", "path:id", 1),
        ("['/a/{id}', /b]", "[const:a, path:id]", 1),
        ("['/a/{id}', /b]", "{first: [path:id, query:id]}", 0),
        ("[/a, /b]", "{first: [path:id, query:id]}", 1),
        ("['/a/{id}', '/b/{id}']", "path:id", 0),
    ],
)
def test_a_capture_that_a_pattern_lacks_is_told(match: str, source: str, told: int) -> None:
    assert told == len(_told(match, f"conversation: {source}{ENCRYPT}"))


def test_a_capture_of_defaults_is_told_only_where_a_value_needs_it() -> None:
    defaults = "{tenant: const:t, conversation: path:id}"

    assert _told("/a", "request: reject", defaults=defaults) == []
    assert _told("/a", f"bind: [tenant]{ENCRYPT}", defaults=defaults) == []
    (told,) = _told("/a", "request: {encrypt: $.a}", defaults=defaults)
    assert told.startswith("9:47 listeners[0].defaults.conversation `/a` of rule `r` does not")
    assert told.endswith("capture `path:id`; write `{id}` in its `match`")


@pytest.mark.parametrize(
    ("match", "keys", "told"),
    [
        ("GET /a", "conversation: $.c\nresponse: {decrypt: $.a}", 1),
        ("GET,OPTIONS /a", "conversation: [const:x, $.c]\nresponse: {decrypt: $.a}", 1),
        ("GET,POST /a", "conversation: $.c\nresponse: {decrypt: $.a}", 0),
        ("/a", "conversation: $.c\nresponse: {decrypt: $.a}", 0),
        ("GET /a", "conversation: {first: [$.c, query:c]}\nresponse: {decrypt: $.a}", 0),
        ("GET /a", "conversation: $.c\nresponse: {decrypt: $.a, bind: [tenant]}", 0),
        ("GET /a", "conversation: $.c\nresponse: {conversation: $.d, decrypt: $.a}", 0),
        ("GET /a", "conversation: $.c", 0),
    ],
)
def test_a_name_in_a_body_that_is_not_sent_is_told(match: str, keys: str, told: int) -> None:
    assert told == len(_told(match, keys))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("conversation: $.c\nrequest: {decrypt: body}", 1),
        ("request: {conversation: $.c, decrypt: text}", 1),
        ("response: {conversation: $.c, decrypt: body}", 1),
        ("conversation: $.c\nresponse: {decrypt: body}", 0),
        ("conversation: $.c\nrequest: {encrypt: body}", 0),
        ("conversation: $.c\nrequest: {decrypt: body, bind: [tenant]}", 0),
    ],
)
def test_a_name_in_a_sealed_body_is_told(keys: str, told: int) -> None:
    assert told == len(_told("POST /a", keys))


@pytest.mark.parametrize(
    "source", ["header:x", "query:x", "jwt-unverified:org", "[const:a, jwt-unverified:org]"]
)
def test_a_tenant_that_clients_choose_must_be_trusted(source: str) -> None:
    text = with_rules(_rules("/a", "request: {encrypt: $.a}"), defaults=f"{{tenant: {source}}}")
    trusting = text.replace(
        "    unmatched: pass\n", "    unmatched: pass\n    trusted_names: true\n"
    )

    assert len(problems_of(text)) == 1
    assert problems_of(trusting) == []


def test_a_tenant_of_a_block_must_be_trusted_as_well() -> None:
    assert _told("/a", "request: {tenant: $.t, encrypt: $.a}") == []
    assert len(_told("/a", "request: {tenant: header:t, encrypt: $.a}")) == 1


def test_what_a_rule_gives_but_does_not_bind_is_warned_of() -> None:
    keys = "message: $.id\npurpose: mail\nrequest: {encrypt: $.a}\nresponse: {decrypt: $.a}"

    message, purpose = warnings_of(with_rules(_rules("/a", keys)))
    assert message.startswith("13:18 listeners[0].rules[0].message is read but not bound to any")
    assert purpose.startswith("14:18 listeners[0].rules[0].purpose is not bound to any value; add")


def test_g9_a_form_takes_no_name_from_json() -> None:
    rule = "      - {name: a, match: POST /a, conversation: $.c, request: {encrypt: 'form:x'}}\n"

    assert problems_of(with_rules(rule)) == [
        (
            "11:49 listeners[0].rules[0].conversation cannot be read from a form, but rule `a`"
            " needs it; use `path:`, `query:`, `header:` or `caller:`"
        )
    ]
