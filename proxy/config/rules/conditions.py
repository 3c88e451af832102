"""Conditions as rules write them: `{$.type: [send, edit]}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...core.errors import InvalidExpression
from ...core.expressions.selectors import JsonSelector, parse_json_selector
from ...core.rules.conditions import Condition, text_value
from ..declared.composed import ByName, OneOrMore
from ..declared.kinds import PlainText
from ..yaml.nodes import Place, Problems, Scalar, show
from ..yaml.scalars import expected


def json_selector(written: str) -> JsonSelector:
    """Return what a JSON selector selects; raise InvalidExpression."""
    if not written.startswith("$"):
        hint = "write one that begins with `$`"
        raise InvalidExpression(f"{show(written)} is not a JSON selector", hint=hint)
    return parse_json_selector(written)


JSON_SELECTOR: Final = PlainText("JSON selector", parse=json_selector, pattern=r"\$[\s\S]*")


@dataclass(frozen=True, slots=True)
class _Value:
    """A value that a member of a body may have, as JSON writes it."""

    syntax = "text, whole number, `true`, `false`"
    schema = {"type": ["string", "integer", "boolean"]}  # noqa: RUF012 - it is only read

    def read(self, place: Place, problems: Problems) -> bytes | None:
        """Return the value."""
        node = place.node
        if isinstance(node, Scalar):
            if node.kind in {"text", "substituted"}:
                return text_value(node.text)
            if node.kind == "number" and node.text.isdecimal():
                return node.text.encode()
            if node.kind == "boolean" and node.text in {"true", "false"}:
                return node.text.encode()
            if node.kind == "broken":
                return None
            problems.add(
                place,
                f"{show(node.text)} is not a text, a whole number, `true` or `false`",
                "quote it if it is a text",
            )
        else:
            expected(place, "a value", problems)
        return None


CONDITIONS: Final = ByName(
    OneOrMore(_Value()),
    "mapping of JSON selectors, each with a value or a list of values",
    name=JSON_SELECTOR,
    make=lambda pairs: tuple(
        Condition(selector, frozenset(values)) for selector, values in pairs if values
    ),
)
