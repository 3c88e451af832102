"""Places for the log: what the configuration names, and a hash of the rest."""

from __future__ import annotations

import pytest

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
