"""Collections of a backend that is reached over HTTP, as a job names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from ...config.declared.composed import OneOrMore
from ...config.declared.kinds import Choice, PlainText, WholeNumber
from ...config.declared.section import Fields, Key, Section, one_of, setting
from ...config.rules.conditions import JSON_SELECTOR, json_selector
from ...config.yaml.nodes import Problems, show, suggest
from ...core.errors import InvalidExpression, UnsupportedBody
from ...core.expressions.selectors import Any as Wild
from ...core.expressions.selectors import JsonSelector
from ...core.http.message import parse_media_type
from .templates import (
    HEADER,
    HEADER_TEMPLATE,
    MEMBER_NAME,
    METHODS,
    PATH,
    PATH_TEMPLATE,
    WRITE,
    Template,
    Write,
    header_or_selector,
    sent_path,
)

_MEMBER: Final = (
    "`{name}` is a member of the element, `{name.inner}` one of an object in it; percent-encoded."
)


@dataclass(frozen=True, slots=True)
class LinkPaging:
    """The next page is what a link names: in `Link` with rel="next", a header, or the answer."""

    header: str | None = None
    selector: JsonSelector | None = None


@dataclass(frozen=True, slots=True)
class PagePaging:
    """Pages are counted in the query parameter; one without elements ends them."""

    parameter: str
    first: int = 1


@dataclass(frozen=True, slots=True)
class CursorPaging:
    """A cursor goes into the query parameter: one of the answer, or a member of its last element.

    `selector` is for the answer, `member` a variable of the element; one of the two is given.
    """

    parameter: str
    selector: JsonSelector | None = None
    member: str | None = None


Paging = LinkPaging | PagePaging | CursorPaging | None
"""None: there is one page."""


@dataclass(frozen=True, slots=True)
class Total:
    """Where a list says how many elements there are: in a header, or in its answer."""

    header: str | None = None
    selector: JsonSelector | None = None


_PLACE_PATTERN: Final = rf"{JSON_SELECTOR.pattern}|{HEADER.pattern}"
_LINK: Final = PlainText(
    "`Link`, the name of a header, selector",
    parse=lambda written: LinkPaging(*header_or_selector(written)),
    pattern=_PLACE_PATTERN,
)
_TOTAL: Final = PlainText(
    "name of a header, selector",
    parse=lambda written: Total(*header_or_selector(written)),
    pattern=_PLACE_PATTERN,
)


@dataclass(frozen=True, slots=True)
class _PagingKeys:
    """How a page leads to the next one, as it is written."""

    way: tuple[str, Any] = one_of(
        Key(
            "link",
            _LINK,
            "The next page is what a link names: that of `Link` with `rel=next` (RFC 8288), one in"
            " another header, or one in the answer, such as `$.links.next`. Only its path and"
            " query are used.",
        ),
        Key("page", PlainText("name"), "The query parameter that counts pages."),
        Key("cursor", PlainText("name"), "The query parameter of the cursor."),
        make=lambda name, value: (name, value),
    )
    first: int = setting(WholeNumber(0, 1 << 30), "The number of the first page.", default=1)
    source: JsonSelector | None = setting(
        JSON_SELECTOR,
        "Where the answer has the next cursor, such as `$.next_cursor`.",
        default=None,
        name="from",
    )
    last: str | None = setting(
        PlainText("name", MEMBER_NAME, "is not the name of a member"),
        "The member of the last element that is the next cursor, such as `id`.",
        absent="that of `from`",
    )


def _paging(values: dict[str, Any], fields: Fields, problems: Problems) -> Paging:
    way, value = values.get("way", ("", None))
    if way == "page":
        return PagePaging(value, values.get("first", 1))
    if way == "cursor":
        if (fields.get("from") is None) == (fields.get("last") is None):
            problems.add(
                fields.place, "a cursor needs one of `from` and `last`", "write one of them"
            )
        return CursorPaging(value, values.get("source"), values.get("last"))
    paging: Paging = value
    return paging


PAGING: Final[Section[Any]] = Section(
    _PagingKeys,
    "paging",
    "`next`",
    needs=(("first", "page"), ("from", "cursor"), ("last", "cursor")),
    make=_paging,
)


@dataclass(frozen=True, slots=True)
class HeaderGuard:
    """The write has a precondition that members of the listed element fill."""

    header: Literal["If-Match", "If-Unmodified-Since"]
    value: Template


@dataclass(frozen=True, slots=True)
class ReadGuard:
    """The element is read once more before it is written, and compared.

    With `validated`, the write has the ETag or the Last-Modified of that answer as a precondition.
    Without, what another writes between the two requests is lost.
    """

    path: Template
    validated: bool


Guard = HeaderGuard | ReadGuard


def _guard(name: str, template: Template) -> Guard:
    if name in {"etag", "compare"}:
        return ReadGuard(template, validated=name == "etag")
    return HeaderGuard("If-Match" if name == "if_match" else "If-Unmodified-Since", template)


@dataclass(frozen=True, slots=True)
class _GuardKeys:
    """What keeps a write from replacing what another has written meanwhile."""

    guard: Guard = one_of(
        Key(
            "if_match",
            HEADER_TEMPLATE,
            "`If-Match` of the write, by members of the listed element, such as"
            " `'\"{last_modified}\"'`.",
        ),
        Key(
            "if_unmodified_since",
            HEADER_TEMPLATE,
            "`If-Unmodified-Since` of the write, by a member that is an HTTP date.",
        ),
        Key(
            "etag",
            PATH_TEMPLATE,
            "Read each element there before it is written, compare it, and send the `ETag` of that"
            f" answer as `If-Match`, or its `Last-Modified`. {_MEMBER}",
        ),
        Key(
            "compare",
            PATH_TEMPLATE,
            "Read each element there before it is written, and compare it. For backends that check"
            " no precondition: what another writes between the two requests is lost.",
        ),
        make=_guard,
    )


GUARD: Final[Section[Any]] = Section(
    _GuardKeys, "guard", "`guard`", make=lambda values, *_: values.get("guard")
)

_UNSURE: Final = {
    "compare": "the backend is given no precondition: what another writes between reading and"
    " writing an element is lost",
    "If-Unmodified-Since": "the precondition is a time in seconds: what another writes in the same"
    " second is lost",
    "page": "pages are counted: an element that is deleted meanwhile moves another past the reader",
}


def _items(written: str) -> JsonSelector:
    found = json_selector(written)
    *before, last = found.steps or (None,)
    names = all(one is not None and isinstance(one.key, str) and not one.deep for one in before)
    if not names or last is None or not isinstance(last.key, Wild) or last.deep:
        told = f"{show(written)} is no list of elements"
        raise InvalidExpression(told, hint="write names and then one `[*]`, as in `$.data[*]`")
    return found


def _names_to(written: str) -> tuple[str, ...]:
    found = json_selector(written)
    names = tuple(one.key for one in found.steps if isinstance(one.key, str) and not one.deep)
    if len(names) != len(found.steps):
        told = f"{show(written)} is not one place"
        raise InvalidExpression(told, hint="write names alone: `$.data`")
    return names


def _media_type(written: str) -> str:
    try:
        media = parse_media_type(written.encode())
    except UnsupportedBody:
        media = None
    if media is None or not media.is_json:
        told = f"{show(written)} is not a type of JSON"
        hint = suggest(written, ("application/json", "application/merge-patch+json"))
        raise InvalidExpression(told, hint=hint)
    return written


def lookalikes() -> Any:  # noqa: ANN401 - as `setting`
    """Declare the key `lookalikes`."""
    return setting(
        Choice(leave=False, seal=True),
        "Whether `seal` seals a value that begins like a token and does not open. A token of"
        " another keyring is such a value, too.",
        default=False,
    )


@dataclass(frozen=True, slots=True)
class HttpCollection:
    """Elements of a list that are written back one by one.

    `at` are the names that lead to the element in the body of a write. `members`, if not empty, are
    those alone that are written; `without` are those that are not.
    """

    name: str = setting(PlainText("name"), "How reports name it.", name="collection")
    listed: str = setting(
        PlainText("path with query", parse=sent_path, pattern=PATH),
        "Where its elements are listed, in an order that writes do not change.",
        name="list",
    )
    items: JsonSelector = setting(
        replace(JSON_SELECTOR, parse=_items),
        "The elements of the answer, such as `$.data[*]`.",
    )
    write: Write = setting(
        WRITE,
        f"Where an element is written back: {', '.join(f'`{one}`' for one in METHODS)} and a"
        f" path. {_MEMBER}",
    )
    guard: Guard = setting(
        GUARD, "What keeps a write from replacing what another has written meanwhile."
    )
    paging: Paging = setting(
        PAGING, "How a page leads to the next one.", absent="there is one page", name="next"
    )
    total: Total | None = setting(
        _TOTAL,
        "Where the list says how many elements it has, for the time that is left: a header of"
        " the answer to `HEAD`, or to `GET`, such as `X-Total-Count` or `Content-Range`, or a"
        " number in the answer, such as `$.total`.",
        absent="not known",
    )
    at: tuple[str, ...] = setting(
        replace(JSON_SELECTOR, parse=_names_to),
        "Where the element is in the body of a write, such as `$.data`.",
        default=(),
        absent="`$`: it is the body",
        name="body",
    )
    members: tuple[str, ...] = setting(
        OneOrMore(PlainText("name"), "list of names"),
        "The members that are written.",
        default=(),
        absent="all",
    )
    without: tuple[str, ...] = setting(
        OneOrMore(PlainText("name"), "list of names"), "Members that are not written.", default=()
    )
    media_type: str = setting(
        PlainText("media type", parse=_media_type),
        "That of the write.",
        default="application/json",
        name="type",
    )
    lookalikes: bool = lookalikes()
    labels: tuple[str, ...] = ()
    """How reports name the values; the rule that seals them says what there is."""

    @property
    def excluded(self) -> str:
        """What a report says that it is not about."""
        return f"elements of {self.name} that are not listed by {self.listed}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a plan says of how sure reading and writing are."""
        found: list[str] = []
        guard = self.guard
        if isinstance(guard, ReadGuard) and not guard.validated:
            found.append("compare")
        if isinstance(guard, HeaderGuard):
            found.append(guard.header)
        if isinstance(self.paging, PagePaging):
            found.append("page")
        return tuple(f"{self.name}: {_UNSURE[one]}" for one in found if one in _UNSURE)

    def limits(self, _: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return no limits: the rule knows them."""
        return (None,) * len(self.labels)


def _collection(
    values: dict[str, Any], fields: Fields, problems: Problems
) -> tuple[HttpCollection, Fields] | None:
    """Return a collection, and the fields for what its rules are asked."""
    if not {"name", "listed", "items", "write", "guard"} <= values.keys():
        return None
    if values.get("members") and values.get("without"):
        problems.add(fields["without"], "`members` says already what is written", "delete one")
    return HttpCollection(**values), fields


COLLECTION: Final = Section(HttpCollection, "collection", "`collections`", make=_collection)
