"""Items and selectors, as blocks write them, and the settings of fields. None means: not given."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeGuard
from typing import Any as AnyType

from ...core.crypto.token import FORMS, Form
from ...core.errors import InvalidExpression
from ...core.expressions.selectors import (
    Any,
    JsonSelector,
    NamedSelector,
    Selector,
    Whole,
    parse_selector,
)
from ...core.http import content_disposition
from ...core.http.message import Direction
from ...core.rules.conditions import Condition
from ..declared.composed import ByShape, OneOrMore, WithPlace
from ..declared.kinds import Choice, PlainText, Switch, WholeNumber
from ..declared.section import Fields, LazySection, Section, inline, setting
from ..yaml.nodes import Place, Problems, show
from ..yaml.scalars import text
from .audiences import AudienceSyntax, refuse_elsewhere
from .conditions import CONDITIONS, JSON_SELECTOR, json_selector
from .options import BindSyntax, bind, expires

if TYPE_CHECKING:  # loaded with fields that have one
    from ...core.search.model import FieldIndex

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
_HOW: Final = "`form`, `max_chars`, `string`, `min_chars`, `not_blank`, `trim`"
_CHARS: Final = WholeNumber(1, 1_000_000_000)


_ONE_OR_MANY: Final = re.compile(r"one-or-many(?: +(\$.*))?", re.DOTALL)


def _records(written: str) -> JsonSelector:
    match = _ONE_OR_MANY.fullmatch(written)
    if match is None:
        hint = "write `one-or-many`, or `one-or-many $.data` for a member"
        raise InvalidExpression(f"{show(written)} does not say where records are", hint=hint)
    at = json_selector(match[1] or "$")
    if not all(isinstance(step.key, str) and not step.deep for step in at.steps):
        told = f"{show(at.text)} may be more than one place"
        raise InvalidExpression(told, hint="write a path of names")
    return at


RECORDS: Final = PlainText(
    "`one-or-many`, `one-or-many $.path`", parse=_records, pattern=_ONE_OR_MANY.pattern
)


_SEVERAL: Final = re.compile(r"(.*[.:])\{([^{}]*)\}", re.DOTALL)

PlainSelector = JsonSelector | NamedSelector


def _plain(written: str) -> tuple[PlainSelector, ...]:
    """Return what a selector of plain places selects, one for each name in `{a,b}`."""
    if written.startswith("optional "):
        told = "what is plain may always be missing"
        raise InvalidExpression(told, hint="delete `optional`")
    match = _SEVERAL.fullmatch(written)
    names = match[2].split(",") if match else []
    each = [f"{match[1]}{name.strip()}" for name in names] if match else [written]
    return tuple(map(_one_plain, each))


def _one_plain(written: str) -> PlainSelector:
    selector = parse_selector(written)
    named = isinstance(selector, NamedSelector) and (
        selector.place in {"form", "part"} or (selector.place == "query" and selector.inner)
    )
    if not isinstance(selector, JsonSelector) and not named:
        told = f"{show(written)} is no plain place"
        hint = "one of: $.path, form:name, part:name, query:name $.path"
        raise InvalidExpression(told, hint=hint)
    assert not isinstance(selector, Whole)  # noqa: S101 - as was just looked at
    return selector


PLAIN: Final = OneOrMore(
    WithPlace(PlainText("selector", parse=_plain)), "selector or list of selectors; `$.{a,b}`"
)


@dataclass(frozen=True, slots=True)
class HowSealed:
    """How an item or a field has its values sealed."""

    form: Form | None = setting(
        Choice(*FORMS),
        "The form of its tokens: JWE, a shorter one, one that is base64 with padding, for JSON"
        " strings of base64 that the backend decodes, or one that is equal for equal values, for"
        " columns with `=`, UNIQUE or JOIN.",
        absent="`jwe`",
    )
    accept_leakage: bool | None = setting(
        Switch(), "Whether it is known what `form: equal` reveals.", absent="`false`"
    )
    max_chars: int | None = setting(
        _CHARS,
        "The largest number of characters that the backend accepts; a longer token is refused"
        " (422).",
        default=None,
    )
    string: bool | None = setting(
        Switch(),
        "Whether the value must be a string (422 otherwise); the backend cannot check this once it"
        " is sealed.",
        absent="`false`; `true` with `min_chars`, `not_blank` or `trim`",
    )
    min_chars: int | None = setting(
        _CHARS,
        "The smallest number of characters (Unicode code points) that a string must have before it"
        " is sealed (422 otherwise).",
        default=None,
    )
    not_blank: bool | None = setting(
        Switch(),
        "Whether a string must have more than white space (422 otherwise).",
        absent="`false`",
    )
    trim: bool | None = setting(
        Switch(),
        "Whether white space is taken from both ends of a string before it is checked and sealed,"
        " as a backend does that trims.",
        absent="`false`",
    )


def _check_sealed(made: FieldSyntax | ItemSyntax, fields: Fields, problems: Problems) -> None:
    for name in STRINGS if made.sealed.string is False else ():
        if getattr(made.sealed, name) not in {None, False}:
            problems.add(fields[name], "only applies to strings", "delete `string: false`")


STRINGS: Final = ("min_chars", "not_blank", "trim")
"""What asks for a string, whatever `string` says."""


@dataclass(frozen=True, slots=True)
class FieldSyntax:
    """The settings of a field in `fields`."""

    sealed: HowSealed = inline(HowSealed)
    bind: BindSyntax | None = bind()
    index: FieldIndex | None = setting(
        LazySection("rules.indexes:INDEX"),
        "How its values can be found although they are sealed: by tags that the backend stores.",
        default=None,
    )


FIELD: Final = Section(FieldSyntax, "field", "A field, by its name", check=_check_sealed)


@dataclass(frozen=True, slots=True)
class TagsMember:
    """The member beside a value in which its tags are kept."""

    selector: JsonSelector = setting(
        JSON_SELECTOR,
        "A member of the object that has the value; the request must not have it.",
        name="as",
    )


MEMBER: Final = Section(TagsMember, "tags_member", "Where tags are kept, beside the token")


@dataclass(frozen=True, slots=True)
class ItemSyntax:
    """An item and its place. `field` is None only for `tokens`."""

    place: Place
    selector: Selector = setting(
        PlainText("selector", parse=parse_selector),
        "The values that the item applies to.",
        name="select",
    )
    field: str | None = setting(
        PlainText(),
        "The name of the field, which values are bound to.",
        absent="the last member name",
    )
    sealed: HowSealed = inline(HowSealed)
    expires: float | None = expires()
    index: Literal["behind"] | TagsMember | None = setting(
        ByShape(Choice("behind"), mapping=MEMBER),
        "Where the tags of an indexed field are kept: behind the token, or in a member beside it.",
        default=None,
    )
    optional: bool = setting(Switch(), "Whether the value may be missing.", default=False)
    audience: AudienceSyntax = inline(AudienceSyntax)
    each: bool = setting(
        Switch(),
        "For `form:` and `query:`: whether the name may occur more than once; each occurrence is"
        " then sealed or opened. For `part:` it always may.",
        default=False,
    )
    where: tuple[Condition, ...] = setting(
        CONDITIONS,
        "What the list element of a value must have for the item to apply; selectors are those of"
        " the element that the last `*` stands for. Elsewhere the value is one that is not listed.",
        default=(),
    )
    elsewhere_allowed: bool = setting(
        Choice(refuse=False, allow=True),
        "Whether the name may also occur in the query, a cookie or the body, where the rule does"
        " not read it; for backends that never look there.",
        default=False,
        name="elsewhere",
    )

    @property
    def says_how(self) -> bool:
        """Whether anything is given of how values are sealed."""
        how = self.sealed != HowSealed() or self.expires is not None
        return how or self.index is not None


def _long(values: dict[str, AnyType], fields: Fields, problems: Problems) -> ItemSyntax | None:
    if "selector" not in values:
        return None
    made = ItemSyntax(fields["select"], **values)
    _check_sealed(made, fields, problems)
    return made


ITEM: Final = Section(
    ItemSyntax,
    "item",
    "An item in its long form; the short one is `[optional ]SELECTOR[ as FIELD]`",
    make=_long,
)


@dataclass(frozen=True, slots=True)
class _Short:
    """An item as a text."""

    syntax = "item"

    def read(self, place: Place, problems: Problems) -> ItemSyntax | None:
        """Return the item."""
        written = text(place, problems)
        if written is None:
            return None
        rest = written.strip()
        optional = rest.startswith("optional ")
        if optional:
            rest = rest.removeprefix("optional ").lstrip()
        match = _AS.fullmatch(rest)
        word, field = (match[1], match[2]) if match else (rest, None)
        try:
            selector = parse_selector(word)
        except InvalidExpression as error:
            problems.add(place, error.message, error.hint)
            return None
        return ItemSyntax(place, selector, field, optional=optional)


ITEMS: Final = OneOrMore(ByShape(_Short(), mapping=ITEM), "item or list of items")


def items_in(
    direction: Direction, action: str, items: tuple[ItemSyntax, ...], problems: Problems
) -> tuple[ItemSyntax, ...]:
    """Return the items of an action, each with its field; report those that it cannot have."""
    found = []
    for one in items:
        refuse_elsewhere(one.audience, action, direction, one.place, problems)
        complaint, hint = (
            _of_head_complaint(one.selector, action, direction)
            or _of_names_complaint(one, direction)
            or _of_elements_complaint(one)
            or _complaint(one, action)
        )
        if complaint:
            problems.add(one.place, complaint, hint)
        elif one.selector is Whole.TOKENS:
            found.append(one)
        else:
            found.append(replace(one, field=one.field or _field(one.selector)))
    return tuple(found)


def _complaint(item: ItemSyntax, action: str) -> tuple[str, str]:
    """Return what is wrong with an item and how to fix it; empty texts if nothing is."""
    if item.selector is Whole.TOKENS:
        return _tokens_complaint(item, action), ""
    if action == "decrypt" and item.says_how:
        return (
            f"{_HOW}, `index` and `expires` only apply to what is sealed",
            "delete them in `decrypt`",
        )
    if not (item.field or _field(item.selector)):
        word = item.selector.value if isinstance(item.selector, Whole) else item.selector.text
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


def _of_names_complaint(item: ItemSyntax, direction: Direction) -> tuple[str, str] | None:
    """Return what is wrong with `each` and `elsewhere` of an item."""
    place = item.selector.place if isinstance(item.selector, NamedSelector) else "$"
    if item.each and place not in {"form", "query", "part", "filename"}:
        return (
            "`each` only applies to names that may occur repeatedly: `form:`, `query:`, `part:`",
            "write `.*` for each element of a JSON array" if place == "$" else "",
        )
    if item.elsewhere_allowed and (direction == "response" or place == "header"):
        return "`elsewhere` only applies to requests: to names in a body or a query", "delete it"
    return None


def _of_elements_complaint(item: ItemSyntax) -> tuple[str, str] | None:
    """Return what is wrong with `where` of an item."""
    if not item.where:
        return None
    selector = item.selector
    steps = selector.steps if isinstance(selector, JsonSelector) else ()
    if any(one.deep for one in steps) or not any(one.key is Any.MEMBER for one in steps):
        return "`where` only applies to values within elements: `$.list.*.name`", "write `when`"
    return None


def _tokens_complaint(item: ItemSyntax, action: str) -> str:
    if action == "encrypt":
        return "`tokens` only applies to `decrypt`"
    if item.field is not None:
        return "`tokens` opens tokens of any field, so it cannot have a field"
    if item.optional:
        return "`tokens` is never missing, so it cannot be `optional`"
    if item.says_how:
        return f"`tokens` cannot have {_HOW}, `index` or `expires`"
    return ""


def _field(selector: Selector) -> str | None:
    if isinstance(selector, JsonSelector):
        return selector.field
    return selector.value if isinstance(selector, Whole) else selector.field


def _is_query(selector: Selector | None) -> bool:
    return isinstance(selector, NamedSelector) and selector.place == "query"


def _is_of_head(selector: Selector | None) -> TypeGuard[NamedSelector]:
    return isinstance(selector, NamedSelector) and selector.of_head
