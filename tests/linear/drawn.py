"""Rules drawn at random, each with messages in which one list grows."""

from __future__ import annotations

import json
import random  # noqa: TID251 - a law is repeatable by its seed, and nothing here is secret
from typing import Final

from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Names, Part
from tests.factories import a_block, a_rule, an_item
from tests.linear.works import Growth

_NAMES: Final = ("a", "b", "card", "Ä", "conversationId")
_TEXTS: Final = ("4111", "c1", "ä", 'quoted "text"', "\n")
_STEPS: Final = (".a", ".b", ".*", ".*", "[0]", "..card")

_PARTS: Final[tuple[Part, ...]] = ("conversation", "message")

Json = dict[str, "Json"] | list["Json"] | str | int | None


def drawn(seed: int) -> Growth:
    """Return the rule and the messages of one seed; the same for the same one."""
    choices = random.Random(seed)  # noqa: S311 - a law is drawn, nothing is kept secret
    selectors = list(dict.fromkeys(_selector(choices) for _ in range(choices.randint(1, 3))))
    parts: dict[Part, str] = {
        part: _source(choices, selectors) for part in _PARTS if choices.random() < 0.7
    }
    sources = {part: parse_source(text) for part, text in parts.items()}
    names = Names(conversation=sources.get("conversation"), message=sources.get("message"))
    bind: set[Part] = set(parts)
    items = [
        an_item(one, field=f"f{at}", bind=bind, optional=True) for at, one in enumerate(selectors)
    ]
    opens = choices.random() < 0.3
    block = a_block(decrypt=items, names=names) if opens else a_block(encrypt=items, names=names)
    rule = a_rule(response=block, names=Names()) if opens else a_rule(request=block, names=Names())
    paths = [*selectors, *(text.removesuffix("~") for text in parts.values() if text[0] == "$")]
    shape = choices.getrandbits(32)
    return Growth(
        f"drawn {seed}: {', '.join(selectors)} by {parts}",
        rule,
        lambda n: _body(paths, n, random.Random(shape)),  # noqa: S311 - as above
        response=opens,
    )


def _selector(choices: random.Random) -> str:
    steps = "".join(choices.choice(_STEPS) for _ in range(choices.randint(0, 3)))
    return f"$.items{steps}.{choices.choice(('card', 'note'))}"


def _source(choices: random.Random, selectors: list[str]) -> str:
    kind = choices.random()
    if kind < 0.2:
        return "const:c1"
    if kind < 0.4:
        return "$.items.*.c"
    chosen = choices.choice(selectors)
    return chosen.rpartition(".")[0].removesuffix(".") + ".c"


def _body(paths: list[str], n: int, choices: random.Random) -> bytes:
    """Return a message in which every list that is the first on its path has n elements."""
    tree: Json = {}
    for path in paths:
        tree = _grown(tree, _steps(path), n, choices, grown=False)
    return json.dumps(tree, ensure_ascii=choices.random() < 0.5).encode()


def _steps(path: str) -> list[str]:
    return path[2:].replace("..", ".").replace("[0]", ".*").split(".")


def _grown(tree: Json, steps: list[str], n: int, choices: random.Random, *, grown: bool) -> Json:
    if not steps:
        return choices.choice(_TEXTS) if tree in (None, {}) else tree
    step, *rest = steps
    if step == "*":
        if tree in (None, {}):
            tree = [None] * (2 if grown else n)
        if isinstance(tree, list):
            return [_grown(one, rest, n, choices, grown=True) for one in tree]
        return tree
    if tree is None:
        tree = {}
    if isinstance(tree, dict):
        last = not rest and not grown
        value = tree.get(step)
        tree[step] = _grown(value, rest, n, choices, grown=grown)
        if last:
            tree["other"] = [choices.choice(_NAMES)] * n
    return tree
