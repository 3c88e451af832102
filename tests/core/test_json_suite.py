"""The JSON parsing suite: what is no JSON is refused, what is JSON keeps its every byte.

Each file is tried alone and inside a wrapper, under selectors that lead into it, past it and
nowhere. Files whose names begin with i_ may be refused or kept, but never changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import ForbiddenValue, InvalidBody
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.formats.json import Selection, validate
from tests.factories import a_block, a_message, a_rule, an_item, replied, sent

SUITE = Path(__file__).parent.parent / "vectors" / "json-suite"
FILES = sorted((SUITE / "test_parsing").iterdir()) + sorted((SUITE / "test_transform").iterdir())
REFUSED = [one for one in FILES if one.name.startswith("n_")]
ACCEPTED = [one for one in FILES if one.name.startswith("y_")]
EITHER = [one for one in FILES if not one.name.startswith(("n_", "y_"))]
ALONE = ("", "$..x", "$[0]", "$.a", "$.*", "$")
WRAPPED = ("", "$.v", "$.v..x", "$.v[0]", "$.v.a", "$.v.*", "$..a", "$.w")


def cases(files: list[Path]) -> list[Any]:
    return [
        pytest.param(body, selectors, id=f"{file.stem} {name}")
        for file in files
        for name, body, selectors in (
            ("alone", file.read_bytes(), ALONE),
            ("wrapped", b'{"v": ' + file.read_bytes() + b"}", WRAPPED),
        )
    ]


def duplicates(body: bytes, selector: str) -> bool:
    """Tell whether a member stands twice on the way of the selector."""
    found: list[Counter[str]] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        found.append(Counter(name for name, _ in pairs))

    json.loads(body, object_pairs_hook=note)
    twice = [names for names in found if any(count > 1 for count in names.values())]
    if ".." in selector:
        return bool(twice)
    if selector.endswith(".a"):
        return any(names["a"] > 1 for names in twice)
    return bool(twice) and selector.endswith(".*")


def stands_for_a_list(body: bytes, selector: str) -> bool:
    """Tell whether one value stands where the selector has elements of a list."""
    value = json.loads(body)
    if selector.startswith("$.v"):
        value = value["v"]
    return selector.endswith((".*", "[0]")) and not isinstance(value, list | dict | None)


def is_of_another_type(body: bytes, selector: str) -> bool:
    """Tell whether a list stands where the selector has an object, or an object for a list."""
    value = json.loads(body)
    if selector.startswith("$.v"):
        value = value["v"]
    if selector.endswith("[0]"):
        return isinstance(value, dict)
    names_a_member = not selector or (selector.endswith(".a") and ".." not in selector)
    return names_a_member and isinstance(value, list)


def pieces(body: bytes, selector: str) -> tuple[list[bytes], list[bytes]]:
    """Return what lies outside and inside the selected spans."""
    selectors = (parse_json_selector(selector),) if selector else ()
    found = Selection(selectors).find(body).found
    outside, inside, at = [], [], 0
    for one in found[0] if found else []:
        outside.append(body[at : one.start])
        inside.append(body[one.start : one.end])
        at = one.end
    return [*outside, body[at:]], inside


def there_and_back(body: bytes, selector: str) -> tuple[bytes, bytes]:
    """Return the body sealed, and opened again."""
    item = an_item(selector or "$.no.such.member", field="f", bind=["field"], optional=True)
    block = replace(a_block(encrypt=[item]), case_variants_allowed=True)
    rule = a_rule(request=block, response=a_block(decrypt=[item]))
    sealed = sent(rule, a_message(body))
    return sealed, replied(a_rule(response=a_block(decrypt=[item])), sealed)


def assert_only_the_selected_changes(body: bytes, selector: str) -> None:
    sealed, opened = there_and_back(body, selector)
    outside, inside = pieces(body, selector)
    assert outside == pieces(sealed, selector)[0]
    assert outside == pieces(opened, selector)[0]
    assert all(b"eyJ0eXAiOiJzeTEi" in one for one in pieces(sealed, selector)[1])
    for before, after in zip(inside, pieces(opened, selector)[1], strict=True):
        if before.startswith(b'"'):
            assert json.loads(before) == json.loads(after)
        else:
            assert before == after


def test_the_suite_is_there() -> None:
    assert (len(REFUSED), len(ACCEPTED), len(EITHER)) > (90, 90, 40)


@pytest.mark.no_cover
@pytest.mark.parametrize(("body", "selectors"), cases(REFUSED))
def test_what_is_no_json_is_refused(body: bytes, selectors: Sequence[str]) -> None:
    for selector in selectors:
        chosen = (parse_json_selector(selector),) if selector else ()
        with pytest.raises(InvalidBody):
            Selection(chosen).find(body)


@pytest.mark.no_cover
@pytest.mark.parametrize(("body", "selectors"), cases(ACCEPTED))
def test_what_is_json_changes_only_where_selected(body: bytes, selectors: Sequence[str]) -> None:
    validate(body)
    for selector in selectors:
        if duplicates(body, selector):
            with pytest.raises(InvalidBody, match="duplicate-member"):
                there_and_back(body, selector)
        elif stands_for_a_list(body, selector):
            with pytest.raises(ForbiddenValue, match="name-hidden"):
                there_and_back(body, selector)
        elif is_of_another_type(body, selector):
            with pytest.raises(ForbiddenValue, match="parent-of-another-type"):
                there_and_back(body, selector)
        else:
            assert_only_the_selected_changes(body, selector)


@pytest.mark.no_cover
@pytest.mark.parametrize(("body", "selectors"), cases(EITHER))
def test_what_is_doubtful_is_refused_or_changes_only_where_selected(
    body: bytes, selectors: Sequence[str]
) -> None:
    for selector in selectors:
        try:
            there_and_back(body, selector)
        except InvalidBody:
            continue
        except ForbiddenValue:
            assert is_of_another_type(body, selector)
            continue
        assert_only_the_selected_changes(body, selector)
