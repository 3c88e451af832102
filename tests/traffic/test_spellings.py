"""Names and places that no table knows: none brings a value to a backend under closed rules."""

from __future__ import annotations

import asyncio
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from proxy.core.explain.explanation import PlayedAnswer, Wanted
from proxy.explaining.trial import explain
from tests.config.builders import loaded

from .test_shapes import BASE

GROUPS: Final = yaml.safe_load((Path(__file__).parent / "spellings.yaml").read_text("utf-8"))
SPELLINGS: Final = [(group, one) for group in GROUPS for one in group["requests"]]
CANARY: Final = "canary-0b77de"
PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "plain.md"
OPEN: Final = {"pass": 44, "refuse": 0, "seal": 0}
"""How many of them reach the backend in each world."""


def rule_of(group: dict[str, Any], world: str) -> dict[str, Any]:
    """Return the rule of a group, with what it says of others."""
    rule: dict[str, Any] = deepcopy(group["rule"]) | {"name": "one", "tenant": "const:t"}
    if "request" not in rule:
        return rule
    rule["request"]["others"] = world
    if world != "pass":
        rule["request"]["plain"] = group["plain"]
    if world == "seal":
        rule["response"] = {"decrypt": "tokens", "on_error": "keep"}
    return rule


def reaches(group: dict[str, Any], one: dict[str, Any], world: str) -> bool:
    """Return whether the backend gets the value."""
    document = yaml.safe_load(BASE)
    document["listeners"][0]["rules"] = [rule_of(group, world)]
    settings = loaded(yaml.safe_dump(document, allow_unicode=True)).settings
    method, _, path = group["rule"]["match"].partition(" ")
    method, _, target = one.get("ask", f"{method} {path}").partition(" ")
    body = one["body"].replace("$CANARY", CANARY)
    kind = one.get("type", group.get("type", "application/json"))
    if kind.startswith("multipart/"):
        body = body.replace("\n", "\r\n")
    headers = ((b"Content-Type", kind.encode()),) if body else ()
    target = target.replace("{room}", "r1").replace("$CANARY", CANARY)
    wanted = Wanted(method, target, headers, body.encode(), PlayedAnswer(200, (), b""))
    return CANARY.encode() in asyncio.run(explain(settings.listeners[0], wanted)).sent


@pytest.mark.parametrize("world", ["refuse", "seal"])
@pytest.mark.parametrize(
    ("group", "one"), SPELLINGS, ids=[f"{group['family']}, {one['by']}" for group, one in SPELLINGS]
)
def test_no_unlisted_spelling_brings_a_value(
    group: dict[str, Any], one: dict[str, Any], world: str
) -> None:
    assert not reaches(group, one, world)


def test_so_many_of_them_reach_the_backend_in_each_world() -> None:
    found = Counter(
        world for world in OPEN for group, one in SPELLINGS if reaches(group, one, world)
    )
    assert {world: found[world] for world in OPEN} == OPEN


def test_the_page_of_what_may_be_plain_tells_how_many() -> None:
    told = f"Of {len(SPELLINGS)} spellings that no table knows (`tests/traffic/spellings.yaml`),"
    told += f" {OPEN['pass']} bring a value to the backend under `pass`, none under the others."
    assert told in PAGE.read_text("utf-8")
