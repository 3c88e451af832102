"""What rules say of other methods: a path at which one seals is closed to them.

Many backends take one route with any method, or take parameters of a query for members of a body.
So a value could pass where no rule looks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from ..errors import MethodNotAllowed
from ..expressions.name_readings import FieldNames
from ..expressions.routes import Pattern
from ..expressions.selectors import JsonSelector, NamedSelector, Selector, Whole
from ..expressions.sources import json_sources, name_sources
from ..formats.parameters import fields_of_query
from ..http.message import RequestHead
from ..rules.model import NAMED_PARTS, Item, Names, Rule, Verdict
from .closed_world import ClosedQuery


class OtherMethod(NamedTuple):
    """What a request must not hold with a method that no rule reads at its path.

    That is a body, one of these `names` in its query, and a name that `query` does not list.
    `allow` are the methods that rules take there.
    """

    allow: str
    names: FieldNames
    query: ClosedQuery | None = None

    def refuse_names(self, head: RequestHead) -> None:
        """Raise MethodNotAllowed or UnlistedName for a name in the query."""
        if self.query is not None:
            self.query.refuse_others(head)
        for name, _ in fields_of_query(head.query) if head.query else ():
            if self.names.readings(name):
                self.refuse()

    def refuse(self) -> NoReturn:
        """Raise MethodNotAllowed."""
        raise self._refusal()

    def _refusal(self) -> MethodNotAllowed:
        """Return it: who raises it has no name for it, so that no cycle is made."""
        error = MethodNotAllowed(
            "other-method", detail="No rule reads what this method could carry to this path."
        )
        error.allow = self.allow
        return error


class OtherMethods:
    """The rules of one listener, those aside that only observe, and the names that they have."""

    __slots__ = ("_closed", "_names", "_queries", "_rules", "_sealed", "_sealing")

    def __init__(self, rules: Sequence[Rule], queries: Sequence[ClosedQuery | None]) -> None:
        """Collect the names of each rule; `queries` say what theirs may hold."""
        self._rules = rules
        self._queries = queries
        self._sealing = frozenset(
            index for index, one in enumerate(rules) if not one.observes and _seals(one)
        )
        self._closed = frozenset(index for index, one in enumerate(rules) if _closes(one))
        self._names = [frozenset(_names(one)) for one in rules]
        self._sealed = [FieldNames(dict(enumerate(_sealed_names(one)))) for one in rules]

    def closes(self, index: int) -> bool:
        """Return whether nothing passes in requests that a rule takes but what it lists."""
        return index in self._closed

    def at(
        self, found: Mapping[int, Sequence[Pattern]], taking: tuple[int, Pattern] | None
    ) -> OtherMethod | None:
        """Return what is refused where these rules have a path; None where nothing is.

        `taking` is the rule that takes the request and lets something pass in it, with its pattern.
        It opens a path again that another seals if it names the path and the method.
        """
        own, pattern = taking or (None, None)
        others = [index for index in found if index in self._sealing and index != own]
        sealing = [one for index in others for one in found[index]]
        if not sealing or (
            pattern is not None and all(_is_as_exact(pattern, one) for one in sealing)
        ):
            return None
        names = dict.fromkeys(name for index in found for name in self._names[index])
        return OtherMethod(self._allow(found), FieldNames(dict(enumerate(names))))

    def preflight(self, found: Mapping[int, Sequence[Pattern]], asked: int) -> OtherMethod | None:
        """Return what a browser must not send that asks whether it may send what a rule takes.

        None where that rule refuses it. The query is that of the request to come.
        """
        if self._rules[asked].request is Verdict.REJECT:
            return None
        return OtherMethod(self._allow(found), self._sealed[asked], self._queries[asked])

    def _allow(self, found: Mapping[int, Sequence[Pattern]]) -> str:
        passing = (index for index in found if self._rules[index].request is not Verdict.REJECT)
        methods = {method for index in passing for one in found[index] for method in one.methods}
        return ", ".join(sorted(methods))


def _seals(rule: Rule) -> bool:
    return any(one.seals for one in rule.blocks_of("request"))


def _closes(rule: Rule) -> bool:
    blocks = rule.blocks_of("request")
    wholes = {Whole.BODY, Whole.TEXT}
    return bool(blocks) and all(
        one.others != "pass" or not wholes.isdisjoint(item.selector for item in one.encrypt)
        for one in blocks
    )


def _is_as_exact(taking: Pattern, sealing: Pattern) -> bool:
    """Return whether a pattern names its methods, and a path as closely as another does."""
    if not taking.methods or (taking.rest and not sealing.rest):
        return False
    exact = zip(taking.segments, sealing.segments, strict=False)
    longer = len(taking.segments) >= len(sealing.segments)
    return longer and all(ours is not None or theirs is None for ours, theirs in exact)


def _names(rule: Rule) -> Iterator[str]:
    """Yield the names that a rule selects or reads in requests, each by its first step."""
    blocks = rule.blocks_of("request")
    yield from _selected(item for one in blocks for item in one.items)
    for names in (rule.names, *(one.names for one in blocks)):
        yield from _read(names)


def _sealed_names(rule: Rule) -> Iterator[str]:
    return _selected(item for one in rule.blocks_of("request") for item in one.encrypt)


def _selected(items: Iterable[Item]) -> Iterator[str]:
    for one in items:
        if (name := first_name(one.selector)) is not None:
            yield name


def _read(names: Names) -> Iterator[str]:
    for part in NAMED_PARTS:
        source = names.get(part)
        yield from (one.name for one in name_sources(source) if one.place == "query")
        for each in json_sources(source):
            if (name := first_name(each.selector)) is not None:
                yield name


def first_name(selector: Selector) -> str | None:
    """Return the name by which a parameter could stand for a value; None for none."""
    if isinstance(selector, NamedSelector):
        return selector.name
    named = (one.key for one in getattr(selector, "steps", ()) if isinstance(one.key, str))
    return next(named, None) if isinstance(selector, JsonSelector) else None
