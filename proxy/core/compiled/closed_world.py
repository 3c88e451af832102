"""What the requests of a rule may hold beside what it seals, opens and reads.

A block lists places. What stands at another place is refused, or sealed as well: no spelling of a
name has to be known for that. Responses are never closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import InvalidExpression, UnlistedName
from ..expressions.selectors import Any, JsonSelector, NamedSelector, Selector, Step
from ..expressions.sources import Source, name_sources
from ..formats.json import FoundValue, Path, unescape
from ..formats.json.closed import ClosedJson, ClosedNames, is_json_text, refuse
from ..formats.multipart.reader import spell_name
from ..formats.parameters import fields_of_query
from ..formats.table import FORMATS
from ..http.message import Direction, RequestHead
from ..rules.model import NAMED_PARTS, Block, Item, Names, Rule

_Steps = tuple[Step, ...]
_NO_SCALAR: Final = frozenset({b"{", b"["})


class ClosedWorld:
    """The places that one block of requests lists: in JSON, and the names of pairs and parts.

    `rest` says how other values are sealed; None: they are refused.
    """

    __slots__ = ("_plain", "json", "names", "rest")

    def __init__(self, block: Block, sources: Iterable[Selector]) -> None:
        """Take the lists of a block, and the selectors of the sources that it reads.

        Raises InvalidExpression for a selector with `..`, which stands for no place.
        """
        self.rest: Item | None = block.rest if block.others == "seal" else None
        changed = [one.selector for one in (*block.encrypt, *block.decrypt)]
        read = [*sources, *(one.selector for one in block.when)]
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

    def _names(self, *kinds: Iterable[Selector]) -> ClosedNames:
        """Return the names of pairs and parts, with the places in those that are JSON texts."""
        changed, _, plain = (
            {_name(one) for one in kind if isinstance(one, NamedSelector) and _is_text(one)}
            for kind in kinds
        )
        within: dict[str, tuple[list[_Steps], ...]] = {}
        for at, kind in enumerate(kinds):
            for one in kind:
                if isinstance(one, NamedSelector) and one.inner is not None:
                    within.setdefault(_name(one), ([], [], []))[at].append(one.inner.steps)
        inner = {name: ClosedJson(*places) for name, places in within.items()}
        return ClosedNames(changed, plain, inner, seals=self.rest is not None)


def closed_world(
    block: Block, direction: Direction, sources: Iterable[Selector]
) -> ClosedWorld | None:
    """Return what a block of requests lists; None where everything else passes."""
    if direction == "response" or block.others == "pass":
        return None
    return ClosedWorld(block, sources)


def stands_at(steps: _Steps, path: Path) -> bool:
    """Return whether a path is one that some steps lead to."""
    return len(path) == len(steps) and all(
        isinstance(step.key, Any) or step.key == key for step, key in zip(steps, path, strict=True)
    )


class ClosedQuery:
    """The names that may occur in the query of the requests of a rule."""

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str]) -> None:
        """List the names."""
        self._names = frozenset(names)

    def refuse_others(self, head: RequestHead) -> None:
        """Raise UnlistedName for a name that is not listed, be it behind a `;`."""
        for name, value in fields_of_query(head.query) if head.query else ():
            if name not in self._names and (name or value):
                raise UnlistedName("unlisted-query", detail="The query has a name not listed.")


def closed_query(rule: Rule, blocks: tuple[Block, ...]) -> ClosedQuery | None:
    """Return what the queries of a rule may hold; None where its blocks let any name pass."""
    listed = [one.query for one in blocks] if blocks else [rule.query]
    lists = [one for one in listed if one is not None]
    if not lists:
        return None
    names = {name for one in lists for name in one}
    names.update(_of_names(rule.names))
    for block in rule.blocks:
        names.update(_of_names(block.names))
    for block in blocks:
        selectors = (one.selector for one in (*block.encrypt, *block.decrypt))
        names.update(
            one.name for one in selectors if isinstance(one, NamedSelector) and one.place == "query"
        )
    return ClosedQuery(names)


def _of_names(names: Names) -> Iterator[str]:
    sources: Iterable[Source | None] = (names.get(part) for part in NAMED_PARTS)
    for source in sources:
        yield from (one.name for one in name_sources(source) if one.place == "query")


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
