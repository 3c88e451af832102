"""Collections of a backend, read and written over HTTP as its clients do.

A page is the answer of a list, a row an element with an address. A row is written with the
precondition that the job names, so that what another has written meanwhile is not replaced.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from time import monotonic
from typing import Final

from ...core.errors import InvalidBody, MigrationFailed, SealyardError
from ...core.formats.json import Selection
from ...core.http.message import Headers
from ...core.http.path import canonical
from ...keys.sessions.sessions import Sessions
from ..job.collections import HeaderGuard, HttpCollection, ReadGuard
from ..job.model import Verb
from ..job.places import Http
from ..job.templates import Template
from ..policy import HTTP_ATTEMPTS, TRIED_ELEMENTS
from ..values.rule_treatment import ListedRow, RuleTreatment
from ..values.sealing import RunSessions
from ..values.treatment import Key, StoredRow
from ..values.write_body import value_at, write_body
from .http_backend import Backend, BackendAnswer
from .pages import Pages, member, text_at
from .source import ReadInOrder, Replaced

_OK: Final = 200
_CHANGED: Final = frozenset({404, 409, 410, 412})
"""The row is gone, or another has written it."""
_UNMET: Final = frozenset({409, 412})
_UNFIT: Final = frozenset({400, 413, 415, 422})
"""The backend does not take this body, whoever writes it."""
_LONG_AGO: Final = "Thu, 01 Jan 1970 00:00:00 GMT"
_STRONG: Final = re.compile(r'"[!#-~]*"')
_NUMBER: Final = re.compile(r'"([1-9][0-9]*)"')
_VISIBLE: Final = re.compile(r"[\x20-\x7e]+")
_TOTAL: Final = re.compile(r"(?:.*/)?([0-9]{1,15})")
"""A number, or the end of a Content-Range (RFC 9110, section 14.4)."""


class HttpSource(ReadInOrder):
    """The elements of one collection, in the order of its list."""

    def __init__(self, http: Http, headers: Mapping[str, str], collection: HttpCollection) -> None:
        """Connect to nothing yet."""
        self.table = collection
        self.name = f"{http.name}#{collection.name}"
        self._rules = http.rules
        self._headers: Headers = tuple(
            (name.encode(), value.encode()) for name, value in headers.items()
        )
        self._backend = Backend(http.listener, headers)
        self._items = Selection((collection.items,))
        self._pages = Pages(http.rules, collection)
        self._refused: dict[Key, str] = {}
        self._checked: set[str] = set()

    def treatment(
        self, verb: Verb, sessions: Sessions, sealing: RunSessions, only: str | None
    ) -> RuleTreatment:
        """Return what treats the rows, by the rules of the listener."""
        return RuleTreatment(
            self._rules,
            self._headers,
            self.table,
            verb=verb,
            sessions=sessions,
            sealing=sealing,
            only=only,
        )

    @property
    def refused(self) -> Mapping[Key, str]:
        """The elements that the backend did not take when they were last written, and why."""
        return self._refused

    def widths(self) -> tuple[int | None, ...]:
        """Return no limits: the rule knows them."""
        return (None,) * len(self.table.labels)

    def count(self) -> int | None:
        """Return how many elements the backend says there are; None where it does not.

        It is for the time left alone: nothing is read or left out because of it.
        """
        total, target = self.table.total, self._pages.target(self._pages.first)
        if total is None:
            return None
        for method in ("HEAD", "GET") if total.header is not None else ("GET",):
            answer = self._backend.ask(method, target)
            said = answer.headers.get((total.header or "").lower(), "")
            if total.selector is not None and answer.ok:
                said = text_at(total.selector, answer.body)
            found = _TOTAL.fullmatch(said.strip())
            if answer.ok and found is not None:
                return int(found[1])
        return None

    def request_seconds(self) -> float | None:
        """Return how long the requests of a write take, if each is as long as reading an element.

        Reads some, and writes none. None where the first page has none, or one cannot be read.
        """
        guard = self.table.guard
        reads = isinstance(guard, ReadGuard)
        path = guard.path if isinstance(guard, ReadGuard) else self.table.write.address
        rows = self.page(None, None)[:TRIED_ELEMENTS]
        began = monotonic()
        for row in rows:
            if not self._backend.ask("GET", self._path(path, ListedRow.of(row).element)).ok:
                return None
        return (monotonic() - began) / len(rows) * (1 + reads) if rows else None

    def page(self, after: Key | None, until: Key | None) -> list[StoredRow]:
        """Return the elements of the next page that has any; there are no ranges with an end.

        The key of a page's last row has what leads to the next page.
        """
        return next(self._pages_behind(after), [])

    def again(self, after: Key | None, last: Key, keys: Collection[Key]) -> list[StoredRow]:
        """Return rows of a page; what was inserted may have moved some of them to the next one."""
        found: list[StoredRow] = []
        for rows in islice(self._pages_behind(after, last), 2):
            found += (row for row in rows if row.key in keys)
            if any(row.key == last for row in rows):
                break
        return found

    def write(self, rows: Sequence[Replaced]) -> Collection[Key]:
        """Write rows one by one, each unless another has written it."""
        self._refused.clear()
        return [row.key for row, (body, *_) in rows if body is not None and self._write(row, body)]

    def close(self) -> None:
        """Close the connection."""
        self._backend.close()

    def _pages_behind(
        self, after: Key | None, last: Key | None = None
    ) -> Iterator[list[StoredRow]]:
        """Yield the pages that have elements; with `last`, those of before are read again."""
        at = self._pages.first if after is None else _at(after)
        begins = after is None
        while begins or at:
            target = self._pages.target(at)
            if last is None:
                self._pages.refuse_twice(target)
            rows, at = self._read(target, at, self._backend.ask("GET", target), last)
            if rows:
                yield rows
            elif self._pages.counted:
                return
            begins = False

    def _read(
        self, target: str, at: str | int, answer: BackendAnswer, until: Key | None
    ) -> tuple[list[StoredRow], str | int]:
        """Return the rows of a page, and where the next one is: empty for nowhere.

        `until` is the key of the last row of a page that is read again.
        """
        self._require_ok(answer)
        body = answer.body
        try:
            found = self._items.find(body).found[0]
        except InvalidBody:
            raise MigrationFailed("answer-not-json") from None
        elements = [one.raw(body) for one in found]
        last = elements[-1] if elements else b"{}"
        following = self._pages.following(target, at, answer, last)
        if not found:
            return [], following
        before, behind = body[: found[0].start], body[found[-1].end :]
        media_type = answer.headers.get("content-type", "application/json")
        rows: dict[Key, StoredRow] = {}
        for element in elements:
            address = self._path(self.table.write.address, element)
            listed = ListedRow(address, target, media_type, element, before, behind)
            key: Key = until if until is not None and address == until[0] else (address,)
            if until is None and element is last:
                key = (address, following)
            if (address,) in rows or key in rows:
                raise MigrationFailed("address-twice", detail=f"{self.table.name}: see `write`")
            rows[key] = listed.row(key)
        if until is None and self._pages.counted:
            self._pages.refuse_twice(" ".join(str(key[0]) for key in rows))
        return list(rows.values()), following

    def _path(self, template: Template, element: bytes) -> str:
        """Return a path that an element fills."""
        path = template.expand(lambda name: member(element, name))
        try:
            spelled = canonical(path).text
        except SealyardError:
            spelled = ""
        if spelled != path:
            raise MigrationFailed("no-address", detail=f"{self.table.name}: a member is no name")
        return path

    def _write(self, row: StoredRow, body: bytes) -> bool:
        listed = ListedRow.of(row)
        for attempt in range(HTTP_ATTEMPTS):
            precondition = self._precondition(listed)
            if precondition is None:
                return False
            checked = precondition.keys() <= self._checked
            if not checked and not self._probe(row, precondition):
                return False
            answer = self._send(listed, body, precondition)
            if precondition or not answer.busy or attempt == HTTP_ATTEMPTS - 1:
                break
            self._backend.pause(answer, attempt)
        return self._done(row, answer)

    def _send(
        self, listed: ListedRow, body: bytes, precondition: Mapping[str, str]
    ) -> BackendAnswer:
        self.look()
        headers = {"Content-Type": self.table.media_type, **precondition}
        return self._backend.ask(self.table.write.method, listed.address, headers, body)

    def _done(self, row: StoredRow, answer: BackendAnswer) -> bool:
        """Return whether a row was written; note why the backend does not take it."""
        if answer.status in _UNFIT:
            self._refused[row.key] = f"status {answer.status}"
        elif answer.status not in _CHANGED:
            self._require_ok(answer, any_ok=True)
            return True
        return False

    def _probe(self, row: StoredRow, precondition: Mapping[str, str]) -> bool:
        """Learn, before the first write with such a precondition, whether the backend checks it.

        It is sent what it has, with one that cannot hold. Returns False where nothing was learnt.
        Raises MigrationFailed where it writes all the same: it would lose what others write.
        """
        listed = ListedRow.of(row)
        stale = {name: _stale(name, value) for name, value in precondition.items()}
        same = write_body(self.table, listed.element).text
        answer = self._send(listed, same, stale)
        if answer.ok:
            detail = (
                f"{', '.join(stale)} does not keep it from writing; use `guard: {{compare: …}}`"
            )
            raise MigrationFailed("precondition-ignored", detail=detail)
        if answer.status not in _UNMET:
            return self._done(row, answer)
        self._checked.update(precondition)
        return True

    def _precondition(self, listed: ListedRow) -> dict[str, str] | None:
        """Return the headers that guard a write; None where the element is another one by now."""
        guard = self.table.guard
        if isinstance(guard, HeaderGuard):
            value = guard.value.fill(lambda name: _in_header(listed.element, name))
            if not _VISIBLE.fullmatch(value):
                raise MigrationFailed("no-precondition", detail=f"{self.table.name}: see `guard`")
            return {guard.header: value}
        answer = self._backend.ask("GET", self._path(guard.path, listed.element))
        if answer.status in _CHANGED:
            return None
        self._require_ok(answer)
        try:
            now = value_at(self.table.at, answer.body)
            listed_text = write_body(self.table, listed.element).text
            if now is None or write_body(self.table, now).text != listed_text:
                return None
        except SealyardError:
            return None
        return _validator(answer) if guard.validated else {}

    def _require_ok(self, answer: BackendAnswer, *, any_ok: bool = False) -> None:
        if not (answer.ok if any_ok else answer.status == _OK):
            detail = "redirects are not followed" if answer.status // 100 == 3 else ""  # noqa: PLR2004 - 3xx
            raise MigrationFailed(f"status {answer.status}", detail=detail or self.table.name)


def _stale(name: str, value: str) -> str:
    """Return a precondition that does not hold, of the same form as one that does.

    Backends count versions, or take a time for a tag, and 0 for none.
    """
    if name != "If-Match":
        return _LONG_AGO
    counted = _NUMBER.fullmatch(value)
    if counted is not None:
        number = int(counted[1])
        return f'"{number - 1 if number > 1 else number + 1}"'
    last = "1" if value[-2:-1] == "0" else "0"
    return f'{value[:-2]}{last}"'


def _validator(answer: BackendAnswer) -> dict[str, str]:
    """Return the precondition by the validators of an answer; If-Match needs a strong one."""
    etag, modified = (answer.headers.get(one, "") for one in ("etag", "last-modified"))
    if _STRONG.fullmatch(etag):
        return {"If-Match": etag}
    if modified:
        return {"If-Unmodified-Since": modified}
    raise MigrationFailed("no-validator", detail="an element has neither ETag nor Last-Modified")


def _at(key: Key) -> str | int:
    """Return what leads from a page's last row to the next page."""
    at = key[1]
    return at if isinstance(at, int) else str(at)


def _in_header(element: bytes, name: str) -> str:
    """Return a member for a header; raise MigrationFailed where it would be more than one tag."""
    text = member(element, name)
    if '"' in text or "*" in text:
        raise MigrationFailed("no-precondition", detail=f"an element has no tag: {name}")
    return text
