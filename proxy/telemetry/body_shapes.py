"""The shape of a body: its members, their kinds and sizes, and never a value.

The name of a member is shown only if the configuration contains it, since names may be values too:
`{"ada@example.org": true}`. Shapes are made only while the tap has viewers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from .policy import SHAPE_BYTES, SHAPE_CHARS, SHAPE_DEPTH, SHAPE_ROWS

_SHORT: Final = "sy1."
_JWE: Final = "eyJ0eXAiOiJzeTEi"  # `typ` comes first, so every token begins like this
_STREAM: Final = b"SYST"


class Row(NamedTuple):
    """One value: its depth, its name (None: hidden), its kind and its size.

    The size is in characters for `text` and `sealed`, in elements for `list`, in bytes for
    `body` and `stream`; None for others, since the size of a number or a boolean reveals its
    value, and for a streamed body, whose size is known only at its end.
    `value` is None, except for the fictitious chat of the demo.
    """

    depth: int
    name: str | None
    kind: str
    size: int | None = None
    value: str | None = None


Shape = tuple[Row, ...]
Streamed = Literal["body", "form", "stream"]
"""The kind of a body that is transformed as a stream, and so never held."""


def shape(body: bytes | Streamed | None, names: frozenset[str], *, values: bool = False) -> Shape:
    """Return the rows of a body, at most `SHAPE_ROWS`; `names` are those that may be shown.

    `values` is only for the demo, whose messages are fictitious.
    """
    if not body:
        return ()
    if isinstance(body, str):
        return (Row(0, None, body),)
    if body.startswith(_STREAM):
        return (Row(0, None, "stream", len(body)),)
    if len(body) <= SHAPE_BYTES:
        text = body.decode("utf-8", "replace")
        if _sealed(text):
            return (Row(0, None, "sealed", len(text), _value(text, values)),)
        try:
            read = json.loads(
                text,
                object_pairs_hook=tuple,  # of pairs, so that repeated members are all shown
                parse_int=_Number,
                parse_float=_Number,
                parse_constant=_Number,
            )
        except (ValueError, RecursionError):
            pass
        else:
            return tuple(_limited(_rows(read, names, 0, None, values)))
    return (Row(0, None, "body", len(body)),)


def to_json(rows: Shape) -> list[list[object]]:
    """Return the rows for JSON: depth, name, kind, size, and the value if there is one."""
    return [list(row) if row.value is not None else list(row[:4]) for row in rows]


class _Number(str):
    """A number as written: it is not computed, which would be slow for many digits."""

    __slots__ = ()


def _limited(rows: Iterator[Row]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number == SHAPE_ROWS:
            yield Row(0, None, "more")
            return
        yield row


def _rows(
    read: Any,  # noqa: ANN401 - whatever JSON holds
    names: frozenset[str],
    depth: int,
    name: str | None,
    values: bool,  # noqa: FBT001 - private
) -> Iterator[Row]:
    if isinstance(read, tuple):
        if depth or name is not None:
            yield Row(depth, name, "object")
            depth += 1
        for key, one in read if depth < SHAPE_DEPTH else ():
            yield from _rows(one, names, depth, key if key in names or values else "·", values)
    elif isinstance(read, list):
        yield Row(depth, name, "list", len(read))
        for one in read if depth + 1 < SHAPE_DEPTH else ():
            yield from _rows(one, names, depth + 1, None, values)
    else:
        yield _leaf(read, depth, name, values)


def _leaf(
    read: Any,  # noqa: ANN401 - whatever JSON holds
    depth: int,
    name: str | None,
    values: bool,  # noqa: FBT001 - private
) -> Row:
    if isinstance(read, _Number):
        return Row(depth, name, "number", None, _value(read, values))
    if isinstance(read, str):
        kind = "sealed" if _sealed(read) else "text"
        return Row(depth, name, kind, len(read), _value(read, values))
    if read is None:
        return Row(depth, name, "null")
    return Row(depth, name, "flag", None, _value(str(read).lower(), values))


def _sealed(text: str) -> bool:
    return text.startswith((_JWE, _SHORT))


def _value(text: str, wanted: bool) -> str | None:  # noqa: FBT001 - private
    if not wanted:
        return None
    return text if len(text) <= SHAPE_CHARS else text[: SHAPE_CHARS - 1] + "…"
