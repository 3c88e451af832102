"""What a block says of streams of records: sentinels, and batches of deltas.

Whether that fits the rest of the block is checked once all of it is read, in `streams`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from ...core.crypto.token import JWE_PREFIX, SHORT_PREFIX
from ...core.errors import InvalidBody
from ...core.expressions.selectors import JsonSelector
from ...core.formats import json as json_format
from ...core.rules.model import Batching
from ..declared.composed import ByShape, ListOf, OneOrMore, Words
from ..declared.kinds import HOUR, Duration
from ..declared.section import Fields, Section, setting
from ..policy import SENTINEL_CHARS
from ..yaml.nodes import Place, Problems, show
from ..yaml.scalars import text
from .conditions import JSON_SELECTOR

_PREFIXES: Final = (JWE_PREFIX.decode(), SHORT_PREFIX.decode())
_UNPRINTED: Final = re.compile(r"[\x00-\x1f\x7f]")
_DELAY: Final = Words({"end": math.inf}, Duration(high=HOUR))


@dataclass(frozen=True, slots=True)
class _Sentinel:
    """A record that passes unread."""

    syntax = "text"
    schema = {  # noqa: RUF012 - it is only read
        "type": "string",
        "minLength": 1,
        "maxLength": SENTINEL_CHARS,
    }

    def read(self, place: Place, problems: Problems) -> str | None:
        """Return the record."""
        word = text(place, problems)
        if word is None:
            return None
        if word == "DONE":
            problems.warn(
                place, "is the text `DONE`, without brackets; the text in brackets is `'[DONE]'`"
            )
        fault, hint = _fault(word)
        if fault:
            problems.add(place, f"{show(word)} {fault}", hint)
            return None
        return word


SENTINELS: Final = ListOf(_Sentinel(), "list of texts", empty=True)


def _fault(word: str) -> tuple[str, str]:
    """Return what is wrong with a sentinel, and what to do; empty texts if nothing is."""
    if len(word) > SENTINEL_CHARS:
        return f"is longer than {SENTINEL_CHARS} characters", "a sentinel is one fixed text"
    if word != word.strip() or _UNPRINTED.search(word):
        return "has blanks around it, or control characters", "write the text alone"
    if word.startswith(_PREFIXES):
        return "begins like a token", "sealed values never pass unread"
    try:
        json_format.validate(word.encode())
    except InvalidBody:
        return "", ""
    return "is JSON, so its values would pass unread", "select the values, or write `optional`"


@dataclass(frozen=True, slots=True)
class _Batch:
    """How the deltas of a stream are joined."""

    delay: float = setting(
        _DELAY,
        "How long values are joined before they are sealed; `end`: until a record without such a"
        " value, or the end of the stream.",
        name="for",
    )
    ignored: tuple[JsonSelector, ...] = setting(
        OneOrMore(JSON_SELECTOR),
        "Values that may differ among records that become one, such as a time; the last one's"
        " stays.",
        default=(),
        name="ignore",
    )


def _batching(delay: float, ignored: tuple[JsonSelector, ...] = ()) -> Batching:
    return Batching(None if delay == math.inf else delay, ignored)


def _long(values: dict[str, Any], _: Fields, __: Problems) -> Batching | None:
    return _batching(**values) if "delay" in values else None


@dataclass(frozen=True, slots=True)
class _Short:
    """A batch by its time alone."""

    syntax = _DELAY.syntax
    like = _DELAY

    def read(self, place: Place, problems: Problems) -> Batching | None:
        """Return how deltas are joined."""
        delay = _DELAY.read(place, problems)
        return None if delay is None else _batching(delay)


BATCH: Final = ByShape(
    _Short(),
    mapping=Section(_Batch, "batch", "`batch` in its long form", make=_long),
    how="duration, `end`, or a mapping",
)
