"""Values in a head: `query:name` of requests and `header:name`, sealed or opened in place.

A token needs no quoting in either. What comes out of one may hold anything, so a query spells it in
percent triplets, and a header takes no control character at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import quote

from ..errors import ForbiddenValue, InvalidBody, OpenFailed
from ..expressions.name_readings import fold_header
from ..formats.json.lexer import Within
from ..formats.urlencoded import FormSelection
from ..http.encoded_text import decoded
from ..http.message import RequestHead, ResponseHead
from .hows import Span
from .table import splice

QUERY: Final = -1
"""The place of the query; other places are the numbers of header lines."""

_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


class HeadSpan(NamedTuple):
    """Where a value lies: in the query or in a header line, and there from `start` to `end`.

    `within` says where in the JSON text that a parameter is.
    """

    place: int
    start: int
    end: int
    within: Within | None = None


def find_in_query(
    head: RequestHead, selection: FormSelection, checked: frozenset[int]
) -> dict[int, list[HeadSpan]]:
    """Return where the selected parameters lie, by index; raise as `FormSelection.find` does.

    Raises ForbiddenValue also for variants in case of those that are `checked` for them.
    """
    findings = selection.find(query_bytes(head))
    if findings.variants & checked:
        raise ForbiddenValue(
            "name-variant", detail="A selected parameter occurs there in another spelling."
        )
    return {
        index: [HeadSpan(QUERY, one.start, one.end, one.within) for one in found]
        for index, found in enumerate(findings.found)
    }


def find_header(head: RequestHead | ResponseHead, name: str) -> HeadSpan | None:
    """Return where the value of a header (in lower case) lies.

    Raises InvalidBody where the header occurs twice, ForbiddenValue where a name occurs there that
    some servers read as the same (`X_Title`).
    """
    found: HeadSpan | None = None
    wanted, folded = name.encode(), fold_header(name.encode())
    for number, (spelled, value) in enumerate(head.headers):
        if spelled.lower() == wanted:
            if found is not None:
                raise InvalidBody("header-stands-twice")
            text = value.strip(b" \t")
            start = value.find(text)
            found = HeadSpan(number, start, start + len(text))
        elif fold_header(spelled) == folded:
            raise ForbiddenValue(
                "header-variant", detail="A selected header occurs there in another spelling."
            )
    return found


def query_bytes(head: RequestHead) -> bytes:
    """Return the query as it came, empty where there is none."""
    return (head.query or "").encode("latin-1", errors="replace")


def text_of_header(value: bytes, *, seals: bool) -> bytes:
    """Return the text of a header's value, which is what is sealed or may be a token.

    Raises InvalidBody unless it is UTF-8, and where what `seals` it finds more than one reading.
    """
    try:
        value.decode()
    except UnicodeDecodeError:
        raise InvalidBody("not-utf-8") from None
    try:
        return decoded(value)
    except InvalidBody:
        if seals:
            raise
        return value  # no token, so no reading matters


def spell_in_query(text: bytes) -> bytes:
    """Return the spelling of a text as a parameter's value: `%20`, which all read as a space."""
    return quote(text, safe="").encode("ascii")


def spell_in_header(text: bytes) -> bytes:
    """Return a text as a header's value; raise OpenFailed where it has control characters."""
    if _CONTROL.search(text):
        raise OpenFailed("control-in-header")
    return text


def with_changes(
    head: RequestHead | ResponseHead, changes: Iterable[tuple[int, Span]]
) -> RequestHead | ResponseHead:
    """Return the head with each change made at its place."""
    headers = list(head.headers)
    in_query: list[Span] = []
    for place, change in changes:
        if place == QUERY:
            in_query.append(change)
        else:
            name, value = headers[place]
            headers[place] = name, splice(value, [change])
    if in_query and isinstance(head, RequestHead):
        query = splice(query_bytes(head), in_query).decode("latin-1")
        head = replace(head, query=query)
    return replace(head, headers=tuple(headers))
