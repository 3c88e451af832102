"""The page and the tests name the same drills, and each is done under every kind of root."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.config.settings.root_kinds import ROOT_KINDS
from tests.drills.page import WHY_NOT, drills

TESTS = sorted(Path(__file__).parent.glob("test_*.py"))


def practised() -> Iterator[tuple[str, set[str]]]:
    """Give the title of the drill of each test, and the kinds of root that it runs under."""
    for file in TESTS:
        module = importlib.import_module(f"tests.drills.{file.stem}")
        for name, test in vars(module).items():
            if name.startswith("test_") and inspect.isfunction(test):
                text = inspect.getsource(test)
                yield from ((one, kinds(test)) for one in drills() if f'"{one}"' in text)


def kinds(test: Callable[..., object]) -> set[str]:
    """Return the kinds of root that a test has as its parameter."""
    marks = [one for one in getattr(test, "pytestmark", ()) if one.args[:1] == ("kind",)]
    return {getattr(one, "values", (one,))[0] for mark in marks for one in mark.args[1]}


def test_every_drill_of_the_page_is_practised_under_every_kind_of_root() -> None:
    found: dict[str, list[set[str]]] = {}
    for title, under in practised():
        found.setdefault(title, []).append(under & set(ROOT_KINDS))
    assert set(found) == set(drills())
    left = {title: set(ROOT_KINDS).difference(*tests) for title, tests in found.items()}
    assert {title: one for title, one in left.items() if one} == {
        title: set(reasons) for title, reasons in WHY_NOT.items()
    }


def test_scripts_of_the_page_are_followed_by_their_numbers() -> None:
    text = "\n".join(one.read_text() for one in TESTS)
    assert max(len(one.scripts) for one in drills().values()) == 3
    assert set(re.findall(r"follow\((\d)", text)) == {"1", "2"}  # later scripts, by number
