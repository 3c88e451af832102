"""Searches in sealed fields, as blocks write them: what is searched for, what stays of answers."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Literal

from ...core.expressions import selectors
from ...core.expressions.selectors import JsonSelector, NamedSelector, Selector, Whole
from ...core.rules.model import KeptResults, Part
from ...core.search.queries import FieldSearch
from ..declared.composed import OneOrMore
from ..declared.kinds import Choice, PlainText, Switch
from ..declared.section import Fields, Section, setting
from ..yaml.nodes import Place, Problems, show
from .conditions import JSON_SELECTOR
from .items import FieldSyntax, ItemSyntax

_PLACES: Final = frozenset({"query", "form"})


@dataclass(frozen=True, slots=True)
class SearchSyntax:
    """One value that is searched for, and its place."""

    place: Place
    selector: Selector = setting(
        PlainText("selector", parse=selectors.parse_selector),
        "Where the value is: `query:q`, `query:where $.email` for JSON in a parameter, `form:q`,"
        " `$.variables.q`.",
        name="select",
    )
    field: str = setting(PlainText(), "The field that is searched; it needs an `index`.")
    match: Literal["words", "exact"] = setting(
        Choice("words", "exact"),
        "How values are compared: by their whole words, or by their normal form.",
    )
    complete: bool = setting(
        Switch(),
        "Whether all stored values of the field have tags. While they do not, the search is refused"
        " (503): its answer would look complete.",
        default=True,
    )
    partial: bool = setting(
        Switch(),
        "With `complete: false`: whether the search is answered all the same, with what has tags.",
        default=False,
    )

    @property
    def item(self) -> ItemSyntax:
        """The same as an item."""
        return ItemSyntax(self.place, self.selector, self.field, optional=True)

    @property
    def name(self) -> str:
        """The name of the search: that of the parameter or the member."""
        return getattr(self.selector, "field", None) or self.field


def _search(values: dict[str, Any], fields: Fields, problems: Problems) -> SearchSyntax | None:
    if not fields.whole:
        return None
    made = SearchSyntax(fields["select"], **values)
    selector = made.selector
    named = isinstance(selector, NamedSelector) and selector.place in _PLACES
    steps = () if isinstance(selector, Whole) else selector.steps
    if not (named or isinstance(selector, JsonSelector)):
        problems.add(made.place, "is no place of a search", "one of: query:name, form:name, $.path")
    elif any(one.deep or one.key is selectors.Any.MEMBER for one in steps):
        problems.add(made.place, "stands for more than one value", "write the path of one")
    return made


SEARCH: Final = Section(SearchSyntax, "search", "What a client searches for", make=_search)


@dataclass(frozen=True, slots=True)
class KeepSyntax:
    """What stays of an answer."""

    place: Place
    items: JsonSelector = setting(
        JSON_SELECTOR,
        "The list of what was found. Elements that lack what was searched for are dropped.",
    )
    matching: tuple[str, ...] = setting(
        OneOrMore(PlainText(), "name or list of names"),
        "The searches that elements must fit, by the names of their parameters or members.",
    )
    total: tuple[JsonSelector, ...] = setting(
        OneOrMore(JSON_SELECTOR),
        "Members that count what was found: they become `null` where an element was dropped. One"
        " that is not listed stays, and is an upper bound.",
        default=(),
    )

    @property
    def kept(self) -> KeptResults:
        """The same for the core."""
        return KeptResults(self.items, self.matching, self.total)


def _keep(values: dict[str, Any], fields: Fields, _: Problems) -> KeepSyntax | None:
    return KeepSyntax(fields.place, **values) if fields.whole else None


KEEP: Final = Section(KeepSyntax, "keep", "What stays of the answer to a search", make=_keep)


def sought(one: SearchSyntax, field: FieldSyntax, problems: Problems) -> FieldSearch | None:
    """Return how a value is searched for; report a field that is not indexed so."""
    if one.partial and one.complete:
        problems.add(one.place, "`partial` only applies with `complete: false`", "delete it")
    if field.index is None:
        told = f"the field {show(one.field)} has no index"
        example = "{exact: {normalize: email}}" if one.match == "exact" else "{words: {}}"
        problems.add(one.place, told, f"write `fields: {{{one.field}: {{index: {example}}}}}`")
        return None
    found = FieldSearch(
        one.name, one.field, field.index, refused=not one.complete and not one.partial
    )
    if found.match != one.match:
        told = f"the field {show(one.field)} is indexed by {show(found.match)}"
        problems.add(one.place, told, f"write `match: {found.match}`")
    return found


def check_scope(
    one: SearchSyntax, sought: FieldSearch, bind: AbstractSet[Part], problems: Problems
) -> None:
    """Report a search that does not know in which scope it searches."""
    if "field" not in bind:
        problems.add(one.place, "is not bound to its field, as tags are", "add `field` to `bind`")
    if sought.index.scope == "conversation" and "conversation" not in bind:
        problems.add(
            one.place,
            f"the field {show(one.field)} is searched within one conversation, and the rule names"
            " none",
            "give the rule a `conversation`, or index the field with `scope: tenant`",
        )
