"""What is read of a document is what graphql-js reads, or the document is refused."""

from __future__ import annotations

import json
import random  # noqa: TID251 - the same documents each time, and nothing to guess
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.core.errors import MessageError
from proxy.core.formats.graphql.arguments import Given, arguments_of
from proxy.core.formats.graphql.document import ListValue, Literal, Value, Variable, read

HERE = Path(__file__).parent / "graphql_node"
NODE = shutil.which("node")
COUNT: Final = 20_000

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        NODE is None or not (HERE / "node_modules").exists(),
        reason="there is no graphql-js here: `./dev test tests/acceptance` installs it",
    ),
]

SEEDS: Final = (
    "{a}",
    "query Q($a: Int = 1, $b: [S!]!) {x(i: $a) {y(j: $b, k: [1, -2.5e3, E]) z}}",
    "query ($o: I) {...F} fragment F on T {v(o: {p: $o, q: {r: null}}) @skip(if: true)}",
    'mutation {x: send(to: "c1", note: "q") {... on T @include(if: false) {n}}}',
    "subscription S($c: ID!) {sent(c: $c) # a } comment\n, {id, text}}",
    '{a(b: "#", c: "{", d: "", e: "$x", f: true)}',
    "{on fragment query(on: on) {mutation(null: null)}}",
    "{...A ...B} fragment A on T {...B} fragment B on T {a(b: 1)}",
)
PIECES: Final = (
    *("{", "}", "(", ")", "[", "]", "$", ":", "!", "=", "...", "@skip(if: true)", "|", "&"),
    *('"', '""', '"""', "\\", '\\"', "\\u0041", "\\u{41}", "\\ud83d\\ude00", "\\ud800", "\\/"),
    *("#", "# }", "\n", "\r", "\r\n", "\t", " ", ",", "\ufeff", "\u2028", "\x85", "\0", "é", "😀"),
    *("a", "on", "null", "true", "query", "fragment F on T {a}", "...F", "$a", "(b: $a)", "_0"),
    *("0", "1", "-1", "01", "1.", "1.0", ".5", "1e5", "1e", "1x", "-", "a:", "{a}", "b: 1"),
)


def documents() -> list[str]:
    """Return documents with a few pieces lost, added or moved; the same each time."""
    dice = random.Random(7)  # noqa: S311 - the same documents each time
    found = []
    for _ in range(COUNT):
        text = dice.choice(SEEDS)
        for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
            at, end = sorted(dice.choices(range(len(text) + 1), k=2))
            end = min(end, at + dice.randint(0, 5))
            kept = text[at:end] if dice.random() < 1 / 3 else ""
            text = text[:at] + kept + dice.choice((*PIECES, text[at:end])) + text[end:]
        found.append(text)
    return found


def shown(value: Value) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Variable):
        return {"variable": value.name}
    if isinstance(value, Literal):
        string = value.text.startswith('"')
        return {"string": json.loads(value.text)} if string else {"spelled": value.text}
    if isinstance(value, ListValue):
        return [shown(one) for one in value.values]
    return {"members": [[name, shown(one)] for name, one in value.members]}


def shown_field(name: str, given: Given) -> Any:  # noqa: ANN401 - JSON
    arguments = [[key, shown(value)] for key, value in given.arguments]
    return [name, arguments, [shown_field(*one) for one in given.fields]]


def reading(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        document = read(text)
        tree = arguments_of(document)
    except MessageError:
        return None
    return {
        "type": document.type,
        "name": document.name,
        "variables": [
            [name, None if value is None else shown(value)]
            for name, value in document.variables.items()
        ],
        "fields": [shown_field(*one) for one in tree.fields],
    }


def test_no_document_is_read_in_another_way() -> None:
    texts = documents()
    done = subprocess.run(
        [NODE or "", str(HERE / "read.mjs")],
        input=json.dumps(texts).encode(),
        capture_output=True,
        check=True,
        timeout=120,
        cwd=HERE,
    )
    theirs = json.loads(done.stdout)
    ours = [reading(text) for text in texts]

    differing = [
        (text, mine, other)
        for text, mine, other in zip(texts, ours, theirs, strict=True)
        if mine is not None and mine != other
    ]
    assert differing == []
    taken = [text for text, mine in zip(texts, ours, strict=True) if mine is not None]
    assert len(set(taken)) > COUNT // 40
    assert sum(one is not None for one in theirs) > len(taken)
