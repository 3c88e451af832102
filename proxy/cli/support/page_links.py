"""Where an answer sends its client next: addresses of other pages of the same list."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

_PAGES: Final = frozenset({"next", "next_page_url", "prev", "previous", "first", "last"})
"""Members of answers that hold addresses of other pages."""
_SENT: Final = "!$%&'()*+,/:;=?@[\\]^`{|}"
"""What clients send in a query as it stands in a link; they encode blanks and other letters."""


def pages(url: str, headers: Iterable[str], body: str | bytes) -> Iterator[str]:
    """Yield the queries by which an answer to `url` tells its client to go on at the same path.

    `headers` are its `Link` headers. A `body` that is no JSON has no links. Hosts are not compared:
    a backend writes addresses with its own name.
    """
    links = re.findall(r"<([^<>]*)>", ",".join(headers))
    with contextlib.suppress(ValueError, RecursionError):
        for steps, value in scalars(json.loads(body or "null"), ()):
            if isinstance(value, str) and _PAGES & set(steps):
                links.append(value)
    for link in links:
        with contextlib.suppress(ValueError):  # no address
            there = urlsplit(urljoin(url, link))
            if there.path == urlsplit(url).path and there.query:
                yield quote(there.query, _SENT)


def scalars(value: object, steps: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield each scalar of a document but null, with the names on its path; `*` is an element."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from scalars(one, (*steps, name))
    elif isinstance(value, list):
        for one in value:
            yield from scalars(one, (*steps, "*"))
    elif value is not None:
        yield steps, value
