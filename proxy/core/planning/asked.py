"""A name that a request lacks: what the backend is asked for it, and what its answer says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from ..compiled.request_names import OVERRIDING, refuse_other_segments
from ..errors import (
    AmbiguousRequest,
    AskNotFound,
    AskRefused,
    InvalidBody,
    MissingValue,
    UnsupportedBody,
    UpstreamFailed,
)
from ..expressions.name_readings import fold_header
from ..expressions.selectors import Inside, JsonSelector, NamedSelector
from ..expressions.sources import AskSource, NameSource
from ..formats import json as json_text
from ..formats.json import Selection
from ..http.content_coding import coding_of, decode
from ..http.message import RequestHead, ResponseHead, media_type
from ..policy import ASKED_NAME_CHARS, ASKED_TARGET_CHARS
from .binding import name_of
from .exchange import Exchange
from .overrides import REROUTING

_OK: Final = range(200, 300)
_NOT_FOUND: Final = frozenset({404, 410})
_STATES: Final = re.compile(
    rb"content-.*|if-.*|accept(?:-.*)?|range|idempotency-key|prefer|want-.*"
)
"""Headers of the request's own body, representation or effect."""
_ROUTES: Final = frozenset(map(fold_header, OVERRIDING | REROUTING))
"""Headers, folded, by which the question would be another request to some backends."""
_NO_SEGMENT: Final = re.compile(r"\.{0,2}|.*[/\\].*", re.DOTALL)


def question(exchange: Exchange, source: AskSource) -> RequestHead:
    """Return the head of what the backend is asked: with all that tells who asks, and no value.

    Raises AmbiguousRequest for a name of the target that could lead to another one, MissingValue
    where the request has none.
    """
    path = "".join(_written(exchange, source.path, of_path=True))
    asks = source.query != ("",)
    query = "".join(_written(exchange, source.query, of_path=False)) if asks else None
    if len(path) + len(query or "") > ASKED_TARGET_CHARS:
        raise MissingValue("asked-too-long", detail="A name that the backend is asked is too long.")
    left_out = _ROUTES | _sealed_headers(exchange)
    headers = tuple(
        (name, value)
        for name, value in exchange.head.headers
        if not _STATES.fullmatch(name.lower()) and fold_header(name) not in left_out
    )
    return RequestHead("GET", path, query, (*headers, (b"Accept", b"application/json")))


def _written(
    exchange: Exchange, pieces: Iterable[str | NameSource], *, of_path: bool
) -> Iterator[str]:
    for piece in pieces:
        if isinstance(piece, str):
            yield piece
            continue
        name = exchange.name(piece)
        if name is None:
            raise MissingValue("asked-missing", detail=f"{piece.name}: a name is needed.")
        if of_path:
            refuse_other_segments(name)
            if _NO_SEGMENT.fullmatch(name):
                raise AmbiguousRequest("dots-in-name")
        yield quote(name, safe="")


def _sealed_headers(exchange: Exchange) -> frozenset[bytes]:
    """Return the headers, folded, whose values the rule seals: they must not go upstream."""
    compiled_rule = exchange.decision.compiled_rule
    blocks = () if compiled_rule is None else compiled_rule.request
    selectors = (item.selector for one in blocks for item in one.block.encrypt)
    return frozenset(
        fold_header(one.name.encode())
        for one in selectors
        if isinstance(one, NamedSelector) and one.place == "header"
    )


def example(selector: JsonSelector, name: str) -> bytes:
    """Return a JSON text that has a name where a selector leads, and nothing else."""
    text = json_text.quote(name)
    for step in reversed(selector.steps):
        if isinstance(step.key, str):
            text = f"{{{json_text.quote(step.key)}:{text}}}"
        elif step.key is Inside.JSON:
            text = json_text.quote(text)
        else:
            before = step.key if isinstance(step.key, int) else 0
            text = f"[{'null,' * before}{text}]"
    return text.encode()


def told(source: AskSource, head: ResponseHead, body: bytes, limit: int) -> str:
    """Return the name that an answer tells; its body may have `limit` bytes once it is decoded.

    Raises AskNotFound or AskRefused where the backend does not answer the caller with 2xx,
    UpstreamFailed where the answer has no name, or more than one.
    """
    if head.status in _NOT_FOUND:
        raise AskNotFound("asked-not-found")
    if head.status not in _OK:
        raise AskRefused("asked-refused")
    try:
        media, coding = media_type(head.facts), coding_of(head.facts)
        if media is None or not media.is_json or not media.is_utf8:
            raise UpstreamFailed("asked-not-json")
        return name_in(source, body if coding is None else decode(body, coding, limit))
    except (InvalidBody, UnsupportedBody):
        raise UpstreamFailed("asked-not-json") from None


def name_in(source: AskSource, answer: bytes) -> str:
    """Return the one name in an answer; raise UpstreamFailed for none, InvalidBody for no JSON."""
    findings = Selection((source.selector,)).find(answer)
    names = {name_of(one.raw(answer)) for one in findings.found[0]}
    name = names.pop() if len(names) == 1 and not findings.twins else None
    if not name or len(name) > ASKED_NAME_CHARS:
        raise UpstreamFailed("asked-names-none")
    return name
