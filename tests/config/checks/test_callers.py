"""Callers whose credentials cannot come, or could come from anybody, are mistakes."""

from __future__ import annotations

import pytest

from tests.config.builders import problems_of, warnings_of, with_rules

JWT = "{issuer: https://id, audience: m, jwks: {file: k.json}, algorithms: [ES256]"
OTHER = JWT.replace("https://id", "https://other")
XFCC = "{uri: 'spiffe://a/*', by: spiffe://us}"
TLS = "tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}"
RULE = """\
      - name: r
        match: POST /a/{id}
        tenant: SOURCE
        request: {encrypt: $.a}
"""


def told(*lines: str, source: str = "const:t") -> list[str]:
    text = with_rules(RULE.replace("SOURCE", source), defaults="{conversation: path:id}")
    more = "".join(f"    {line}\n" for line in lines)
    problems = problems_of(text.replace("    rules:", f"{more}    rules:"))
    assert not any("Traceback" in one for one in problems)
    return problems


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["callers: [{name: a, jwt: " + JWT + "}}]"], ""),
        (["caller_order: [jwt]"], "needs `callers`"),
        (["callers: [{name: anyone, jwt: " + JWT + "}}]"], "is a client without credentials"),
        (["callers: [{name: Doctor, jwt: " + JWT + "}}]"], "is not the name of a caller"),
        (["callers: [{name: a}]"], "lacks a key"),
        (["callers: [{name: a, certificate: {dns: b}}]"], "needs `tls` with `client_ca`"),
        ([TLS, "callers: [{name: a, certificate: {dns: b}}]"], ""),
        (["callers: [{name: a, xfcc: " + XFCC + "}]"], "needs `trusted_proxies`"),
        (["trusted_proxies: [10.0.0.0/8]", "callers: [{name: a, xfcc: " + XFCC + "}]"], ""),
        (["callers: [{name: a, header: {name: X, equals: b}}]"], "need each other"),
        (
            [TLS, "callers: [{name: a, jwt: " + JWT + "}, over: {certificate: {dns: b}}}]"],
            "need each other",
        ),
        (
            [
                TLS,
                "trusted_proxies: [127.0.0.6/32]",
                "callers: [{name: a, header: {name: X, equals: b}, over: {certificate: {dns: b}}}]",
            ],
            "does not go with loopback",
        ),
        (
            [
                TLS,
                "trusted_proxies: ['0.0.0.0/0']",
                "callers: [{name: a, header: {name: X, equals: b}, over: {certificate: {dns: b}}}]",
            ],
            "does not go with loopback",
        ),
        (
            [
                "trusted_proxies: [10.0.0.0/8]",
                "callers: [{name: a, xfcc: {uri: a, by: b, hops: 2}}]",
            ],
            "need each other",
        ),
        (
            ["callers: [{name: a, jwt: " + JWT.replace("ES256", "HS256") + "}}]"],
            "`HS256` is unknown",
        ),
        (
            ["callers: [{name: a, jwt: " + JWT.replace("file: k.json", "url: 'http://a/'") + "}}]"],
            "begins with `https://`",
        ),
    ],
)
def test_a_caller_that_cannot_be_verified_is_told(lines: list[str], expected: str) -> None:
    problems = told(*lines)

    assert len(problems) == bool(expected)
    assert all(expected in one for one in problems)


def test_names_need_a_caller_with_a_token() -> None:
    nobody = told(source="caller:org")
    one = told("callers: [{name: a, jwt: " + JWT + "}}]", source="caller:org")

    assert ["no caller of the listener has a `jwt`" in told for told in nobody] == [True]
    assert one == []


def test_several_issuers_that_give_names_need_tenants() -> None:
    tenants = ", tenants: {claim: org, allow: [t]}}"
    first, second = "{name: a, jwt: " + JWT, "{name: b, jwt: " + OTHER

    for ends, source, problems in (
        (("}}", "}}"), "caller:org", 1),
        ((tenants + "}", "}}"), "caller:org", 1),
        ((tenants + "}", tenants + "}"), "caller:org", 0),
        (("}}", "}}"), "const:t", 0),
    ):
        callers = f"callers: [{first}{ends[0]}, {second}{ends[1]}]"
        found = told(callers, source=source)
        assert len(found) == problems, (ends, found)
        assert all("each need `tenants`" in one for one in found)


def test_unverified_claims_need_trusted_names_wherever_they_name_something() -> None:
    for source in ("jwt-unverified:org", "'t-{jwt-unverified:org}'"):
        (problem,) = told(source=source)
        assert "a tenant from `jwt-unverified:` is chosen by the client" in problem
        assert told("trusted_names: true", source=source) == []
    conversation = with_rules(
        RULE.replace("SOURCE", "const:t").replace(
            "        tenant", "        message: jwt-unverified:sub\n        tenant"
        )
    )
    assert any("a message from `jwt-unverified:`" in one for one in problems_of(conversation))


def opening(*selectors: str) -> str:
    chosen = ", ".join(f"'{one}'" for one in selectors)
    return f"""\
      - name: r
        match: GET /a/{{id}}
        response: {{decrypt: [{chosen}]}}
"""


CALLERS = "    callers: [{name: a, jwt: " + JWT + "}}]\n"
AUDITED = "audit: {opens: all}\n"


def two(first: str, second: str, *, more: str = "", address: str = "3000") -> list[str]:
    """Return the warnings about a listener with callers, and one beside it."""
    text = with_rules(first, defaults="{tenant: const:t, conversation: path:id}", top=AUDITED)
    text = text.replace("    rules:", f"{CALLERS}    rules:")
    other = text[text.index("  - name:") :].replace(CALLERS, more).replace(first, second)
    name = other.split()[2]
    other = other.replace(f"name: {name}", "name: beside", 1).replace(":3000", f":{address}")
    return warnings_of(text + other.replace(":8080", ":8081"))


def test_values_that_callers_open_without_a_line_are_told() -> None:
    text = with_rules(opening("$.a"), defaults="{tenant: const:t, conversation: path:id}")
    text = text.replace("    rules:", f"{CALLERS}    rules:")
    [warning] = warnings_of(text)
    assert warning.endswith("no line says who has read what; write `audit: {opens: all}`")
    for line in (AUDITED, "audit: {opens: values-and-masks}\n"):
        assert warnings_of(text.replace("listeners:", f"{line}listeners:", 1)) == []
    sealing = with_rules(RULE.replace("SOURCE", "const:t"), defaults="{conversation: path:id}")
    sealing = sealing.replace("    rules:", f"{CALLERS}    rules:")
    assert not any("who has read what" in one for one in warnings_of(sealing))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [("$.a", "$.a", "`a`"), ("tokens", "$.a", "`a`"), ("$.a", "tokens", "`a`"), ("$.a", "$.b", "")],
)
def test_what_a_listener_without_callers_opens_of_theirs_is_told(
    first: str, second: str, told: str
) -> None:
    found = two(opening(first), opening(second))
    assert any(f"opens {told} for everybody" in one for one in found) == bool(told)
    for more in (
        two(opening(first), opening(second), more=CALLERS),
        two(opening(first), opening(second), address="3001"),
        two(opening(first), RULE.replace("SOURCE", "const:t")),
    ):
        assert not any("for everybody" in one for one in more)


def test_what_not_every_caller_gets_is_not_opened_for_the_backend_by_chance() -> None:
    reads = opening("$.a").replace("['$.a']", "[{select: $.a, for: {a: absent}}]")
    exports = """\
      - name: export
        match: POST /export/{id}
        request: {WHOdecrypt: $.a}
"""
    for rules, who, told in (
        (reads, "", True),
        (reads, "for: [a, anyone], ", False),
        (opening("$.a"), "", False),
    ):
        text = with_rules(
            rules + exports.replace("WHO", who),
            defaults="{tenant: const:t, conversation: path:id}",
            top=AUDITED,
        )
        found = warnings_of(text.replace("    rules:", f"{CALLERS}    rules:"))
        assert any("opens `a` of requests of every caller" in one for one in found) == told


GUESSED = """\
      - name: add
        match: POST /users
        request: {WHOencrypt: $.email}
      - name: list
        match: GET /users
        query: {page: plain}
        response: {decrypt: [{select: $.*.email, GETS}]}
      - name: find
        match: GET /users/found
        request: {encrypt: 'query:email'}
        response: {decrypt: [{select: tokens, GETS}]}
"""
TWO = "    callers: [{name: a, jwt: " + JWT + "}}, {name: b, jwt: " + JWT + "}}]\n"


@pytest.mark.parametrize(
    ("gets", "who", "form", "told"),
    [
        ("for: {a: value, b: token}", "", "equal", ["`b`"]),
        ("for: {a: value}, otherwise: token", "", "equal", ["`anyone`", "`b`"]),
        ("for: {a: value, b: token}, otherwise: token", "for: [a, b], ", "equal", ["`b`"]),
        ("for: {a: value, b: token}", "for: [a], ", "equal", []),
        ("for: {a: value, b: absent}", "", "equal", []),
        ("for: {a: value, b: value}", "", "equal", []),
        ("for: {a: value, b: token}", "", "short", []),
    ],
)
def test_who_gets_equal_tokens_and_may_seal_can_guess_values(
    gets: str, who: str, form: str, told: list[str]
) -> None:
    leaks = "bind: [tenant, field], accept_leakage: true, " if form == "equal" else ""
    text = with_rules(
        GUESSED.replace("GETS", gets).replace("WHO", who),
        defaults="{tenant: const:t, bind: [tenant, field]}",
        top=f"{AUDITED}fields: {{email: {{{leaks}form: {form}}}}}\n",
    ).replace("    rules:", f"{TWO}    rules:")
    found = sorted(one for one in warnings_of(text) if "can guess values" in one)
    line = text[: text.index("- name: list")].count("\n") + 1
    first = [one for one in found if one.startswith(f"{line}:")]
    assert [one.split(" gets equal")[0].split()[-1] for one in first] == told
    assert len(found) == 2 * len(told)
    assert all(
        "rule `add` seals them for it; give it `absent`, or write `for`" in one for one in found
    )


@pytest.mark.parametrize(
    ("one", "other", "bad"), [("idp:", "idp:2:", True), ("a:", "a:", True), ("a:", "b:", False)]
)
def test_no_issuer_can_name_what_another_does_by_its_prefix(
    one: str, other: str, *, bad: bool
) -> None:
    both = [
        f"{{name: {name}, jwt: {jwt}, tenants: {{claim: org, prefix: '{prefix}'}}}}}}"
        for name, jwt, prefix in (("a", JWT, one), ("b", OTHER, other))
    ]
    found = told(f"callers: [{', '.join(both)}]", source="caller:org")
    assert any("begins that of another issuer" in each for each in found) == bad
