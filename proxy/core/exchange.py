"""One request with its answer: the names that bind their values, read once.

Names outside bodies come from the request's head. Names inside bodies come from the message at
hand; those of a rule are kept from the request for the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qsl

from . import base64url
from .errors import AmbiguousRequest, InvalidBody, MissingValue, OpenFailed
from .fields_of_head import fields_of_query
from .formats.field_names import FieldNames
from .joined import Joined, Name
from .message import RequestHead, header_values
from .rulebook import Decision
from .sources import FirstSource, JsonSource, MembersSource, NameSource, Source

JsonReader = Callable[[JsonSource], Name | None]


class Exchange:
    """What is known of one request while it and its answer are on the way.

    `facts` are names that were kept from its body for the answer, `elsewhere` the texts of names
    that stand outside of the body too: they must be the same.
    """

    __slots__ = ("_claims", "_query", "_texts", "decision", "elsewhere", "facts", "head")

    def __init__(self, decision: Decision, head: RequestHead) -> None:
        """Begin an exchange for a request that passed the gate and was decided."""
        self.decision = decision
        self.head = head
        self.facts: dict[JsonSource, Name | None] = {}
        self.elsewhere: dict[JsonSource, str] = {}
        self._texts: dict[NameSource, str | None] = {}
        self._claims: dict[str, object] | None = None
        self._query: dict[str, list[str]] | None = None

    def refuse_unclear(self) -> None:
        """Refuse a request in whose head a name that its rule reads has two readings.

        To be called before anything of it goes on. Raises AmbiguousRequest, MissingValue for a name
        that is empty.
        """
        compiled = self.decision.compiled
        if compiled is not None and compiled.names is not None:
            compiled.names.refuse_unclear(self)

    def read(self, source: Source, json_reader: JsonReader) -> Name | None:
        """Return the name that a source gives, or None where it gives none.

        Raises AmbiguousRequest where a name stands twice, MissingValue where it is not text.
        """
        if isinstance(source, NameSource):
            return self.name(source)
        if isinstance(source, JsonSource):
            return json_reader(source)
        names = (self.read(part, json_reader) for part in source.parts)
        if isinstance(source, FirstSource):
            return next((name for name in names if name is not None), None)
        found = [name for name in names if name is not None]
        if len(found) < len(source.parts):
            return None
        return Joined("members" if isinstance(source, MembersSource) else "list", found)

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
            return self.decision.captures.get(source.name)
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


def has_query_parameter(head: RequestHead, name: str, *, any_case: bool) -> bool:
    """Tell whether the query holds a parameter `name`, in any spelling that some backend reads."""
    wanted = FieldNames({0: name})
    pairs = fields_of_query(head.query or "")
    return any(
        any_case or key == name or not one.in_case
        for key, _ in pairs
        for one in wanted.readings(key)
    )


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
