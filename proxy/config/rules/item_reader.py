"""Readers of items and selectors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeGuard, cast

from ...core.crypto.token import FORMS, Form
from ...core.errors import InvalidExpression
from ...core.expressions.selectors import (
    JsonSelector,
    NamedSelector,
    Selector,
    Whole,
    parse_selector,
)
from ...core.http import content_disposition
from ...core.http.message import Direction
from ..schema.rule_keys import ELSEWHERE, ITEM, MOST_CHARS
from ..schema.tables import Fields
from ..yaml.nodes import Mapping, Place, Problems, show
from ..yaml.scalars import choice, is_bare, one_or_more, switch, text, texts, whole
from .option_reader import expires
from .syntax import ItemSyntax

# Servers and proxies on the way read these themselves, Sealyard among them.
_RESERVED: Final = frozenset(
    {
        "authorization",
        "age",
        "allow",
        "alt-svc",
        "clear-site-data",
        "connection",
        "date",
        "etag",
        "expect",
        "expires",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "last-modified",
        "link",
        "location",
        "max-forwards",
        "pragma",
        "range",
        "refresh",
        "retry-after",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "via",
        "www-authenticate",
        "x-real-ip",
    }
)
_RESERVED_BEGINNINGS: Final = (
    "accept",
    "access-control-",
    "cache-",
    "content-",
    "if-",
    "proxy-",
    "repr-digest",
    "sealyard-",
    "sec-",
    "signature",
    "x-forwarded-",
    "x-http-method",
    "x-method",
)
_NO_QUERY: Final = ("`query:` only applies to requests: a response has no query", "delete it")
_AS: Final = re.compile(r"(.*\S) +as +([\w.-]+)", re.DOTALL)


def items(
    place: Place | None, action: str, direction: Direction, problems: Problems
) -> tuple[ItemSyntax, ...]:
    """Return the items of an action."""
    if place is None:
        return ()
    found = (_item(one, action, direction, problems) for one in one_or_more(place, problems))
    return tuple(one for one in found if one is not None)


def selectors(
    place: Place | None, direction: Direction, problems: Problems
) -> tuple[tuple[Selector, Place], ...]:
    """Return the selectors of what must be absent."""
    if place is None:
        return ()
    found: list[tuple[Selector, Place]] = []
    for one in one_or_more(place, problems):
        written = text(one, problems)
        if written is None:
            continue
        if written.startswith("optional "):
            problems.add(one, "what must be absent cannot be `optional`", "delete `optional`")
            continue
        selector = _selector(written, one, problems)
        if _is_query(selector) and direction == "response":
            problems.add(one, *_NO_QUERY)
        elif selector in {Whole.TEXT, Whole.TOKENS}:
            problems.add(one, f"{show(written)} cannot be absent", "write `body`")
        elif selector is not None:
            found.append((selector, one))
    return tuple(found)


class HowSealed(NamedTuple):
    """How an item or a field has its values sealed."""

    form: Form | None = None
    max_chars: int | None = None
    string: bool | None = None
    min_chars: int | None = None

    @property
    def says(self) -> bool:
        """Whether anything is given."""
        return any(one is not None for one in self)


def how_sealed(fields: Fields, problems: Problems) -> HowSealed:
    """Return how an item or a field has its values sealed."""
    form = fields.read("form", choice, FORMS, problems)
    string = fields.read("string", switch, problems)
    least = fields.read("min_chars", whole, problems, low=1, high=MOST_CHARS)
    if string is False and least is not None:
        problems.add(fields["min_chars"], "only applies to strings", "delete `string: false`")
    most = fields.read("max_chars", whole, problems, low=1, high=MOST_CHARS)
    return HowSealed(cast("Form | None", form), most, string, least)


@dataclass(frozen=True, slots=True)
class _Written:
    """An item as it is written, before its selector is parsed."""

    selector: str
    place: Place
    field: str | None
    optional: bool
    sealed: HowSealed
    each: bool = False
    elsewhere: bool = False
    expires: int | None = None


def _item(place: Place, action: str, direction: Direction, problems: Problems) -> ItemSyntax | None:
    node = place.node
    long = isinstance(node, Mapping) and not is_bare(node)
    written = (_long if long else _short)(place, problems)
    selector = None if written is None else _selector(written.selector, written.place, problems)
    if written is None or selector is None:
        return None
    complaint, hint = (
        _of_head_complaint(selector, action, direction)
        or _of_names_complaint(written, selector, direction)
        or _complaint(written, selector, action)
    )
    if complaint:
        problems.add(written.place, complaint, hint)
        return None
    field = None if selector is Whole.TOKENS else written.field or _field(selector)
    return ItemSyntax(
        selector,
        field,
        written.place,
        *written.sealed,
        written.optional,
        each=written.each,
        elsewhere_allowed=written.elsewhere,
        expires=written.expires,
    )


def _short(place: Place, problems: Problems) -> _Written | None:
    written = text(place, problems)
    if written is None:
        return None
    rest = written.strip()
    optional = rest.startswith("optional ")
    if optional:
        rest = rest.removeprefix("optional ").lstrip()
    match = _AS.fullmatch(rest)
    word, field = (match[1], match[2]) if match else (rest, None)
    return _Written(word, place, field, optional, HowSealed())


def _long(place: Place, problems: Problems) -> _Written | None:
    fields = Fields(place, ITEM, problems)
    sealed, end = how_sealed(fields, problems), expires(fields.get("expires"), problems)
    optional, each = (bool(fields.read(key, switch, problems)) for key in ("optional", "each"))
    query = fields.read("query", choice, ELSEWHERE, problems)
    field = fields.read("field", text, problems)
    written = text(fields["select"], problems) if fields.whole else None
    if written is None:
        return None
    where = fields["select"]
    return _Written(written, where, field, optional, sealed, each, query == "allow", end)


def json_selectors(place: Place | None, problems: Problems) -> tuple[JsonSelector, ...]:
    """Return the JSON selectors of a key such as `html`."""
    found: list[JsonSelector] = []
    for word, at in () if place is None else texts(one_or_more(place, problems), problems):
        selector = _selector(word, at, problems)
        if isinstance(selector, JsonSelector):
            found.append(selector)
        elif selector is not None:
            problems.add(
                at, f"{show(word)} is not a JSON selector", "write one that begins with `$`"
            )
    return tuple(found)


def _complaint(written: _Written, selector: Selector, action: str) -> tuple[str, str]:
    """Return what is wrong with an item and how to fix it; empty texts if nothing is."""
    if selector is Whole.TOKENS:
        return _tokens_complaint(written, action), ""
    if action == "decrypt" and (written.sealed.says or written.expires is not None):
        words = "`form`, `max_chars`, `string`, `min_chars` and `expires`"
        return f"{words} only apply to what is sealed", "delete them in `decrypt`"
    if not (written.field or _field(selector)):
        word = written.selector
        return f"{show(word)} has no member name for its field", f"write `{word} as NAME`"
    return "", ""


def _of_head_complaint(
    selector: Selector, action: str, direction: Direction
) -> tuple[str, str] | None:
    if not _is_of_head(selector):
        return None
    if direction == "response" and _is_query(selector):
        return _NO_QUERY
    reserved = selector.name in _RESERVED or selector.name.startswith(_RESERVED_BEGINNINGS)
    if selector.place == "header" and selector.name == content_disposition.NAME:
        if (direction, action) == ("response", "decrypt"):
            return None
        return f"{show(selector.text)} only applies to `decrypt` of responses: its filename", ""
    if selector.place == "header" and reserved:
        return f"{show(selector.text)} is read by servers on the way, so it cannot be a token", ""
    return None


def _of_names_complaint(
    written: _Written, selector: Selector, direction: Direction
) -> tuple[str, str] | None:
    """Return what is wrong with `each` and `query` of an item."""
    place = selector.place if isinstance(selector, NamedSelector) else "$"
    if written.each and place not in {"form", "query", "part", "filename"}:
        return (
            "`each` only applies to names that may occur repeatedly: `form:`, `query:`, `part:`",
            "write `.*` for each element of a JSON array" if place == "$" else "",
        )
    if written.elsewhere and (direction == "response" or place == "header"):
        return "`query` only applies to requests: to names in a body or a query", "delete it"
    return None


def _tokens_complaint(written: _Written, action: str) -> str:
    if action == "encrypt":
        return "`tokens` only applies to `decrypt`"
    if written.field is not None:
        return "`tokens` opens tokens of any field, so it cannot have a field"
    if written.optional:
        return "`tokens` is never missing, so it cannot be `optional`"
    if written.sealed.says or written.expires is not None:
        return "`tokens` cannot have `form`, `max_chars`, `string`, `min_chars` or `expires`"
    return ""


def _field(selector: Selector) -> str | None:
    if isinstance(selector, JsonSelector):
        return selector.field
    return selector.value if isinstance(selector, Whole) else selector.field


def _is_query(selector: Selector | None) -> bool:
    return isinstance(selector, NamedSelector) and selector.place == "query"


def _is_of_head(selector: Selector | None) -> TypeGuard[NamedSelector]:
    return isinstance(selector, NamedSelector) and selector.of_head


def _selector(written: str, place: Place, problems: Problems) -> Selector | None:
    try:
        return parse_selector(written)
    except InvalidExpression as error:
        problems.add(place, error.message, error.hint)
        return None
