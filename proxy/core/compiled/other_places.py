"""Names that a rule reads in one place of a request, looked for in the others.

Many backends make one set of parameters of query, body and cookies: Rails and PHP merge them, and a
parameter wins over a member. A value that the rule would have sealed then comes in plain from where
the rule does not look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NoReturn

from ..errors import AmbiguousRequest, ForbiddenValue, InvalidBody
from ..expressions.name_readings import FieldNames, fold_field, squeeze_fields, steps_of_field
from ..expressions.selectors import Any, JsonSelector, NamedSelector, Selector, Step
from ..expressions.sources import JsonSource, NameSource
from ..formats.body_format import BodyFormat
from ..formats.json import Selection, unescape
from ..formats.json.body import JSON
from ..formats.multipart.reader import Part, text_of_part
from ..formats.parameters import COOKIE, cookies, fields_of_query
from ..http.message import Direction, RequestHead
from ..rules.model import Block
from ..slices import paused
from .request_names import RequestNames, refuse_credential


class Elsewhere:
    """What a block selects in one place of a request and must not occur in another.

    `in_body` are the names of what it selects in the body, by their first steps, `within` those
    that may occur within any other (`$.*.card`); `in_query` those of parameters. `in_cookies` are
    those that no cookie may have: PHP merges cookies with fields, and nobody does with JSON.
    """

    __slots__ = ("_in_body", "_in_cookies", "_in_query", "_members", "_needles", "_within")

    def __init__(
        self,
        in_body: Iterable[str],
        within: Iterable[str],
        in_query: Iterable[str],
        in_cookies: Iterable[str],
    ) -> None:
        """Make the names ready."""
        self._within = frozenset(map(fold_field, within))
        self._in_body = FieldNames(dict(enumerate(in_body)))
        self._in_query = FieldNames(dict(enumerate(in_query)))
        self._in_cookies = FieldNames(dict(enumerate(in_cookies)))
        self._needles = self._in_body.needles | self._in_query.needles | {b"proto"}
        self._needles |= {squeeze_fields(one.encode()) for one in self._within}
        self._members = _members(self._in_query.names)

    def refuse_in_head(self, head: RequestHead) -> None:
        """Raise ForbiddenValue where a name occurs in the query or in a cookie as well."""
        query, lines = head.query, None
        if self._in_cookies and COOKIE in head.names.places:
            lines = head.names.values_in(head.headers, COOKIE)
        if (not query and lines is None) or _is_clear(_text_of(query, lines), self._needles):
            return
        for name, _ in fields_of_query(query or ""):
            if self._in_body.readings(name) or self._is_within(name):
                _refuse("query")
        for name, _ in cookies(head) if self._in_cookies else ():
            if self._in_cookies.readings(name):
                _refuse("cookie")

    def _is_within(self, name: str) -> bool:
        return bool(self._within) and not self._within.isdisjoint(steps_of_field(name))

    def refuse_in_body(self, head: RequestHead, read_as: BodyFormat, body: bytes) -> None:
        """Raise ForbiddenValue where a selected parameter has its like in the body.

        Raises as the format does where the body cannot be read.
        """
        if not self._in_query:
            return
        if self._members is not None and read_as is JSON:
            findings = self._members.find(body)
            if findings.twins or any(findings.found):
                _refuse("body")
        elif any(self._in_query.readings(name) for name, _ in read_as.fields(head.facts, body)):
            _refuse("body")

    def refuse_misread(self, declared: BodyFormat, body: bytes) -> None:
        """Raise ForbiddenValue where JSON, read as the type that it came with, has a selected name.

        So may records of JSON. Raises BodyTooLarge where they have more values than such a body
        may have.
        """
        for name in paused(declared.misread(body)):
            if self._in_body.readings(name) or self._is_within(name):
                _refuse(declared.kind)


def _text_of(query: str | None, lines: Iterable[bytes] | None = None) -> bytes:
    """Return query and cookies of a request as one text."""
    text = query.encode("latin-1", errors="replace") if query else b""
    return text if lines is None else b";".join((text, *lines))


def _is_clear(text: bytes, needles: Iterable[bytes], escape: bytes = b"%") -> bool:
    """Return whether a text holds no spelling of any name, as nearly always."""
    if escape in text or not text.isascii():
        return False
    lean = squeeze_fields(text)
    for needle in needles:  # noqa: SIM110 - twice as fast as any(), for every message
        if needle in lean:
            return False
    return True


def elsewhere(block: Block, direction: Direction) -> Elsewhere | None:
    """Return which of a block's names must occur in no other place of a request, if anything."""
    if direction == "response" or block.elsewhere_allowed:
        return None
    selectors = [one.selector for one in block.items if not one.elsewhere_allowed]
    in_body = map(_first_name, selectors)
    names = dict.fromkeys(one for one in in_body if one is not None)
    within = {one for selector in selectors for one in _inner_names(selector)}
    named = [one for one in selectors if isinstance(one, NamedSelector)]
    in_query = dict.fromkeys(one.name for one in named if one.place == "query")
    if not (names or within or in_query):
        return None
    in_cookies = dict.fromkeys(one.name for one in named if not one.of_head) | in_query
    return Elsewhere(names, within, in_query, () if block.cookies_ignored else in_cookies)


def _first_name(selector: Selector) -> str | None:
    """Return the name by which a value of a body may occur in another place; None for none."""
    if isinstance(selector, NamedSelector):
        return None if selector.of_head else selector.name
    if isinstance(selector, JsonSelector) and selector.steps:
        key = selector.steps[0].key
        return key if isinstance(key, str) else None
    return None


def _inner_names(selector: Selector) -> Iterator[str]:
    """Yield the name that occurs within any other, if a selector has one so."""
    steps = selector.steps if isinstance(selector, JsonSelector) else ()
    if steps and (steps[0].deep or steps[0].key is Any.MEMBER):
        name = next((one.key for one in steps if isinstance(one.key, str)), None)
        if name is not None:
            yield name


def _refuse(place: str) -> NoReturn:
    raise ForbiddenValue(
        f"name-in-{place}",
        detail=f"A name that the rule selects occurs in the {place} as well: send it once, or set"
        " `elsewhere: allow`.",
    )


def _members(names: Mapping[int, str]) -> Selection | None:
    """Return what finds members of such names at the root of a JSON text."""
    if not names:
        return None
    return Selection(tuple(JsonSelector(f"$[{name!r}]", (Step(name),)) for name in names.values()))


class SourcesElsewhere:
    """The sources of one block of requests: members looked for in the head, parameters in bodies.

    `credentials` says that a claim of a bearer token is among them, `reads_members` that members
    of JSON are compared.
    """

    __slots__ = (
        "_credentials",
        "_head_needles",
        "_members",
        "_names",
        "_needles",
        "_parameters",
        "_selection",
        "_sources",
        "reads_members",
    )

    def __init__(self, members: Iterable[JsonSource], names: Iterable[NameSource]) -> None:
        """Make ready for those of the sources that have a name which other places may have."""
        self._sources = [(one, first) for one in members if (first := _first_key(one))]
        self._members = FieldNames(dict(enumerate(first for _, first in self._sources)))
        known = dict.fromkeys(names)
        self._credentials = any(one.place in {"jwt-unverified", "caller"} for one in known)
        self._parameters = [one for one in known if one.place == "query"]
        self.reads_members = bool(self._parameters)
        self._names = FieldNames(dict(enumerate(one.name for one in self._parameters)))
        self._needles = self._names.needles | {b"proto"}
        self._head_needles = self._members.needles | {b"proto"}
        steps = [(Step(one.name),) for one in self._parameters]
        self._selection = Selection(tuple(JsonSelector("$", one) for one in steps))

    def __bool__(self) -> bool:
        """Return whether there is anything to look for."""
        return bool(self._sources or self._parameters or self._credentials)

    def note_head(self, names: RequestNames) -> None:
        """Note which names of the body occur in its query as well.

        Raises AmbiguousRequest where they cannot be the same.
        """
        query = names.head.query
        if not self._sources or not query or _is_clear(_text_of(query), self._head_needles):
            return
        for name, value in fields_of_query(query):
            for key, _ in self._members.readings(name):
                source, first = self._sources[key]
                comparable = name == first and _is_one(source) and value is not None
                if not comparable or names.elsewhere.setdefault(source, value or "") != value:
                    raise AmbiguousRequest("name-differs")
                if isinstance(source.selector, NamedSelector):
                    raise AmbiguousRequest("name-stands-twice")

    def compare_body(
        self, names: RequestNames, head: RequestHead, read_as: BodyFormat, body: bytes
    ) -> None:
        """Refuse parameters that a body has as well, unless a member has the same text.

        Raises AmbiguousRequest, and as the format does where the body cannot be read.
        """
        if read_as is JSON and self._parameters:
            self._compare_members(names, body)
        elif self._parameters or self._credentials:
            for name, value in read_as.fields(head.facts, body):
                self._compare(names, name, value)

    def compare_record(self, names: RequestNames, text: bytes) -> None:
        """Do as `compare_body` does for one record: a backend may read the first as the message.

        What is no JSON has no members.
        """
        if self._parameters:
            with suppress(InvalidBody):
                self._compare_members(names, text)

    def compare_part(self, names: RequestNames, part: Part, text: bytes) -> None:
        """Do as `compare_body` does for one part of a form; it lies in a text."""
        self._compare(names, part.name, text_of_part(part, text))

    def takes(self, part: Part) -> bool:
        """Return whether the text of a part is compared."""
        return bool(self._names.readings(part.name)) or self._credentials

    def _compare(self, names: RequestNames, name: str, value: str | None) -> None:
        """Refuse a parameter in a form: Servlets join both to one list of parameters, `a,a`."""
        for key, _ in self._names.readings(name):
            source = self._parameters[key]
            same = name == source.name and value is not None and value == names.name(source)
            raise AmbiguousRequest("name-stands-twice" if same else "name-differs")
        if self._credentials and (bearer := names.bearer) is not None:
            refuse_credential(name, value, bearer)

    def _compare_members(self, names: RequestNames, body: bytes) -> None:
        if _is_clear(body, self._needles, b"\\u"):
            return
        findings = self._selection.find(body)
        if findings.twins:
            raise AmbiguousRequest("name-variant")
        for source, found in zip(self._parameters, findings.found, strict=True):
            for one in found:
                raw = one.raw(body)
                text = unescape(raw) if raw.startswith(b'"') else raw.decode()
                if text != names.name(source):
                    raise AmbiguousRequest("name-differs")


def _first_key(source: JsonSource) -> str | None:
    """Return the name of a source's first step; None where it has none."""
    if isinstance(source.selector, NamedSelector) and source.selector.inner is None:
        return source.selector.name
    steps = source.selector.steps
    key = steps[0].key if steps else None
    return key if isinstance(key, str) else None


def _is_one(source: JsonSource) -> bool:
    """Return whether a source is a member of the root, whose text can be compared."""
    steps = source.selector.steps
    return len(steps) == 1 and not steps[0].deep and not source.member_name
