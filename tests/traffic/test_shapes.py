"""Requests in the forms of clients: each passes, or the answer names the setting it needs."""

from __future__ import annotations

import asyncio
import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from proxy.core.explain.explanation import Explained, PlayedAnswer, Wanted
from proxy.explaining.trial import explain
from tests.config.builders import loaded

HERE: Final = Path(__file__).parent / "shapes"
RECORDED: Final = HERE / "recorded.yaml"
WRITTEN: Final = HERE / "requests.yaml"
EXAMPLES: Final = Path(__file__).parents[2] / "config" / "examples"
BASE: Final = """\
version: 1
keys:
  keyring: {file: keyring.jwe, passphrase: {env: P}}
listeners:
  - {name: api, listen: 127.0.0.1:8080, upstream: 'http://127.0.0.1:3000', unmatched: reject}
"""
AT_LEAST: Final = 120
"""So many shapes has the file at least."""
SHARE: Final = 0.9
"""So many of them pass as they are, or by the setting that the answer names."""
CLIENTS: Final = 10
_PLACE: Final = re.compile(r": (\$\S+)$")


@dataclass(frozen=True)
class Shape:
    """A request, its rule, and what it needs (`by`) or is refused for (`refused`).

    Instead of a rule of its own it may have an example, which has rules for the whole backend.
    """

    rule: dict[str, Any] | str
    asked: Wanted
    by: str | None
    refused: str | None
    client: bool
    name: str


def shapes() -> list[Shape]:
    """Return all that the files have."""
    return [
        shape(group, one)
        for file in (RECORDED, WRITTEN)
        for group in yaml.safe_load(file.read_text("utf-8"))
        for one in group["requests"]
    ]


def shape(group: dict[str, Any], one: dict[str, Any]) -> Shape:
    """Return a request of a group."""
    rule = group.get("rule") or group["example"]
    return Shape(
        rule,
        wanted(rule, one),
        one.get("by"),
        one.get("refused"),
        group.get("client", False),
        one["from"],
    )


def wanted(rule: dict[str, Any] | str, one: dict[str, Any]) -> Wanted:
    """Return a request as it is written."""
    methods, _, path = ("", "", "") if isinstance(rule, str) else rule["match"].partition(" ")
    method, _, target = one.get("ask", f"{methods.partition(',')[0]} {path}").partition(" ")
    headers = {name: str(value) for name, value in one.get("headers", {}).items()}
    body = one["body"]
    if any("multipart/" in value for value in headers.values()) and "\r" not in body:
        body = body.replace("\n", "\r\n")
    lines = tuple((name.encode(), value.encode()) for name, value in headers.items())
    return Wanted(method, target, lines, body.encode(), PlayedAnswer(200, (), b""))


def asked(shape: Shape, rule: dict[str, Any] | str, accept: list[str]) -> Explained:
    """Return what becomes of a request under a rule, and under what its listener accepts."""
    if isinstance(rule, str):
        settings = loaded((EXAMPLES / rule).read_text("utf-8")).settings
        return asyncio.run(explain(settings.listeners[0], shape.asked))
    document = yaml.safe_load(BASE)
    (listener,) = document["listeners"]
    listener |= {"rules": [{"name": "one", "tenant": "const:t", **rule}], "accept": accept}
    if not accept:
        del listener["accept"]
    settings = loaded(yaml.safe_dump(document, allow_unicode=True)).settings
    return asyncio.run(explain(settings.listeners[0], shape.asked))


def passed(told: Explained) -> bool:
    """Return whether a request reached its backend."""
    return not told.refused and told.sent != b""


def with_setting(shape: Shape, by: str, detail: str) -> tuple[dict[str, Any], list[str]]:
    """Return a rule with the setting that an answer names, and what its listener accepts."""
    assert not isinstance(shape.rule, str), "an example has all settings that its clients need"
    rule = deepcopy(shape.rule)
    key, _, word = by.partition(": ")
    if key == "query":
        name = detail.rpartition(": ")[2]
        rule["request"]["query"] = {**rule["request"].get("query", {}), name: "plain"}
    elif key == "plain":
        found = _PLACE.search(detail)
        assert found is not None
        place = found[1] if "form:" not in str(rule) else f"form:{found[1].removeprefix('$.')}"
        rule["request"]["plain"].append(place)
    elif key == "format":
        rule["request"]["format"] = word
    elif word.startswith("["):
        return rule, yaml.safe_load(word)
    else:
        rule[key] = word
    return rule, []


def outcome(shape: Shape) -> str:
    """Return `default`, the setting that was named and helped, or the reason of a refusal."""
    told = asked(shape, shape.rule, [])
    if passed(told):
        return "default"
    refusal = told.request.refusal
    assert refusal is not None
    detail = getattr(refusal, "detail", "")
    if shape.by is None or shape.by not in detail:
        return f"refused: {refusal.args} {detail}"
    return shape.by if passed(asked(shape, *with_setting(shape, shape.by, detail))) else "no help"


def expected(group: dict[str, Any], one: dict[str, Any]) -> dict[str, str]:
    """Return what the file of recorded requests says of one beside what was sent."""
    recorded = shape(group, one)
    told = asked(recorded, recorded.rule, [])
    if passed(told):
        return {}
    refusal = told.request.refusal
    assert refusal is not None
    detail = getattr(refusal, "detail", "")
    known = {other.by for other in SHAPES if other.by} if "rule" in group else set()
    for by in sorted(one for one in known if one in detail):
        if passed(asked(recorded, *with_setting(recorded, by, detail))):
            return {"by": by}
    return {"refused": str(refusal.args[0])}


SHAPES: Final = shapes()


@pytest.mark.parametrize("shape", SHAPES, ids=[one.name for one in SHAPES])
def test_a_request_passes_or_its_answer_names_the_setting(shape: Shape) -> None:
    found = outcome(shape)
    if shape.refused is not None:
        assert found.startswith("refused")
        assert shape.refused in found
    else:
        assert found == (shape.by or "default")


def test_nine_of_ten_pass_by_default_or_by_the_setting_that_the_answer_names() -> None:
    lost = [one for one in SHAPES if one.refused is not None]

    assert len(SHAPES) >= AT_LEAST
    assert len(SHAPES) - len(lost) >= SHARE * len(SHAPES)
    assert len({one.name for one in SHAPES}) == len(SHAPES)


def test_ordinary_uploads_of_more_than_ten_clients_pass_as_they_are() -> None:
    ordinary = [one for one in SHAPES if one.client and one.refused is None]

    assert len(ordinary) >= CLIENTS
    assert not [one.name for one in ordinary if one.by is not None]
