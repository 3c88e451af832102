"""Shapes of paths: words stay, values do not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.message import HeadFacts
from proxy.traffic.exchange.uncovered import PathShapes, _Place, kind_of_body
from proxy.traffic.policy import MOST_LEVELS, MOST_PLACES, MOST_SIBLINGS


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/", "/"),
        ("/api/messages", "/api/messages"),
        ("/v1/users/4711/notes", "/v1/users/*/notes"),
        ("/users/anna@example.org", "/users/*"),
        ("/a/01HZX3", "/a/*"),
        ("/a/" + "b" * 25, "/a/*"),
        ("/a/%41", "/a/*"),
        ("/a//b/", "/a//b/"),
        ("/a" * MOST_LEVELS + "/b/c", "/a" * MOST_LEVELS + "/**"),
    ],
)
def test_what_may_be_a_value_is_not_shown(path: str, shape: str) -> None:
    assert PathShapes().shape(path) == shape


def test_many_names_in_one_place_are_values() -> None:
    shapes = PathShapes()
    names = [f"/users/{chr(97 + number) * 5}" for number in range(MOST_SIBLINGS + 5)]
    shown = [shapes.shape(name) for name in names]
    assert shown[:MOST_SIBLINGS] == names[:MOST_SIBLINGS]
    assert set(shown[MOST_SIBLINGS:]) == {"/users/*"}
    assert shapes.shape(names[0]) == names[0]


@given(st.lists(st.text("ab/1%.", max_size=12).map("/".__add__), max_size=60))
def test_shapes_are_few(paths: list[str]) -> None:
    shapes = PathShapes()
    for path in paths:
        assert shapes.shape(path) == shapes.shape(path)
    assert len(shapes._root.names) <= MOST_SIBLINGS + 1


def test_a_client_that_makes_names_up_fills_no_memory() -> None:
    shapes = PathShapes()
    words = itertools.product("abcdefgh", repeat=MOST_LEVELS)
    for word in itertools.islice(words, 3 * MOST_PLACES):
        shapes.shape("/" + "/".join(word))

    assert count(shapes._root) <= MOST_PLACES
    assert shapes.shape("/a/a") == "/a/a"
    assert shapes.shape("/h/h/h") == "/**"


def count(place: _Place) -> int:
    return 1 + sum(count(one) for one in place.names.values())


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"application/json; charset=utf-8", "json"),
        (b"application/x-www-form-urlencoded", "form"),
        (b"text/html", "text"),
        (b"image/png", "other"),
        (b"nonsense", "other"),
        (None, "none"),
    ],
)
def test_a_body_has_a_kind(value: bytes | None, kind: str) -> None:
    headers = () if value is None else ((b"Content-Type", value),)
    assert kind_of_body(HeadFacts(headers)) == kind
