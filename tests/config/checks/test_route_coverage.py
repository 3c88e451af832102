"""Rules that never match, and writes beside what a listener seals that no rule matches."""

from __future__ import annotations

import pytest

from tests.config.builders import SMALL, open_writes_of, warnings_of, with_rules

SEND = """\
      - name: send
        match: POST /api/v1/a/{id}
        request: {encrypt: $.content}
"""


def unreachable(*matches: str) -> list[str]:
    rules = "".join(
        f"      - name: r{at}\n        match: {one}\n" for at, one in enumerate(matches)
    )
    return [one.partition(" never matches: ")[2] for one in warnings_of(with_rules(rules))]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/**", "GET /a"),
        ("/**", "/"),
        ("/a/**", "/a"),
        ("/a/**", "/a/b/**"),
        ("/a/{x}", "/a/b"),
        ("/a/{x}", "/a/{y}"),
        ("GET /a", "HEAD /a"),
        ("GET,POST /a", "POST /a"),
        ("[/a, /b]", "[/b, /a]"),
    ],
)
def test_a_rule_that_an_earlier_one_covers_is_warned_of(first: str, second: str) -> None:
    assert unreachable(first, second) == ["rule `r0` before it matches the same requests"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a", "/b"),
        ("/a/b", "/a/{x}"),
        ("/a", "/a/**"),
        ("/a/*/**", "/a/**"),
        ("/{x}", "/"),
        ("GET /a", "/a"),
        ("HEAD /a", "GET /a"),
        ("/a", "[/a, /b]"),
        ("/a/{x}", "/a/b/c"),
    ],
)
def test_a_rule_that_can_still_match_is_not(first: str, second: str) -> None:
    assert unreachable(first, second) == []


def test_two_earlier_rules_cover_together() -> None:
    assert unreachable("/a", "/b", "[/a, /b]") == ["rule `r0` before it matches the same requests"]


def test_a_rule_does_not_cover_itself() -> None:
    assert unreachable("[/a, /a]") == []


def warned(*rules: str, send: str = SEND) -> list[str]:
    """Return what is told of the rule `send` and others, each a match and `;` what it says."""
    more = ""
    for at, one in enumerate(rules):
        match, _, says = one.partition("; ")
        more += f"      - name: r{at}\n        match: {match}\n"
        more += f"        {says}\n" if says else ""
    return open_writes_of(with_rules(send + more))


def test_an_open_listener_is_told_of_with_its_place_and_two_ways_to_close_it() -> None:
    (told,) = open_writes_of(SMALL)
    assert told.startswith("8:16 listeners[0].unmatched writes that no rule matches pass")
    assert "beside what `send` seals" in told
    assert "`unmatched: reject`" in told
    assert "`match: POST,PUT,PATCH /a/**` with `request: reject`" in told


def test_the_area_is_what_stands_beside_the_route() -> None:
    (told,) = warned()
    assert "POST,PUT,PATCH /api/v1/a/**" in told
    (told,) = warned(send=SEND.replace("/api/v1/a/{id}", "/api/v1/a"))
    assert "POST,PUT,PATCH /api/v1/**" in told
    (told,) = warned(send=SEND.replace("/api/v1/a/{id}", "/{what}"))
    assert "POST,PUT,PATCH /**" in told


@pytest.mark.parametrize(
    "closing",
    [
        ["/**; request: reject"],
        ["/api/**; request: reject"],
        ["/api/v1/a/**; request: pass"],
        ["/api/v1/a/**; request: {encrypt: body}"],
        ["/api/{version}/**; request: reject"],
        ["POST,PUT,PATCH,DELETE /api/v1/**; request: reject"],
        ["POST /**; request: reject", "PUT,PATCH /api/**; request: reject"],
    ],
)
def test_rules_for_all_of_the_area_close_it(closing: list[str]) -> None:
    assert warned(*closing) == []


@pytest.mark.parametrize(
    "other",
    [
        ["/api/v1/b/**; request: reject"],
        ["POST,PUT /**; request: reject"],
        ["/api/v1/a/{id}/**; request: reject"],
        ["/api/v1/a; request: reject"],
        ["WS /**"],
        ["/**; request: reject\n        mode: observe"],
    ],
)
def test_other_rules_do_not(other: list[str]) -> None:
    assert len(warned(*other)) == 1


def test_one_area_of_two_is_told() -> None:
    more = SEND.replace("send", "more").replace("/api/v1/a/", "/b/")
    (told,) = warned("/api/**; request: reject", send=SEND + more)
    assert "`more`" in told


@pytest.mark.parametrize(
    "send",
    [
        SEND.replace("encrypt", "decrypt"),
        SEND.replace("request:", "mode: observe\n        request:"),
        SEND.replace("POST", "GET"),
        SEND.replace("POST", "WS"),
        SEND.replace("request:", "response:"),
    ],
)
def test_what_seals_no_write_leaves_nothing_open(send: str) -> None:
    assert warned(send=send) == []


def test_a_listener_that_rejects_is_closed() -> None:
    assert open_writes_of(SMALL.replace("unmatched: pass", "unmatched: reject")) == []


SILENT = "writes that it matches pass unsealed, even beside what `send` seals"


def told_of_rules(*rules: str, unmatched: str = "pass", send: str = SEND) -> list[str]:
    """Return the places that are told to leave writes open, by rules that say nothing of them."""
    more = "".join(f"      - name: r{at}\n        {one}\n" for at, one in enumerate(rules))
    text = with_rules(send + more).replace("unmatched: pass", f"unmatched: {unmatched}")
    return [one.split(" ")[1] for one in warnings_of(text) if SILENT in one]


@pytest.mark.parametrize("unmatched", ["pass", "reject"])
@pytest.mark.parametrize(
    "rules",
    [
        ["match: /**"],
        ["match: /api/**\n        response: {decrypt: $.content}"],
        ["match: POST,PUT /api/{version}/**", "match: /**\n        request: reject"],
        ["match: POST,PUT /**\n        request: reject", "match: /**"],
        ["match: /**\n        request: {decrypt: $.never}"],
    ],
)
def test_a_rule_for_all_that_says_nothing_of_requests_leaves_the_area_open(
    rules: list[str], unmatched: str
) -> None:
    at = 2 if "reject" in rules[0] else 1
    assert told_of_rules(*rules, unmatched=unmatched) == [f"listeners[0].rules[{at}].name"]


@pytest.mark.parametrize("unmatched", ["pass", "reject"])
@pytest.mark.parametrize(
    "rules",
    [
        ["match: /**\n        request: pass"],
        ["match: GET,DELETE /**"],
        ["match: WS /**"],
        ["match: /api/v1/b/**"],
        ["match: POST,PUT,PATCH /api/v1/a/**\n        request: reject", "match: /**"],
        ["match: /**\n        mode: observe"],
    ],
)
def test_a_rule_that_says_what_becomes_of_them_or_takes_no_writes_does_not(
    rules: list[str], unmatched: str
) -> None:
    assert told_of_rules(*rules, unmatched=unmatched) == []


def test_a_rule_that_leaves_two_areas_open_is_told_once() -> None:
    more = SEND.replace("send", "more").replace("/api/v1/a/", "/b/")
    assert len(told_of_rules("match: /**", send=SEND + more)) == 1


def passed(first: str, second: str) -> list[str]:
    """Return where a pattern of the second rule, a match and what it says, never matches."""
    rules = "".join(
        f"      - name: r{at}\n        match: {match}\n        {says}\n"
        for at, (match, _, says) in enumerate(one.partition("; ") for one in (first, second))
    )
    return [one.split(" ")[1] for one in warnings_of(with_rules(rules)) if "never matches" in one]


@pytest.mark.parametrize(
    "first",
    [
        "POST /a; request: pass",
        "/a; response: {decrypt: $.content}",
        "/**; mode: observe\n        request: {encrypt: $.content}",
        "POST /a; request: {decrypt: $.content}",
    ],
)
def test_a_pattern_that_an_earlier_rule_passes_unsealed_is_warned_of(first: str) -> None:
    second = "[/b, POST /a]; request: {encrypt: $.content}"
    if "/**" in first:
        second = second.replace("/b", "WS /b")
    assert passed(first, second) == ["listeners[0].rules[1].match[1]"]


def test_a_response_that_an_earlier_rule_passes_unsealed_is_warned_of() -> None:
    second = "[/b, GET /a]; response: {encrypt: $.content}"
    assert passed("GET /a; request: pass", second) == ["listeners[0].rules[1].match[1]"]
    assert passed("GET /a; response: {encrypt: $.other}", second) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("POST /a; request: reject", "[/b, POST /a]; request: {encrypt: $.content}"),
        ("POST /a; request: {encrypt: $.x}", "[/b, POST /a]; request: {encrypt: $.content}"),
        ("POST /a; request: pass", "[/b, POST /a]; response: {decrypt: $.content}"),
        ("POST /a; request: pass", "[/b, /a]; request: {encrypt: $.content}"),
    ],
)
def test_a_pattern_of_which_nothing_passes_unsealed_is_not(first: str, second: str) -> None:
    assert passed(first, second) == []


def test_the_first_rule_that_covers_a_pattern_is_the_one_that_takes_it() -> None:
    rules = """\
      - {name: all, match: "POST /{x}", request: reject}
      - {name: one, match: POST /a, request: pass}
      - {name: send, match: ["/b", "POST /a"], request: {encrypt: $.content}}
"""
    assert [one.split(" ")[1] for one in warnings_of(with_rules(rules)) if "never" in one] == [
        "listeners[0].rules[1].name"
    ]
