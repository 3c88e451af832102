"""The names of a request outside its body: path, query, headers and claims of its bearer token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from . import base64url
from .errors import AmbiguousRequest, InvalidBody, MissingValue, OpenFailed
from .message import RequestHead, header_values
from .sources import JsonSource, NameSource


class RequestNames:
    """The names of one request, each read once.

    `captures` are the names of its path. `elsewhere` holds names of the body that are also in the
    query or in a cookie: all of them must have the same value.
    """

    __slots__ = ("_claims", "_query", "_texts", "captures", "elsewhere", "head")

    def __init__(self, head: RequestHead, captures: Mapping[str, str]) -> None:
        """Read nothing yet."""
        self.head = head
        self.elsewhere: dict[JsonSource, str] = {}
        self.captures = captures
        self._texts: dict[NameSource, str | None] = {}
        self._claims: dict[str, object] | None = None
        self._query: dict[str, list[str]] | None = None

    def name(self, source: NameSource) -> str | None:
        """Return the text of a name outside the body, or None; raise as `read` does."""
        if source.place == "const":
            return source.name
        if source not in self._texts:
            self._texts[source] = self._look_up(source)
        text = self._texts[source]
        if text is not None and not text:
            raise MissingValue("empty-name", detail="A name of the message is empty.")
        return text

    @property
    def bearer(self) -> str | None:
        """The bearer token of the request, None where it has none."""
        credentials = _only(
            [_header_text(one) for one in header_values(self.head.headers, b"authorization")]
        )
        scheme, _, token = (credentials or "").partition(" ")
        return token.strip(" ") if scheme.lower() == "bearer" else None

    def _look_up(self, source: NameSource) -> str | None:
        if source.place == "path":
            return self.captures.get(source.name)
        if source.place == "query":
            return _only(self._parameters().get(source.name, []))
        if source.place == "header":
            values = header_values(self.head.headers, source.name.encode())
            return _only([_header_text(value) for value in values])
        claim = self._token_claims().get(source.name)
        if claim is None or (isinstance(claim, str | int) and not isinstance(claim, bool)):
            return None if claim is None else str(claim)
        raise MissingValue("claim-not-text")

    def _parameters(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = {}
            try:
                pairs = parse_qsl(self.head.query or "", keep_blank_values=True, errors="strict")
            except ValueError:
                raise AmbiguousRequest("query-not-utf-8") from None
            for name, value in pairs:
                self._query.setdefault(name, []).append(value)
        return self._query

    def _token_claims(self) -> dict[str, object]:
        """Return the claims of the bearer's JWT (RFC 7519), unverified: see `trusted_names`."""
        if self._claims is None:
            self._claims = {}
            parts = (self.bearer or "").split(".")
            if len(parts) == len(("header", "payload", "signature")):
                self._claims = _payload(parts[1])
        return self._claims


def _only(values: list[str]) -> str | None:
    if len(values) > 1:
        raise AmbiguousRequest("name-stands-twice")
    return values[0] if values else None


def _header_text(value: bytes) -> str:
    try:
        return value.decode("ascii").strip(" \t")
    except UnicodeDecodeError:
        raise AmbiguousRequest("name-not-ascii") from None


def _payload(part: str) -> dict[str, object]:
    try:
        text = base64url.decode(part.encode())
        claims = json.loads(text, parse_float=_no_float, object_pairs_hook=_once)
    except (ValueError, RecursionError, OpenFailed, InvalidBody):
        return {}
    return claims if isinstance(claims, dict) else {}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    claims = dict(pairs)
    if len(claims) < len(pairs):
        raise AmbiguousRequest("claim-stands-twice")
    return claims


def _no_float(text: str) -> list[str]:
    # Not text, so that a claim such as 1.0 can never stand for the name 1.
    return [text]
