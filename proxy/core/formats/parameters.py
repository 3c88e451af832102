"""The fields of a request's head that backends merge with those of its body: query, cookies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from ..http.message import RequestHead

COOKIE: Final = b"cookie"


def fields_of_query(query: str) -> Iterator[tuple[str, str | None]]:
    """Yield name and value of each parameter of a query, decoded once.

    What follows a `;` is one to some readers: it comes last, with no value.
    """
    spelled = query.encode("latin-1", errors="replace")
    for one in spelled.split(b"&"):
        name, _, value = one.partition(b"=")
        yield decode_field(name), decode_field(value)
    if b";" in spelled:
        for one in spelled.split(b"&"):
            for hidden in one.split(b";")[1:]:
                yield decode_field(hidden.partition(b"=")[0]), None


def cookies(head: RequestHead) -> Iterator[tuple[str, str]]:
    """Yield name and value of each cookie, decoded once, as PHP does."""
    for line in head.names.values_in(head.headers, COOKIE):
        for one in line.replace(b",", b";").split(b";"):
            name, _, value = one.partition(b"=")
            yield decode_field(name.strip(b" \t")), decode_field(value.strip(b' \t"'))


def decode_field(spelled: bytes) -> str:
    """Return a name or value of a query as it reads; what is not UTF-8 is replaced."""
    return unquote_to_bytes(spelled.replace(b"+", b" ")).decode(errors="replace")
