"""Places for the log: what the configuration names, and a hash of the rest."""

from __future__ import annotations

import re

import pytest

from proxy.core.values.key_needs import Opening
from proxy.traffic.exchange import place_names
from proxy.traffic.exchange.place_names import PlaceNames

PLACES = PlaceNames(frozenset({"payment", "card", "page"}), bytes(32))


@pytest.mark.parametrize(
    ("path", "before"),
    [
        (("payment", "card"), "$.payment.card"),
        (("payment", 3, "card"), "$.payment[*].card"),
        (("payment", "ada@example.org"), "$.payment.*#"),
        (("ada@example.org", "payment"), "$.*#"),
        (("payment",) * 100, "$" + ".payment" * 16 + ".*#"),
        (("\ud800",), "$.*#"),
    ],
)
def test_only_known_names_are_spelled(path: tuple[str | int, ...], before: str) -> None:
    spelled = PLACES.spelled(path)
    assert spelled.partition("#")[0] == before.rstrip("#")
    assert len(spelled) == len(before) + (6 if before.endswith("#") else 0)


def test_names_of_the_query_are_hashed_as_well() -> None:
    assert PLACES.spelled(("page",), in_query=True) == "?page"
    assert PLACES.spelled(("ada",), in_query=True).startswith("?*#")


def test_a_hash_tells_places_apart_and_not_elements() -> None:
    assert PLACES.spelled(("a", 1, "b")) == PLACES.spelled(("a", 2, "b"))
    assert len({PLACES.spelled(one) for one in (("a", "b"), ("a.b",), ("b", "a"), ("a",))}) == 4


def test_another_key_has_other_hashes() -> None:
    other = PlaceNames(frozenset(), bytes([1] * 32))
    assert other.spelled(("a",)) != PLACES.spelled(("a",))


def test_fields_that_the_configuration_does_not_have_are_hashed_where_opens_are_told() -> None:
    counts = {("card", "opened"): 2, ("payment/card", "opened"): 1, ("body", "opened"): 1}
    known = Opening("api", "", "response", "r", None, "", (), counts)  # type: ignore[arg-type]  # literals
    canary = known._replace(counts={**counts, ("canary", "masked"): 3})  # type: ignore[dict-item]  # as above

    assert PLACES.told(known) == known
    told = {f"{field}:{how}": n for (field, how), n in PLACES.told(canary).counts.items()}
    (hidden,) = told.keys() - {"card:opened", "payment/card:opened", "body:opened"}
    assert re.fullmatch("\\*#[0-9a-f]{6}:masked", hidden)
    assert told[hidden] == 3


def test_fields_whose_short_hashes_are_equal_are_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place_names, "PLACE_HASH_CHARS", 0)
    counts = {("ada", "opened"): 2, ("eve", "opened"): 3, ("eve", "masked"): 1}
    one = Opening("api", "", "response", "r", None, "", (), counts)  # type: ignore[arg-type]  # literals
    assert PLACES.told(one).counts == {("*#", "opened"): 5, ("*#", "masked"): 1}
