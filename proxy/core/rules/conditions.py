"""Conditions of a block on values of the body: `when: {$.type: [send, edit]}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..errors import ForbiddenValue
from ..expressions.name_readings import FieldNames, fold_value
from ..expressions.selectors import JsonSelector
from ..formats import json as json_format
from ..formats.json import Findings, Selection
from ..formats.parameters import fields_of_query
from ..http.message import RequestHead
from ..policy import COMPARED_CHARS

# A number that is no plain whole one as JSON spells it, but may be read as one.
_NUMBER: Final = re.compile(rb"-0|-?[0-9]+(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)")

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_TRUTH: Final = {"true": "1", "false": "0"}
_UNWRAPPED: Final = 3


@dataclass(frozen=True, slots=True)
class Condition:
    """A selector, and the values of which one must be where it leads.

    Each value is the shortest JSON text that spells it.
    """

    selector: JsonSelector
    values: frozenset[bytes]


def text_value(text: str) -> bytes:
    """Return a text as conditions hold it."""
    return json_format.quote(text).encode()


class Conditions:
    """Several conditions made ready; all of them must be met."""

    __slots__ = ("_near", "_roots", "_selection", "_values", "_variants")

    def __init__(
        self,
        conditions: tuple[Condition, ...],
        *,
        variants_allowed: bool,
        elsewhere_allowed: bool = False,
    ) -> None:
        """Make them ready.

        `variants_allowed` allows case variants of their members, `elsewhere_allowed` their
        names in other places of a request.
        """
        self._selection = Selection(tuple(one.selector for one in conditions))
        self._values = tuple(one.values for one in conditions)
        self._near = tuple(map(near_values, conditions))
        self._variants = variants_allowed
        roots = (one.selector.steps[0].key if one.selector.steps else None for one in conditions)
        names = {at: key for at, key in enumerate(roots) if isinstance(key, str)}
        self._roots = FieldNames({} if elsewhere_allowed else names)

    def met(self, body: bytes, head: RequestHead | None = None) -> bool:
        """Return whether a JSON text meets all of them.

        Raises InvalidBody unless it is strict JSON; ForbiddenValue where a backend may decide
        otherwise: a member occurs in another spelling, or in the `head` with another text, or
        its value is one of those that are asked for to a backend that is lax with values.
        """
        findings = self._selection.find(body, lenient=True)
        if findings.hidden or (findings.variants and not self._variants):
            raise ForbiddenValue(
                "name-variant", detail="A member that decides occurs in another spelling."
            )
        if head is not None and self._roots and head.query:
            self._compare(head, body, findings)
        met = True
        for found, values, near in zip(findings.found, self._values, self._near, strict=True):
            met &= is_one_of([one.raw(body) for one in found], values, near)
        return met

    def spans(self, body: bytes) -> Iterator[tuple[int, int]]:
        """Give where the values lie that decide; raise InvalidBody unless it is strict JSON."""
        for found in self._selection.find(body, lenient=True).found:
            yield from (one[1:3] for one in found)

    def _compare(self, head: RequestHead, body: bytes, findings: Findings) -> None:
        """Refuse a member that decides and occurs elsewhere too, unless with the same text."""
        for name, value in fields_of_query(head.query or ""):
            for key, _ in self._roots.readings(name):
                texts = {_text(one.raw(body)) for one in findings.found[key]}
                if name != self._roots.names[key] or texts != {value}:
                    raise ForbiddenValue(
                        "name-differs", detail="A member that decides occurs elsewhere as well."
                    )


def near_values(condition: Condition) -> frozenset[bytes]:
    """Return the values that are asked for as the laxest backends compare them."""
    return frozenset(map(_loosely, condition.values))


def is_one_of(raws: list[bytes], values: frozenset[bytes], near: frozenset[bytes]) -> bool:
    """Return whether one of some values is asked for.

    Raises ForbiddenValue where none is, and one is to a backend that is lax with values.
    """
    if any(_spelled(raw) in values for raw in raws):
        return True
    if any(_loosely(raw) in near for raw in raws):
        raise ForbiddenValue(
            "value-variant", detail="A value that decides occurs in another spelling or type."
        )
    return False


def _text(raw: bytes) -> str:
    """Return the text of a value: of a string what it reads as, else how it is spelled."""
    return json_format.unescape(raw) if raw.startswith(b'"') else raw.decode()


def _loosely(raw: bytes) -> bytes:
    """Return a value as the laxest known backends compare it.

    They trim, ignore case, take a list of one for its element, and numbers, texts and truth values
    for each other. A long value is none of those that rules ask for.
    """
    if len(raw) > COMPARED_CHARS:
        return raw
    for _ in range(_UNWRAPPED):
        if not (raw.startswith(b"[") and raw.endswith(b"]")):
            break
        raw = raw[1:-1].strip(b" \t\r\n")
    try:
        text = fold_value(_text(raw))
    except ValueError:  # what is left of a list is no one value
        return raw
    if _WHOLE.fullmatch(text):
        text = str(int(text))
    elif _NUMBER.fullmatch(text.encode()):
        text = _spelled(text.encode()).decode()
    return _TRUTH.get(text, text).encode()


def _spelled(raw: bytes) -> bytes:
    """Return a value as conditions hold it: most backends read `1.0` and `10e-1` as 1."""
    if raw.startswith(b'"'):
        return raw if b"\\" not in raw else text_value(json_format.unescape(raw))
    if _NUMBER.fullmatch(raw) and (number := float(raw)).is_integer():
        return b"%d" % number
    return raw
