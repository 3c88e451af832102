"""What lists a place: names, elements, any member, texts of JSON, alone and together."""

from __future__ import annotations

import json

import pytest

from proxy.core.errors import InvalidBody, UnlistedName
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.formats.json.closed import ClosedJson, ClosedNames
from proxy.core.formats.json.walk import SCANNED_MAX


def places(*changed: str, plain: tuple[str, ...] = ()) -> ClosedJson:
    return ClosedJson(
        [parse_json_selector(one).steps for one in changed],
        (),
        [parse_json_selector(one).steps for one in plain],
    )


def lists(closed: ClosedJson, body: object) -> bool:
    """Return whether all of a body is listed, by a glance or by the walk."""
    text = json.dumps(body).encode()
    clear = closed.is_clear(text)
    try:
        closed.refuse_others(text)
    except UnlistedName:
        assert not clear
        return False
    return True


@pytest.mark.parametrize(
    ("path", "is_listed"),
    [
        (("list", 0, "a"), True),
        (("list", 0, "a", "within"), True),
        (("list", 1), True),
        (("list", 2), False),
        (("list",), False),
        (("text",), True),
        (("more", "a"), False),
        ((), False),
    ],
)
def test_a_place_is_looked_up_by_its_path(path: tuple[str | int, ...], *, is_listed: bool) -> None:
    closed = places("$.list[0].a", "$.text json:$.t", plain=("$.list[1]",))
    assert closed.lists(path) is is_listed


def test_a_name_is_listed_whatever_becomes_of_others() -> None:
    for seals in (False, True):
        closed = ClosedNames(["a"], ["b"], {"c": places("$.d")}, seals=seals)
        assert [one for one in "abcd" if closed.knows(one)] == ["a", "b", "c"]


def test_elements_by_number_are_places_of_their_own() -> None:
    closed = places("$.list[0].a", plain=("$.list[1]",))
    assert lists(closed, {"list": [{"a": 1}, 2]})
    assert not lists(closed, {"list": [{"a": 1}, {"a": 2}]})
    assert not lists(closed, {"list": [{"a": 1}, 2, 3]})
    assert not lists(closed, {"list": [1]})


def test_what_any_member_may_be_a_named_one_may_be_too() -> None:
    closed = places("$.*.card", "$.*[0]", "$.*.*.deep", "$.*.note json:$.t", plain=("$.p.id",))
    assert lists(closed, {"p": {"id": 1, "card": 2}})
    assert lists(closed, {"p": {"x": {"deep": 1}}, "q": {"card": 3}})
    assert lists(closed, {"p": [1]})
    assert lists(closed, {"p": {"note": json.dumps({"t": 1})}})
    assert not lists(closed, {"p": {"note": json.dumps({"u": 1})}})
    assert not lists(closed, {"q": {"id": 1}})
    assert not lists(closed, {"p": {"id": 1, "other": 2}})
    assert not lists(closed, {"p": [1, 2]})


def test_texts_of_any_member_are_those_of_a_named_one() -> None:
    closed = places("$.* json:$.t", plain=("$.p.id",))
    assert lists(closed, {"p": json.dumps({"t": 1})})
    assert not lists(closed, {"p": json.dumps({"u": 1})})
    assert not lists(closed, {"p": 1})


@pytest.mark.parametrize("pad", [0, SCANNED_MAX])
def test_nothing_is_left_where_all_is_listed(pad: int) -> None:
    closed = places("$.a")
    assert closed.others(json.dumps({"a": "x" * pad}).encode()) == []
    (one,) = closed.others(json.dumps({"a": "x" * pad, "b": 1}).encode())
    assert one.path == ("b",)


@pytest.mark.parametrize("body", [b"{", b'{"a":1} x', b'{"a":1}}', b'{"a":tru}'])
def test_what_is_no_json_is_not_read(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        places("$.a").refuse_others(body)


@pytest.mark.parametrize("body", [b"{", b'{"a":tru}', b'{"a":' + b"[" * 100_000])
def test_what_is_no_json_is_not_clear(body: bytes) -> None:
    assert not places("$.a").is_clear(body)


def test_a_name_that_is_changed_is_not_looked_at() -> None:
    names = ClosedNames(["sealed"], ["plain"], {}, seals=False)
    names.look_at("sealed", b'{"a":1}')
    names.look_at("plain", b"a text")
    names.refuse("sealed")
    with pytest.raises(UnlistedName):
        names.look_at("plain", b'{"a":1}')
