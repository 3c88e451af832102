"""The fields of a request that backends make one set of parameters of: query, cookies, body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from ..errors import InvalidBody
from ..http.message import RequestHead
from . import urlencoded
from .kinds import Kind
from .multipart import reader

COOKIE: Final = b"cookie"


def fields_of_query(query: str) -> Iterator[tuple[str, str | None]]:
    """Yield name and value of each parameter of a query, decoded once.

    What stands behind a `;` is one to some readers: it comes last, with no value.
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
    for line in head.facts.get(COOKIE, ()):
        for one in line.replace(b",", b";").split(b";"):
            name, _, value = one.partition(b"=")
            yield decode_field(name.strip(b" \t")), decode_field(value.strip(b' \t"'))


def fields_of_body(head: RequestHead, kind: Kind, body: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield name and value of each pair or part of a form; nothing of another kind of body.

    What is a field to some readers alone comes with no value, and so does what is no text. Raises
    as the format does where the body cannot be read.
    """
    if kind == "form":
        for pair in urlencoded.pairs(body):
            yield pair.name, None if pair.start is None else _text(body[pair.start : pair.end])
        for name in urlencoded.hidden_names(body):
            yield name, None
    elif kind == "multipart":
        boundary = reader.read_boundary(head.facts.get(b"content-type", ()))
        for part in reader.parts(body, boundary):
            yield part.name, text_of_part(part, body)


def text_of_part(part: reader.Part, body: bytes) -> str | None:
    """Return the text of a plain field of a form in parts; None for what is no text."""
    if not part.is_text or not part.is_utf8:
        return None
    return body[part.start : part.end].decode(errors="replace")


def _text(value: bytes) -> str | None:
    try:
        return urlencoded.decode(value).decode()
    except InvalidBody:
        return None


def decode_field(spelled: bytes) -> str:
    """Return a name or value of a query as it reads; what is not UTF-8 is replaced."""
    return unquote_to_bytes(spelled.replace(b"+", b" ")).decode(errors="replace")
