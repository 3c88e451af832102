"""The common case stays short wherever a configuration is given away: at most twenty lines.

The common case is what most readers come for: a rule that seals a few members of a JSON body,
whatever a closed rule has to list beside them, and the rule that opens what it sealed. Its lines
are those of both, and of the `defaults` that they rest on. Blank lines and comments do not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.pages.blocks import ROOT, blocks

MOST: Final = 20
FEW: Final = 3
"""So many members are a few: a rule for more is no common case."""
GIVEN: Final = ("config", "deploy", "helm", "proxy")
"""Folders of what is installed or copied; the pages are read besides."""
_MEMBER: Final = re.compile(r"(?:optional )?\$\.[\w.*]+(?: as \w+)?")


_Defaults = tuple[yaml.Node, yaml.Node] | None
"""The name of the section and what it holds."""


@dataclass(frozen=True, slots=True)
class Given:
    """A text with rules, and where it stands: a file, or a page with its line."""

    place: str
    text: str


def given() -> Iterator[Given]:
    """Give each text with rules that a reader may copy, or that Sealyard writes or runs itself."""
    for folder in GIVEN:
        for file in sorted((ROOT / folder).rglob("*")):
            place = str(file.relative_to(ROOT))
            if file.suffix in {".yaml", ".yml", ".tpl", ".txt"}:
                yield Given(place, file.read_text("utf-8"))
            elif file.suffix == ".py":
                yield from _written_by(place, file)
    for block in blocks():
        if block.language == "yaml":
            yield Given(block.name, block.text)


def _written_by(place: str, file: Path) -> Iterator[Given]:
    """Give the rules in the constants of a module: of the demo, and of what `init` writes."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
            text = node.value  # what `format` fills has each brace twice
            yield Given(place, text.replace("{{", "{").replace("}}", "}") if "{{" in text else text)


def common_cases(text: str) -> list[int]:
    """Return how many lines each common case of a text has."""
    lines = text.splitlines()
    documents = _composed(text)
    found = [one for inner in _texts(documents) for one in common_cases(inner)]
    for rules, defaults in _lists(documents):
        shared = _lines(lines, *defaults) if defaults else 0
        written = [(one, _plain(one)) for one in rules.value]
        opening = [
            _lines(lines, one) for one, said in written if "decrypt" in str(said.get("response"))
        ]
        for one, said in written:
            if _is_common(said.get("request")):
                own = _lines(lines, one)
                opens = "decrypt" in str(said.get("response")) or not opening
                found.append(shared + own + (0 if opens else min(opening)))
    return found


def _composed(text: str) -> list[yaml.Node]:
    """Return the documents of a text: none of one that is no YAML, or has no rule."""
    if "match: " not in text:
        return []
    try:
        return [one for one in yaml.compose_all(text, yaml.SafeLoader) if one is not None]
    except yaml.YAMLError:
        return []


def _texts(nodes: list[yaml.Node]) -> Iterator[str]:
    """Give the configurations that are texts of a document, as in a ConfigMap."""
    for node in nodes:
        if isinstance(node, yaml.ScalarNode) and "\n" in node.value:
            yield node.value
        elif isinstance(node, yaml.SequenceNode):
            yield from _texts(node.value)
        elif isinstance(node, yaml.MappingNode):
            yield from _texts([value for _, value in node.value])


def _lists(nodes: list[yaml.Node]) -> Iterator[tuple[yaml.SequenceNode, _Defaults]]:
    """Give each list of rules with the `defaults` beside it."""
    for node in nodes:
        if isinstance(node, yaml.SequenceNode):
            if any("match" in _plain(one) for one in node.value):
                yield node, None
                continue
            yield from _lists(node.value)
        elif isinstance(node, yaml.MappingNode):
            named = {key.value: (key, value) for key, value in node.value}
            for _, value in node.value:
                for rules, defaults in _lists([value]):
                    yield rules, defaults or named.get("defaults")


def _plain(node: yaml.Node) -> dict[str, Any]:
    value = yaml.SafeLoader("").construct_document(node)
    return value if isinstance(value, dict) else {}


def _is_common(request: object) -> bool:
    if not isinstance(request, dict):
        return False
    items = request.get("encrypt")
    listed = items if isinstance(items, list) else [items]
    if len(listed) > FEW:
        return False
    return all(isinstance(one, str) and bool(_MEMBER.fullmatch(one)) for one in listed)


def _lines(lines: list[str], first: yaml.Node, last: yaml.Node | None = None) -> int:
    """Return how many lines there are from a node to the end of another, or to its own."""
    end = (last or first).end_mark
    some = lines[first.start_mark.line : end.line]
    if end.column:  # the end of a flow; a block ends where the next one begins
        some.append(lines[end.line][: end.column])
    return sum(bool(one.strip()) and not one.lstrip().startswith("#") for one in some)


CASES: Final = {one: cases for one in given() if (cases := common_cases(one.text))}


@pytest.mark.parametrize("shown", CASES, ids=lambda one: one.place)
def test_the_common_case_has_few_lines(shown: Given) -> None:
    assert min(CASES[shown]) <= MOST


@pytest.mark.parametrize(
    "place",
    [
        "README.md",
        "docs/tutorial.md",
        "docs/how-to/backends/",
        "config/sealyard.yaml",
        "config/examples/",
        "deploy/compose/",
        "deploy/sidecar/",  # the text of a ConfigMap
        "proxy/demo/",
        "proxy/cli/commands/init.py",
    ],
)
def test_where_readers_begin_a_common_case_is_found(place: str) -> None:
    assert any(one.place.startswith(place) for one in CASES)


def test_each_line_of_a_common_case_counts_and_no_other() -> None:
    rules = """\
defaults:
  tenant: const:clinic                   # 2 lines

# a comment
rules:
  - name: send                           # 6 lines
    match: POST /messages
    request:
      encrypt: [$.content]
      plain:
        - $.id

  - name: list                           # 3 lines
    match: GET /messages
    response: {decrypt: [$.content]}
  - name: longer
    match: GET /rooms/{id}/messages

    conversation: path:id
    response: {decrypt: [$.content]}
"""
    assert common_cases(rules) == [2 + 6 + 3]
    more = "".join(f"        - $.m{number}\n" for number in range(MOST))
    assert common_cases(rules.replace("        - $.id\n", more)) == [2 + 5 + MOST + 3]
