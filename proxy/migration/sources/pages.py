"""The pages of a list: where each is, and what leads from one to the next."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from ...core.compiled.rule_table import RuleTable
from ...core.errors import InvalidBody, MigrationFailed, SealyardError
from ...core.expressions.selectors import JsonSelector
from ...core.formats.json import Selection
from ...core.http.path import canonical
from ..job.collections import CursorPaging, HttpCollection, LinkPaging, PagePaging
from .http_backend import BackendAnswer

_NEXT: Final = re.compile(r'<([^>]*)>((?:\s*;\s*[^,;="]+(?:=(?:"[^"]*"|[^",;]*))?)*)')
_REL_NEXT: Final = re.compile(
    r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next\s*(?:;|\Z))', re.IGNORECASE
)


class Pages:
    """The pages of a collection. One is known by what led to it: a link, a number or a cursor.

    Empty is nowhere; what leads to the first page is in `first`.
    """

    def __init__(self, rules: RuleTable, collection: HttpCollection) -> None:
        """Begin with no page read."""
        paging = collection.paging
        self.first: str | int = paging.first if isinstance(paging, PagePaging) else ""
        self.counted = isinstance(paging, PagePaging)
        self._rules = rules
        self._collection = collection
        self._seen: set[int] = set()

    def target(self, at: str | int) -> str:
        """Return path and query of a page."""
        paging, listed = self._collection.paging, self._collection.listed
        if at == "" or paging is None:
            return listed
        if isinstance(paging, LinkPaging):
            return str(at)
        mark = "&" if "?" in listed else "?"
        return f"{listed}{mark}{urlencode({paging.parameter: at})}"

    def refuse_twice(self, what: str) -> None:
        """Raise MigrationFailed for a page that has been read: the list would never end."""
        mark = hash(what)
        if mark in self._seen:
            raise MigrationFailed("page-repeats", detail=f"{self._collection.name}: see `next`")
        self._seen.add(mark)

    def following(
        self, target: str, at: str | int, answer: BackendAnswer, last: bytes
    ) -> str | int:
        """Return what leads on from the page at `at`, whose last element is `last`."""
        paging = self._collection.paging
        if isinstance(paging, PagePaging):
            return int(at) + 1
        if isinstance(paging, LinkPaging):
            return self._linked(target, self._link(paging, answer))
        if isinstance(paging, CursorPaging):
            if paging.selector is not None:
                return self._next(paging.selector, answer.body)
            return "" if last == b"{}" else member(last, paging.member or "")
        return ""

    def _linked(self, target: str, link: str) -> str:
        """Return path and query of a link, which must be of the same rule; its host is not used."""
        if not link:
            return ""
        parts = urlsplit(urljoin(f"http://backend{target}", link))
        query = f"?{parts.query}" if parts.query else ""
        try:
            path = canonical(parts.path)
            here, there = (
                self._rules.decide("GET", one)
                for one in (canonical(target.partition("?")[0]), path)
            )
        except SealyardError:
            raise MigrationFailed("link-refused") from None
        if here.rule is not there.rule or path.text != parts.path or not _is_sent(query):
            raise MigrationFailed("link-leaves-the-list")
        return f"{path.text}{query}"

    def _link(self, paging: LinkPaging, answer: BackendAnswer) -> str:
        if paging.selector is not None:
            return self._next(paging.selector, answer.body)
        header = (paging.header or "").lower()
        value = answer.headers.get(header, "")
        if header != "link":
            return value.strip()
        return next((one[1] for one in _NEXT.finditer(value) if _REL_NEXT.search(one[2])), "")

    def _next(self, selector: JsonSelector, body: bytes) -> str:
        """Return what leads on; empty where there is nothing, null or an empty text.

        Raises MigrationFailed for anything else: the list does not end there.
        """
        found = _values_at(selector, body)
        if not found or found in ([None], [""]):
            return ""
        text = _name(found[0]) if len(found) == 1 else None
        if text is None:
            raise MigrationFailed("next-not-text", detail=f"{self._collection.name}: see `next`")
        return text


def text_at(selector: JsonSelector, body: bytes) -> str:
    """Return the one text or whole number that a selector finds, or an empty text."""
    found = _values_at(selector, body)
    return (_name(found[0]) if len(found) == 1 else None) or ""


def _values_at(selector: JsonSelector, body: bytes) -> list[Any]:
    try:
        found = Selection((selector,)).find(body).found[0]
    except InvalidBody:
        raise MigrationFailed("answer-not-json") from None
    return [json.loads(one.raw(body)) for one in found]


def member(element: bytes, name: str) -> str:
    """Return a member of an element as text; raise MigrationFailed where it has none."""
    value: Any = json.loads(element)
    for one in name.split("."):
        value = value.get(one) if isinstance(value, dict) else None
    text = _name(value)
    if text is None:
        raise MigrationFailed("no-such-member", detail=f"an element has no text or number: {name}")
    return text


def _name(value: object) -> str | None:
    """Return a text or a whole number as text."""
    if isinstance(value, str) and value:
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _is_sent(query: str) -> bool:
    return re.fullmatch(r"[!-~]*", query) is not None
