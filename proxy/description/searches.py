"""Parameters by which clients search what is sealed, and what a rule may say of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..config.checks.likely_mistakes import SEARCHING
from ..config.rules.syntax import READING
from ..core.expressions.name_readings import fold_member, steps_of_field
from ..core.expressions.selectors import Any, JsonSelector, parse_selector
from ..core.search.normal_forms import NormalForm
from .marks import spelled

_LOOKUP: Final = re.compile(r"^like_|__.*$")
"""What Kinto and Django write beside the name of a field."""


@dataclass(frozen=True, slots=True)
class FoundSearch:
    """A parameter by which values of a field are searched, in the list at `items`."""

    parameter: str
    field: str
    items: str

    @property
    def exact(self) -> bool:
        """Whether the whole value is compared, as one that has the field's own name says."""
        return fold_member(self.parameter) == fold_member(self.field)

    def proposal(self, *, within: bool) -> Iterator[str]:
        """Yield what a person may write to have it answered; `within` one conversation or all."""
        scope = (
            [] if within else ["scope: tenant", *([] if self.exact else ["accept_leakage: true"])]
        )
        kind = "exact" if self.exact else "words"
        normal: NormalForm = "email" if fold_member(self.field).endswith("email") else "none"
        own = f"normalize: {normal}" if self.exact else "skip: [common-en]"
        search = f"{{select: 'query:{self.parameter}', field: {self.field}, match: {kind}}}"
        yield f"query:{self.parameter} searches {self.field}, and finds nothing in tokens. To find:"
        yield f"  fields: {{{self.field}: {{index: {{{kind}: {{{', '.join([own, *scope])}}}}}}}}}"
        yield f"  encrypt: with `index: behind` for {self.field}, in each rule that seals it"
        yield f"  request: {{search: {search}}}, in place of what is said of it here"
        yield f"  response: with `keep: {{items: {self.items}, matching: '{self.parameter}'}}`"


def searched_field(parameter: str, fields: Iterable[str]) -> str | None:
    """Return which of some fields clients search by a parameter of the query; None: they do not.

    It has the name of the field, with what frameworks write beside it, or one that searches have.
    """
    names = {fold_member(one): one for one in reversed(list(fields))}
    for step in steps_of_field(_LOOKUP.sub("", parameter)):
        if step in names:
            return names[step]
    return next(reversed(names.values()), None) if parameter.lower() in SEARCHING else None


def found_searches(
    method: str, parameters: Iterable[str], opened: Sequence[tuple[str, str | None]]
) -> tuple[FoundSearch, ...]:
    """Return which parameters of an operation search in the lists that its answers hold.

    `opened` are the selectors of what its rule opens, with their fields where they have others.
    """
    if method not in READING:
        return ()
    lists = dict[str, str]()
    for select, field in opened:
        selector = parse_selector(select)
        steps = selector.steps if isinstance(selector, JsonSelector) else ()
        each = [at for at, step in enumerate(steps) if step.key is Any.MEMBER]
        name = field or (selector.field if isinstance(selector, JsonSelector) else None)
        if each and name and not any(step.deep for step in steps):
            lists.setdefault(name, spelled(steps[: each[-1]]))
    found = ((one, searched_field(one, lists)) for one in parameters)
    return tuple(FoundSearch(one, name, lists[name]) for one, name in found if name is not None)
