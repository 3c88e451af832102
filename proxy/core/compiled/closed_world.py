"""What the requests of a rule may hold beside what it seals, opens and reads.

A block lists places. What stands at another place is refused, or sealed as well: no spelling of a
name has to be known for that. Responses are never closed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from ..errors import ForbiddenValue, InvalidExpression, UnlistedName
from ..expressions.name_readings import FieldNames, fold_member, words_of
from ..expressions.selectors import (
    Any,
    JsonSelector,
    NamedSelector,
    Selector,
    Step,
    Whole,
    is_in_json,
)
from ..expressions.sources import SameSource, Source, name_sources
from ..formats.json import FoundValue, Path, unescape
from ..formats.json.closed import ClosedJson, ClosedNames, refuse
from ..formats.multipart.reader import spell_name
from ..formats.parameters import fields_of_query
from ..formats.table import FORMATS
from ..http.message import RequestHead
from ..leaves.strict_json import is_json_text
from ..policy import SHOWN_CHARS
from ..rules.model import NAMED_PARTS, Block, Item, Rule

_Steps = tuple[Step, ...]
_NO_SCALAR: Final = frozenset({b"{", b"["})


class ClosedWorld:
    """The places that one block of requests lists: in JSON, and the names of pairs and parts.

    `rest` says how other values are sealed; None: they are refused.
    """

    __slots__ = ("_labels", "_plain", "_record", "_unrelated", "json", "names", "rest")

    def __init__(
        self, block: Block, read: Iterable[Selector], sources: Collection[Source], record: _Steps
    ) -> None:
        """Take the lists of a block, what it reads, its names, and the way to each `record`.

        Raises InvalidExpression for a selector with `..`, which stands for no place.
        """
        self.rest: Item | None = block.rest if block.others == "seal" else None
        changed = [one.selector for one in block.items]
        read = [*read, *(one.selector for one in block.when)]
        if any(map(_is_deep, (*changed, *block.plain))):
            raise InvalidExpression(
                "`..` stands for no place", hint="write the path, or `others: pass`"
            )
        kinds = changed, read, block.plain
        own = () if block.format is None else FORMATS[block.format].own
        places = [[one.steps for one in kind if isinstance(one, JsonSelector)] for kind in kinds]
        places[1] += [(Step(name),) for name in own]
        self.json = ClosedJson(*places)
        # Where an item applies in some elements alone, its place may be plain in the others.
        self._plain = places[2]
        self.names = self._names(*kinds)
        known = (one for each in sources for one in name_sources(each))
        labels = {one.name for one in known if one.place in {"path", "query"}}
        self._labels = FieldNames(dict(enumerate(labels)))
        self._record = record
        same = [one for each in sources if isinstance(each, SameSource) for one in each.unrelated]
        self._unrelated = [(*record, *one.steps) for one in same if isinstance(one, JsonSelector)]
        self._unrelated += [(Step(one.name),) for one in same if isinstance(one, NamedSelector)]

    def is_plain(self, found: FoundValue, body: bytes) -> bool:
        """Return whether a value that an item leaves is a scalar at a plain place."""
        raw = found.raw(body)
        if raw[:1] in _NO_SCALAR or (raw[:1] == b'"' and is_json_text(unescape(raw))):
            return False
        return any(stands_at(steps, found.path) for steps in self._plain)

    def refuse_unmet(self, found: FoundValue, body: bytes) -> None:
        """Raise UnlistedName for a value that an item leaves, unless its place is plain as well."""
        if not self.is_plain(found, body):
            refuse(found.path)

    def refuse_label(self, path: Path) -> None:
        """Raise UnlistedName for what would be sealed, and may be what path or query name.

        Binders fill one object from path, query and body or record: sealed text would be the name.
        """
        within = path[len(self._record) :] if stands_in(self._record, path) else ()
        named = ([one for one in each if isinstance(one, str)] for each in (path, within))
        if not any(self._labels.readings(names[0] if names else "") for names in named):
            return
        if not any(stands_at(steps, path) for steps in self._unrelated):
            refuse(path)

    def _names(self, *kinds: Iterable[Selector]) -> ClosedNames:
        """Return the names of pairs and parts, with the places in those that are JSON texts."""
        changed, _, plain = (
            {_name(one) for one in kind if isinstance(one, NamedSelector) and _is_text(one)}
            for kind in kinds
        )
        within: dict[str, tuple[list[_Steps], ...]] = {}
        for at, kind in enumerate(kinds):
            for one in kind:
                if isinstance(one, NamedSelector) and one.inner is not None and not one.of_head:
                    within.setdefault(_name(one), ([], [], []))[at].append(one.inner.steps)
        inner = {name: ClosedJson(*places) for name, places in within.items()}
        return ClosedNames(changed, plain, inner, seals=self.rest is not None)


def stands_at(steps: _Steps, path: Path) -> bool:
    """Return whether a path is one that some steps lead to."""
    return len(path) == len(steps) and stands_in(steps, path)


def stands_in(steps: _Steps, path: Path) -> bool:
    """Return whether a path leads through an element that some steps lead to."""
    return len(path) >= len(steps) and all(
        isinstance(step.key, Any) or step.key == key for step, key in zip(steps, path, strict=False)
    )


class ClosedQuery:
    """The names that may occur in the query of the requests of a rule.

    The values of `plain` ones name none of the `sealed` fields: to sort, to filter and to search by
    what is sealed finds nothing, and tells the backend the words. `inner` are those whose values
    are JSON with places of their own.
    """

    __slots__ = ("_inner", "_names", "_plain", "_sealed")

    def __init__(
        self,
        names: frozenset[str],
        plain: frozenset[str] = frozenset(),
        sealed: Iterable[str] = (),
        inner: Mapping[str, ClosedJson] = MappingProxyType({}),
    ) -> None:
        """List the names, and fold the fields."""
        self._names = names
        self._inner = inner
        self._sealed = frozenset(map(fold_member, sealed))
        self._plain = plain if self._sealed else frozenset[str]()

    def lists(self, name: str) -> bool:
        """Return whether a name may occur."""
        return name in self._names

    def refuse_others(self, head: RequestHead) -> None:
        """Raise UnlistedName for a name that is not listed, be it behind a `;` or in JSON.

        Raises ForbiddenValue for a value that names a sealed field, InvalidBody for one that is to
        be JSON and is not.
        """
        for name, value in fields_of_query(head.query) if head.query else ():
            if name not in self._names and (name or value):
                shown = json.dumps(name)[1:-1][:SHOWN_CHARS]
                raise UnlistedName(
                    "unlisted-query",
                    detail=f"The rule does not list this name under `query`: {shown}",
                    path=(name,),
                    in_query=True,
                )
            if value is not None and name in self._inner:
                self._inner[name].refuse_others(value.encode(), (name,))
            if value and self.seeks_sealed(name, value):
                raise ForbiddenValue(
                    "names-sealed-field", detail="A value of the query names a sealed field."
                )

    def seeks_sealed(self, name: str, value: str) -> bool:
        """Return whether the value of a plain name names a sealed field."""
        words = () if name not in self._plain or value.isdigit() else words_of(value)
        return any({one, _DIRECTION.sub("", one)} & self._sealed for one in words)


_DIRECTION: Final = re.compile(r"\A(?:asc|desc)|(?:asc|desc)(?:ending)?\Z")


def sealed_fields(rules: Iterable[Rule]) -> Iterator[str]:
    """Yield the names of what rules seal in requests."""
    for rule in rules:
        for block in rule.blocks_of("request"):
            yield from _fields(block.encrypt)


def _fields(items: Iterable[Item]) -> Iterator[str]:
    """Yield the last name of each item, by which a backend knows its values."""
    for one in items:
        selector = one.selector
        steps = getattr(selector, "steps", ()) if is_in_json(selector) else ()
        names = [step.key for step in steps if isinstance(step.key, str)]
        if names:
            yield names[-1]
        elif isinstance(selector, NamedSelector):
            yield selector.name


def closed_query(rule: Rule, sealed: frozenset[str]) -> ClosedQuery | None:
    """Return what the queries of a rule may hold; None where its blocks let any name pass.

    `sealed` are the fields that any rule seals: what opens in answers as `tokens` may be any.
    """
    closing = rule.blocks_of("request") or (rule,)
    listed = _listed(one.query for one in closing)
    if listed is None:
        return None
    naming = frozenset[str]().union(*(one.naming for one in closing))
    read = frozenset(_in_head(rule, "query"))
    inner = {name: one for name, one in _json_in_query(rule) if name not in listed}
    return ClosedQuery(
        listed | naming | read, listed - naming - read, fields_of(rule, sealed), inner
    )


def fields_of(rule: Rule, sealed: frozenset[str]) -> frozenset[str]:
    """Return the names of what a rule seals and opens; whole bodies hold whatever is `sealed`."""
    items = [item for one in rule.blocks for item in (*one.encrypt, *one.decrypt)]
    fields = frozenset(_fields(items))
    return fields | sealed if any(isinstance(one.selector, Whole) for one in items) else fields


def _json_in_query(rule: Rule) -> Iterator[tuple[str, ClosedJson]]:
    """Yield each parameter in whose JSON a rule seals, opens or searches, and what it may hold."""
    places: dict[str, tuple[list[_Steps], list[_Steps]]] = {}
    for block in rule.blocks_of("request"):
        for at, kind in enumerate(([one.selector for one in block.items], block.plain)):
            for one in kind:
                if isinstance(one, NamedSelector) and one.of_head and one.inner is not None:
                    places.setdefault(one.name, ([], []))[at].append(one.inner.steps)
    for name, (changed, plain) in places.items():
        yield name, ClosedJson(changed, plain=plain)


USUAL_HEADERS: Final = frozenset(
    b"accept accept-charset accept-encoding accept-language access-control-request-headers"
    b" access-control-request-method access-control-request-private-network authorization"
    b" cache-control connection content-digest content-encoding content-language content-length"
    b" content-md5 content-type cookie date dnt expect forwarded host if-match if-modified-since"
    b" if-none-match if-range if-unmodified-since keep-alive last-event-id max-forwards origin"
    b" pragma priority proxy-authorization proxy-connection range referer repr-digest te"
    b" traceparent tracestate trailer transfer-encoding upgrade upgrade-insecure-requests"
    b" user-agent via want-content-digest want-repr-digest x-real-ip x-request-id"
    b" x-requested-with".split()
)
"""Headers that every request may have: those of HTTP itself, of browsers, of proxies and traces."""
_OF_BROWSERS: Final = (b"sec-ch-", b"sec-fetch-", b"sec-gpc", b"sec-websocket-", b"x-forwarded-")


class ClosedHeaders:
    """The names that headers of a rule's requests may have."""

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[bytes]) -> None:
        """List the names, in lower case, beside the usual ones."""
        self._names = USUAL_HEADERS.union(names)

    def refuse_others(self, head: RequestHead) -> None:
        """Raise UnlistedName for a header that is not listed, in any other spelling too."""
        for name in head.names.places.keys() - self._names:
            if not name.startswith(_OF_BROWSERS):
                raise UnlistedName("unlisted-header", detail="A header is not listed.")


def closed_headers(rule: Rule) -> ClosedHeaders | None:
    """Return what headers of a rule's requests may be; None where its blocks let any pass."""
    listed = _listed(one.headers for one in rule.blocks_of("request") or (rule,))
    if listed is None:
        return None
    return ClosedHeaders(listed.union(one.lower().encode() for one in _in_head(rule, "header")))


_Listed = TypeVar("_Listed", str, bytes)


def _listed(each: Iterable[frozenset[_Listed] | None]) -> frozenset[_Listed] | None:
    """Return what the blocks of a rule list together; None where none of them is closed."""
    lists = [one for one in each if one is not None]
    return frozenset(name for one in lists for name in one) if lists else None


def _in_head(rule: Rule, place: str) -> Iterator[str]:
    """Yield the names that a rule reads, seals or opens in the query or in headers."""
    for names in (rule.names, *(block.names for block in rule.blocks)):
        for part in NAMED_PARTS:
            sources = name_sources(names.get(part))
            yield from (one.name for one in sources if one.place == place)
    for block in rule.blocks_of("request"):
        for one in block.items:
            if isinstance(one.selector, NamedSelector) and one.selector.place == place:
                yield one.selector.name


def _name(selector: NamedSelector) -> str:
    """Return the name of a pair or a part as it is read."""
    return spell_name(selector.name) if selector.of_parts else selector.name


def _is_text(selector: NamedSelector) -> bool:
    """Return whether a selector takes all of a pair or a part."""
    return selector.inner is None and selector.place in {"form", "part"}


def _is_deep(selector: Selector) -> bool:
    if isinstance(selector, NamedSelector):
        return selector.inner is not None and _is_deep(selector.inner)
    return isinstance(selector, JsonSelector) and any(step.deep for step in selector.steps)
