"""The names of a request outside its body: path, query, headers and claims of its caller."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final
from unicodedata import normalize
from urllib.parse import parse_qsl, unquote

from ..callers import VerifiedCaller
from ..crypto import base64url
from ..errors import AmbiguousRequest, ForbiddenValue, InvalidBody, MissingValue, OpenFailed
from ..expressions.name_readings import FieldNames, fold_header
from ..expressions.sources import JsonSource, NameSource
from ..formats.parameters import COOKIE, cookies, fields_of_query
from ..http.message import RequestHead, header_values


class RequestNames:
    """The names of one request, each read once.

    `captures` are the names of its path. `elsewhere` holds names of the body that are also in the
    query: all of them must have the same value. `caller` is who was verified to send it; None:
    anyone.
    """

    __slots__ = ("_claims", "_query", "_texts", "caller", "captures", "elsewhere", "head")

    def __init__(self, head: RequestHead, captures: Mapping[str, str]) -> None:
        """Read nothing yet."""
        self.head = head
        self.caller: VerifiedCaller | None = None
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
        if source.place == "caller":
            return self._verified(source.name)
        claim = self._token_claims().get(source.name)
        if claim is None or (isinstance(claim, str | int) and not isinstance(claim, bool)):
            return None if claim is None else str(claim)
        raise MissingValue("claim-not-text")

    def _verified(self, name: str) -> str | None:
        """Return a claim of the caller; of a list, what the label of the path says of it."""
        caller = self.caller
        if caller is None:
            return None
        claim = caller.claims.get(name)
        if claim is None or isinstance(claim, str):
            return claim
        meant = self.captures.get(caller.one_of)
        if meant not in claim:
            raise MissingValue("claim-is-a-list", detail="The caller has no such name.")
        return meant

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
    # Not text, so that a claim such as 1.0 can never be read as the name 1.
    return [text]


_CONNECTION: Final = b"connection"
_AUTHORIZATION: Final = b"authorization"
_CREDENTIALS: Final = FieldNames({0: "access_token"})  # RFC 6750 section 2
_CREDENTIAL_COOKIES: Final = FieldNames(
    dict(enumerate(("access_token", "authorization", "bearer", "jwt")))
)


METHOD_FIELD: Final = "_method"
"""The field by which Rails, Laravel, Symfony and Express let a form ask for a method."""
_METHOD: Final = FieldNames({0: METHOD_FIELD})
OVERRIDING: Final = frozenset(
    {b"x-http-method", b"x-http-method-override", b"x-method", b"x-method-override"}
)
"""Headers that frameworks take for the method."""


def asked_in_query(query: str | None) -> tuple[str, ...]:
    """Return the methods that a query asks for, in each field that a backend may read as `_method`.

    An empty text stands for any method.
    """
    if not query:
        return ()
    try:
        fields = [(name, value) for name, value in fields_of_query(query)]
        return tuple(value or "" for name, value in fields if _METHOD.readings(name))
    except ForbiddenValue:
        return ("",)  # it reaches the prototype of all objects, and so any name


_DECODES: Final = 4
_PIECED: Final = re.compile(r"[./\\%;]|[^\x00-\x7f]")
_VANISHING: Final = re.compile(r"(?:\A|[/\\])(?:\.\.? *)?[/\\]|[/\\](?:\.\.? *)?\Z")


def refuse_other_segments(name: str) -> None:
    """Raise AmbiguousRequest for a segment in which servers find another name, or decode one."""
    if not _PIECED.search(name):
        return
    # Tomcat, where it decodes slashes, makes `b` of `a%2F..%2Fb`, `b%2F` and `%2Fb`: no piece
    # between slashes may be one that is left out of a path.
    for _ in range(_DECODES + 1):
        name = normalize("NFKC", name)
        if ";" in name or _VANISHING.search(name):
            # Servlets, and not they alone, take what follows `;` for parameters.
            raise AmbiguousRequest("parameters-in-name" if ";" in name else "dots-in-name")
        if "%" not in name:
            return
        name = unquote(name, errors="replace")


class NamesOfHead:
    """The sources of one rule that are read from the head of its requests."""

    __slots__ = (
        "_captures",
        "_cookies",
        "_elsewhere",
        "_headers",
        "_jwt",
        "_names",
        "_parameters",
        "_replaced",
    )

    def __init__(
        self,
        sources: Iterable[NameSource],
        *,
        replaced: bool = False,
        elsewhere_allowed: bool = False,
        cookies_ignored: bool = False,
    ) -> None:
        """Make ready for sources of any place.

        `replaced` says that another source is read where there is no bearer token;
        `elsewhere_allowed` lets cookies have their names, and other credentials be given,
        `cookies_ignored` the former alone.
        """
        self._cookies = not (elsewhere_allowed or cookies_ignored)
        self._replaced = replaced
        self._elsewhere = not elsewhere_allowed
        known = dict.fromkeys(sources)
        self._captures = [one.name for one in known if one.place == "path"]
        self._parameters = [one for one in known if one.place == "query"]
        self._names = FieldNames(dict(enumerate(one.name for one in self._parameters)))
        self._headers = {
            fold_header(one.name.encode()): one for one in known if one.place == "header"
        }
        self._jwt = any(one.place in {"jwt-unverified", "caller"} for one in known)

    def reads(self, headers: frozenset[bytes]) -> bool:
        """Return whether a name is read from one of these headers, or from a twin of its name.

        `headers` are in lower case.
        """
        if self._jwt and _AUTHORIZATION in headers:
            return True
        return not self._headers.keys().isdisjoint(map(fold_header, headers))

    def refuse_unclear(self, names: RequestNames) -> None:
        """Raise AmbiguousRequest where one of the names could be read otherwise than it is here.

        Raises MissingValue for one that is empty.
        """
        head = names.head
        for name in self._captures:
            refuse_other_segments(names.captures.get(name, ""))
        if self._parameters:
            self._look_at_query(names)
        if self._headers or self._jwt:
            self._look_at_headers(head)
        for source in (*self._parameters, *self._headers.values()):
            names.name(source)
        if self._jwt and self._elsewhere:
            # Without a token there is no name, and nothing is sealed or opened under one.
            refuse_second_credential(names, in_query=self._replaced, in_cookies=self._replaced)

    def _look_at_query(self, names: RequestNames) -> None:
        """Refuse a parameter in a second spelling, and a cookie of its name with another text."""
        head = names.head
        for name, value in fields_of_query(head.query or ""):
            for key, _ in self._names.readings(name):
                if value is None or name != self._parameters[key].name:
                    raise AmbiguousRequest("name-variant")
        for name, value in cookies(head) if self._cookies else ():
            for key, _ in self._names.readings(name):
                source = self._parameters[key]
                if name != source.name or value != names.name(source):
                    raise AmbiguousRequest("name-differs")

    def _look_at_headers(self, head: RequestHead) -> None:
        """Refuse a header in a second spelling, a second line of it, a list, or one not to pass."""
        wanted = {*self._headers, _AUTHORIZATION} if self._jwt else self._headers
        seen: set[bytes] = set()
        for spelled, value in head.headers:
            folded = fold_header(spelled)
            if folded == _CONNECTION:
                if any(fold_header(one) in wanted for one in value.split(b",")):
                    raise AmbiguousRequest("name-in-connection")
            elif folded in wanted:
                source = self._headers.get(folded)
                exact = _AUTHORIZATION if source is None else source.name.encode()
                if folded in seen or spelled.lower() != exact:
                    twice = "name-stands-twice" if spelled.lower() == exact else "name-variant"
                    raise AmbiguousRequest(twice)
                if source is not None and b"," in value:
                    raise AmbiguousRequest("name-in-a-list")
                seen.add(folded)


def refuse_second_credential(names: RequestNames, *, in_query: bool, in_cookies: bool) -> None:
    """Raise AmbiguousRequest for a credential beside the bearer token: a backend may take that one.

    Where there is no token, one in the query or in cookies is refused as said.
    """
    head = names.head
    if not head.query and COOKIE not in head.names.places:
        return
    bearer = names.bearer
    if head.query and (bearer is not None or in_query):
        for name, value in fields_of_query(head.query):
            refuse_credential(name, value, bearer or "")
    if COOKIE in head.names.places and (bearer is not None or in_cookies):
        for name, value in cookies(head):
            if _CREDENTIAL_COOKIES.readings(name) and _token(value) != (bearer or ""):
                raise AmbiguousRequest("second-credential")


def refuse_credential(name: str, value: str | None, bearer: str) -> None:
    """Raise AmbiguousRequest where a field is a credential other than the bearer token."""
    if _CREDENTIALS.readings(name) and value != bearer:
        raise AmbiguousRequest("second-credential")


def _token(value: str) -> str:
    return value[7:].strip(" ") if value[:7].lower() == "bearer " else value
