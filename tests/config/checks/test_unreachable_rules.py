import pytest

from tests.config.builders import warnings_of, with_rules


def _warned(*matches: str) -> list[str]:
    rules = "".join(
        f"      - name: r{at}\n        match: {one}\n" for at, one in enumerate(matches)
    )
    return [one.partition(" can never match: ")[2] for one in warnings_of(with_rules(rules))]


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
    assert _warned(first, second) == ["`r0` comes before it"]


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
    assert _warned(first, second) == []


def test_two_earlier_rules_cover_together() -> None:
    assert _warned("/a", "/b", "[/a, /b]") == ["`r0` comes before it"]


def test_a_rule_does_not_cover_itself() -> None:
    assert _warned("[/a, /a]") == []
