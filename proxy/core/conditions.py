"""Conditions of a block on values of the body: `when: {$.type: [send, edit]}`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .errors import ForbiddenValue
from .formats import json as json_format
from .formats.json import Selection
from .selectors import JsonSelector

# A number that is no plain whole one as JSON spells it, but may be read as one.
_NUMBER: Final = re.compile(rb"-0|-?[0-9]+(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)")


@dataclass(frozen=True, slots=True)
class Condition:
    """A selector, and the values of which one must stand where it leads.

    Each value is the shortest JSON text that spells it.
    """

    selector: JsonSelector
    values: frozenset[bytes]


def text_value(text: str) -> bytes:
    """Return a text as conditions hold it."""
    return json_format.quote(text).encode()


class Conditions:
    """Several conditions made ready; all of them must be met."""

    __slots__ = ("_selection", "_values", "_variants")

    def __init__(self, conditions: tuple[Condition, ...], *, variants_allowed: bool) -> None:
        """Make them ready; `variants_allowed` lets case variants of their members stand."""
        self._selection = Selection(tuple(one.selector for one in conditions))
        self._values = tuple(one.values for one in conditions)
        self._variants = variants_allowed

    def met(self, body: bytes) -> bool:
        """Tell whether a JSON text meets all of them.

        Raises InvalidBody unless it is strict JSON, ForbiddenValue where a member stands there in
        another case: a backend may read it as the one that decides.
        """
        findings = self._selection.find(body)
        if findings.variants and not self._variants:
            raise ForbiddenValue(
                "name-variant", detail="A member that decides stands there in another spelling."
            )
        return all(
            any(_spelled(body[start:end]) in values for _, start, end in found)
            for found, values in zip(findings.found, self._values, strict=True)
        )


def _spelled(raw: bytes) -> bytes:
    """Return a value as conditions hold it: most backends read `1.0` and `10e-1` as 1."""
    if raw.startswith(b'"'):
        return raw if b"\\" not in raw else text_value(json_format.unescape(raw))
    if _NUMBER.fullmatch(raw) and (number := float(raw)).is_integer():
        return b"%d" % number
    return raw
