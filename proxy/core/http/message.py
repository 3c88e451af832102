"""Heads of requests and responses as values, headers as the bytes that came."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from ..errors import UnsupportedBody
from ..policy import KEPT_FACTS
from .header_names import HeaderNames, Pick, names_in, picking

TOKEN: Final = rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""A token of RFC 9110 section 5.6.2, as a pattern."""
_QUOTED: Final = rb'"(?:[^"\\\x00-\x1f\x7f-\xff]|\\[\x21-\x7e])*"'
_PARAMETER: Final = re.compile(rb"[ \t]*;[ \t]*(%s)=(%s|%s)" % (TOKEN, TOKEN, _QUOTED))
_FORMS: Final = re.compile(rb"urlencoded|form-data|multipart", re.IGNORECASE)
_MEDIA_TYPE: Final = re.compile(
    rb"(%s/%s)((?:[ \t]*;[ \t]*%s=(?:%s|%s))*)[ \t]*;?" % (TOKEN, TOKEN, TOKEN, TOKEN, _QUOTED)
)
_ORIGIN: Final = re.compile(rb"https?://[^/?#@\\]++(?=[/?#]|\Z)", re.IGNORECASE)
_PLAIN_QUOTED: Final = re.compile(r'"[A-Za-z0-9!#$%&\'*+.^_`|~-]+"')

Direction = Literal["request", "response"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("request", "response")
Headers = tuple[tuple[bytes, bytes], ...]
"""Names and values in the order and spelling in which they came."""
# What rules know of a message besides the names that they give themselves.
_READ_BY_RULES: Final = frozenset(
    {
        b"cache-control",
        b"content-digest",
        b"content-encoding",
        b"content-md5",
        b"content-type",
        b"expires",
        b"repr-digest",
        b"vary",
        b"x-content-type-options",
    }
)
_DIGESTS: Final = frozenset({b"content-digest", b"content-md5", b"repr-digest"})


class HeadFacts(dict[bytes, list[bytes]]):
    """The headers that rules read: their values in order, by name in lower case.

    Messages share them (see `facts_of`), so nobody changes them. `lone_type` is the Content-Type
    where it alone says what the body is, `plain_json` says that this is JSON in UTF-8 without a
    digest, `by_look` that it was told by a look at the body, `as_page` that a browser may render it
    as a page, whatever it is read as here. `own_cache` is a cache of `cache_control`.
    """

    __slots__ = ("as_page", "by_look", "lone_type", "own_cache", "plain_json")

    def __init__(self, headers: Headers, *, as_page: bool = False, by_look: bool = False) -> None:
        """Take some headers, of which rules may read only some."""
        super().__init__()
        for name, value in headers:
            low = name.lower()
            if low in _READ_BY_RULES:
                self.setdefault(low, []).append(value)
        types = self.get(b"content-type", [])
        lone = len(types) == 1 and b"content-encoding" not in self
        self.lone_type = types[0] if lone else None
        self.as_page = as_page
        self.by_look = by_look
        self.own_cache: bytes | None = None
        self.plain_json = (
            self.lone_type is not None
            and not as_page
            and _DIGESTS.isdisjoint(self)
            and _is_plain_json(self.lone_type)
        )

    def words(self, name: bytes) -> set[bytes]:
        """Return the words of a list in a header, in lower case."""
        values = self.get(name, ())
        return {one.strip(b" \t").lower() for value in values for one in value.split(b",")}


_shared: Final = lru_cache(maxsize=KEPT_FACTS)(HeadFacts)


def facts_of(headers: Headers, names: HeaderNames) -> HeadFacts:
    """Return what rules read of some headers, `names` being theirs.

    Messages say the same again and again; only a digest is that of one body.
    """
    pick, shares = names[_read_by_rules]
    return _shared(pick(headers)) if shares else HeadFacts(pick(headers))


def _read_by_rules(names: HeaderNames) -> tuple[Pick, bool]:
    """Return what picks the headers that rules read, and whether messages can share them."""
    places = [at for at, low in enumerate(names.lows) if low in _READ_BY_RULES]
    return picking(places), _DIGESTS.isdisjoint(names.places)


def header_values(headers: Headers, name: bytes) -> list[bytes]:
    """Return every value of the header `name` (lower case), in order."""
    return [value for key, value in headers if key.lower() == name]


@dataclass(slots=True)
class RequestHead:
    """The head of a request that passed the gate.

    `path` is the canonical path and `query` the text after `?` as it came (None without `?`).
    Final and not frozen, since it is made for each message: the type checker holds it as well.
    """

    method: Final[str]
    path: Final[str]
    query: Final[str | None]
    headers: Final[Headers]
    names: HeaderNames = field(repr=False, compare=False)
    facts: HeadFacts = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        method: str,
        path: str,
        query: str | None,
        headers: Headers,
        names: HeaderNames | None = None,
    ) -> None:
        """Take a head; `names` are those of the headers, where they are known."""
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.names = names = names_in(headers) if names is None else names
        self.facts = facts_of(headers, names)

    def without_pages(self) -> RequestHead:
        """Return this head with each Referer cut to its origin; one without an origin is empty."""
        headers = tuple(
            (name, _origin(value)) if name.lower() == b"referer" else (name, value)
            for name, value in self.headers
        )
        return RequestHead(self.method, self.path, self.query, headers, self.names)


def _origin(address: bytes) -> bytes:
    found = _ORIGIN.match(address)
    return b"" if found is None else found[0] + b"/"


@dataclass(slots=True)
class ResponseHead:
    """The head of a response of the backend. Final as that of a request."""

    status: Final[int]
    reason: Final[bytes]
    headers: Final[Headers]
    names: HeaderNames = field(repr=False, compare=False)
    facts: HeadFacts = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        status: int,
        reason: bytes,
        headers: Headers,
        names: HeaderNames | None = None,
        facts: HeadFacts | None = None,
    ) -> None:
        """Take a head; `names` and `facts` are those of the headers, or what is to be read."""
        self.status = status
        self.reason = reason
        self.headers = headers
        self.names = names = names_in(headers) if names is None else names
        self.facts = facts_of(headers, names) if facts is None else facts

    def rewritten(self, headers: Headers) -> ResponseHead:
        """Return this head with other values of the same headers; rules read what they read."""
        return ResponseHead(self.status, self.reason, headers, self.names, self.facts)

    def read_as(self, media: bytes, *, as_page: bool) -> ResponseHead:
        """Return this head as rules read it where a look shows that the body is of another type."""
        others = [pair for pair in self.headers if pair[0].lower() != b"content-type"]
        facts = HeadFacts((*others, (b"Content-Type", media)), as_page=as_page, by_look=True)
        return ResponseHead(self.status, self.reason, self.headers, self.names, facts)


@dataclass(frozen=True, slots=True)
class SocketHead:
    """What takes the place of the head for a WebSocket message, which has none.

    `direction` is where it goes; `binary` says that it need not be UTF-8.
    """

    direction: Direction
    binary: bool = False

    @property
    def headers(self) -> Headers:
        """No headers."""
        return ()

    @property
    def names(self) -> HeaderNames:
        """No names."""
        return _NO_NAMES

    @property
    def facts(self) -> HeadFacts:
        """No headers."""
        return _NOTHING_READ_BY_RULES


Head = RequestHead | ResponseHead | SocketHead
_NO_NAMES: Final = names_in(())
_NOTHING_READ_BY_RULES: Final = HeadFacts(())


_LIKE_ASCII: Final = re.compile(
    r"ascii|(?:iso[-_]?8859[-_]?|latin-?|windows-?125|cp-?125)\d{1,2}|koi8-[ru]|euc-(?:jp|kr)|gb(?:k|2312|18030)"
)
"""Charsets in which ASCII is ASCII."""
_CODED: Final = re.compile(rb"%[89A-Fa-f]")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type (RFC 9110 section 8.3.1): its essence in lower case, and all of it as text.

    `text` is the form that a token can contain: quoted parameter values are unquoted.
    """

    essence: str
    text: str
    charset: str | None

    @property
    def is_json(self) -> bool:
        """Whether bodies of this type are JSON texts (RFC 8259, RFC 6839 `+json`)."""
        return self.essence == "application/json" or self.suffix == "json"

    @property
    def suffix(self) -> str:
        """The suffix that says how bodies of this type are written (RFC 6839); empty for none.

        A patch has none: in its operations (RFC 6902) members have other places than in what it
        changes. A merge patch (RFC 7396) has the places of that.
        """
        kind, plus, suffix = self.essence.rpartition("+")
        patches = "patch" in kind and kind != "application/merge-patch"
        return suffix if plus and not patches else ""

    @property
    def is_utf8(self) -> bool:
        """Whether the type names no charset, or UTF-8 (of which US-ASCII is a part)."""
        return self.charset in {None, "utf-8", "utf8", "us-ascii"}

    def is_ascii(self, body: bytes) -> bool:
        """Return whether a body is ASCII that reads alike in its charset and in UTF-8."""
        if _LIKE_ASCII.fullmatch(self.charset or "") is None or not body.isascii():
            return False
        return self.is_json or not _CODED.search(body)


@lru_cache(maxsize=256)
def parse_media_type(value: bytes) -> MediaType | None:
    """Return the media type that a Content-Type spells, or None where it spells none."""
    match = _MEDIA_TYPE.fullmatch(value.strip(b" \t"))
    if match is None:
        return None
    essence = match[1].decode("ascii").lower()
    if _may_be_form(essence, value):
        return None
    text = essence
    charset: str | None = None
    for parameter in _PARAMETER.finditer(match[2]):
        name = parameter[1].decode("ascii").lower()
        given = parameter[2].decode("ascii")
        if name.partition("*")[0] == "charset":
            if charset is not None or name != "charset":
                return None  # in the spelling of RFC 2231, which some readers take for the charset
            charset = given.strip('"').lower()
        if _PLAIN_QUOTED.fullmatch(given):
            given = given[1:-1]
        text += f"; {name}={given}"
    return MediaType(essence, text, charset)


def _may_be_form(essence: str, value: bytes) -> bool:
    """Return whether readers that search a Content-Type for a word take another form for it."""
    words = {one.lower() for one in _FORMS.findall(value)}
    if essence == "application/x-www-form-urlencoded":
        words.discard(b"urlencoded")
    elif essence.startswith("multipart/") and "+" not in essence:
        words -= {b"multipart", b"form-data"}  # a boundary may have them too
    return bool(words)


def _is_plain_json(value: bytes) -> bool:
    """Return whether a Content-Type spells that of JSON in UTF-8."""
    media = parse_media_type(value)
    return media is not None and media.is_json and media.is_utf8


def media_type(facts: HeadFacts) -> MediaType | None:
    """Return the media type of a message with these headers, or None where it names none.

    Raises AmbiguousRequest if Content-Type occurs twice, UnsupportedBody if it is malformed.
    """
    values = facts.get(b"content-type")
    if values is None:
        return None
    if len(values) > 1:
        raise UnsupportedBody("content-type-stands-twice")
    parsed = parse_media_type(values[0])
    if parsed is None:
        raise UnsupportedBody("content-type-malformed")
    return parsed
