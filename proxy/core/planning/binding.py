"""From a selected value to the context it is bound to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from ..compiled.block import CompiledBlock
from ..compiled.closed_world import stands_in
from ..crypto.context import Context, Parties, Scope
from ..crypto.joined_names import Joined, Name
from ..errors import AmbiguousRequest, BodyTooLarge, InvalidBody, MissingValue, OpenFailed
from ..expressions.selectors import NamedSelector
from ..expressions.sources import (
    AskSource,
    ComposedSource,
    FirstSource,
    JsonSource,
    NameSource,
    SameSource,
    Source,
    giving,
    json_sources,
)
from ..formats.json import Findings, Path, Selection, unescape
from ..formats.urlencoded import decode
from ..policy import BOUND_CHARS
from ..rules.model import Item, NamedPart, Placed
from ..slices import paused
from ..values.hows import Open, Seal, Spell
from ..values.outcomes import TWIN
from ..values.table import UNBOUND, Lookup, Values
from .exchange import Exchange, JsonReader


class Spoiled:
    """Where twins stand: `sources` are those that each item asks for, with their index."""

    __slots__ = ("_at", "_sources", "_within")

    def __init__(self, findings: Findings, sources: Mapping[JsonSource, int]) -> None:
        """Take what a walk has found."""
        self._sources = sources
        self._at: dict[int, set[Path]] = defaultdict(set)
        for path, selectors in findings.twins:
            for one in selectors:
                self._at[one].add(path)
        self._within: dict[tuple[int, int], set[Path]] = {}

    def touches(self, placed: Placed, path: Path) -> bool:
        """Tell whether a value, or a name that binds it, has a twin."""
        if _leads_through(path, self._at.get(placed.index, set()), len(path)):
            return True
        return any(
            _leads_through(path, self._of_source(index, shared), shared)
            for source, index in self._sources.items()
            for shared in (placed.shared.get(source, 0),)
        )

    def touches_names(self) -> bool:
        """Tell whether a name has a twin that binds what stands anywhere."""
        return any(index in self._at for index in self._sources.values())

    def _of_source(self, index: int, shared: int) -> set[Path]:
        """Return the elements, of so many steps at most, in which a source has a twin."""
        found = self._within.get((index, shared))
        if found is None:
            found = {one[:shared] for one in self._at.get(index, ())}
            self._within[index, shared] = found
        return found


def _leads_through(path: Path, places: set[Path], most: int) -> bool:
    return bool(places) and any(path[:size] in places for size in range(most + 1))


_CANONICAL_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]*")
_NAMES_PER_BYTE: Final = 64


class Binder:
    """Binds the values of one message, each to its context, and adds their rows to `values`."""

    __slots__ = (
        "_body",
        "_contexts",
        "_exchange",
        "_findings",
        "_parts",
        "_recipients",
        "_room",
        "_spoiled",
        "_texts",
        "compiled",
        "values",
    )

    def __init__(
        self,
        compiled: CompiledBlock,
        exchange: Exchange,
        values: Values,
        body: bytes = b"",
        findings: Findings | None = None,
    ) -> None:
        """Bind values of `body`; what the walk found holds the names that stand in it."""
        self.compiled = compiled
        self.values = values
        self._exchange = exchange
        self._body = body
        self._findings = findings
        # What was read once: by the element that it was read for, whose path is () for all.
        self._contexts: dict[tuple[int, Path], Context] = {}
        self._parts: dict[tuple[NamedPart, Path], Name] = {}
        self._recipients: dict[Path, tuple[str, ...]] = {}
        self._texts: dict[tuple[JsonSource, int], dict[Path, Name]] = {}
        self._spoiled = _spoiled(compiled, findings)
        self._room = BOUND_CHARS + _NAMES_PER_BYTE * len(body)

    @property
    def exchange(self) -> Exchange:
        """The exchange of the message."""
        return self._exchange

    def context(self, placed: Placed, path: Path) -> Context:
        """Return the context of a value that a JSON selector found at `path`.

        Raises MissingValue where a name that binds it is not there.
        """
        shared = placed.shared
        here = placed.index, (path[: max(shared.values())] if shared else ())
        context = self._contexts.get(here)
        if context is None:
            context = self._contexts[here] = self._bind(placed.item, shared, path)
            self._room -= _length(context)
            if self._room < 0:
                raise BodyTooLarge("names-too-long")
        return context

    def into(self, values: Values) -> Binder:
        """Return this, which from now on adds rows to another table."""
        self.values = values
        return self

    def seal(  # noqa: PLR0913, PLR0917 - one argument for each array
        self,
        item: Item,
        context: Context,
        start: int,
        end: int,
        text: bytes,
        cty: str | None = None,
        *,
        spells: tuple[Spell, ...] = (),
        looks: bool = True,
    ) -> int:
        """Add a text that is to be sealed; return its row.

        `looks` says that it may be a token already.
        """
        how = Seal(item, self.compiled.block, spells=spells)
        row = self.values.add(how, context, start, end, text, cty)
        self.values.compare(row, text if looks else b"")
        return row

    def open(
        self, how: Open, start: int, end: int, found: Lookup, make: Callable[[], Context]
    ) -> int:
        """Add what is to be opened, for the context that is made of a token; return its row."""
        token, context = self.bound(found, make)
        return self.values.add(how, context, start, end, token)

    def bound(self, token: Lookup, make: Callable[[], Context]) -> tuple[Lookup, Context]:
        """Return a token with its context; what is no token needs no names, and none are read."""
        if isinstance(token, OpenFailed):
            return token, UNBOUND
        try:
            return token, make()
        except MissingValue as error:
            if not self.compiled.block.keep_unopened:
                raise
            return OpenFailed(error.reason), UNBOUND

    def taken(self, placed: Placed, path: Path, token: Lookup) -> Lookup:
        """Return a token, or why it stays in a response: a name has a second reading there."""
        if isinstance(token, OpenFailed) or not self.spoils(placed, path):
            return token
        return OpenFailed(TWIN)

    def is_same_for_all(self, placed: Placed) -> bool:
        """Tell whether all values of an item have one context, and no name has a second reading."""
        return self._spoiled is None and not placed.shared

    def spoils(self, placed: Placed, path: Path) -> bool:
        """Tell whether a value of a response, or a name that binds it, has a second reading."""
        return self._spoiled is not None and self._spoiled.touches(placed, path)

    def whole_context(self, item: Item, *, kind: str | None = None) -> Context:
        """Return the context of the whole body, or of what stands anywhere in it."""
        return self._bind(item, {}, (), kind)

    def embedded_context(self, item: Item) -> Context | None:
        """Return the context of tokens that stand anywhere; None where a name is missing.

        Then none of them opens.
        """
        if self._spoiled is not None and self._spoiled.touches_names():
            return None
        try:
            return self.whole_context(item)
        except MissingValue:
            return None

    def token_context(self, placed: Placed, path: Path) -> Context | None:
        """Return the context of a token at a path, by the names of the element that it stands in.

        None where it stands in none, or a name is missing there, or has a second reading.
        """
        if not all(stands_in(steps, path) for steps in self.compiled.elements.values()):
            return None
        if self.spoils(placed, path):
            return None
        try:
            return self.context(placed, path)
        except MissingValue:
            return None

    def _bind(
        self,
        item: Item,
        shared: Mapping[JsonSource, int],
        path: Path,
        kind: str | None = None,
    ) -> Context:
        bind, part = item.bind, self._part
        return Context(
            Scope(
                part("tenant", shared, path) if "tenant" in bind else None,
                part("conversation", shared, path) if "conversation" in bind else None,
                self._parties(item, shared, path) if item.parties else None,
            ),
            item.field if "field" in bind else None,
            part("message", shared, path) if "message" in bind else None,
            item.purpose if "purpose" in bind else None,
            kind,
        )

    def keep_facts(self) -> None:
        """Keep the rule's names from this request for its answer."""
        for source in self.compiled.keeps:
            self._exchange.facts[source] = self._kept(source)

    def _kept(self, source: JsonSource) -> Name | None:
        """Return the name that the message has, or all of its records where it has several."""
        shape = self.compiled.shape
        if shape is None or not shape.many:
            return self._value(source, 0, ())
        names = set(self._read(source, shape.depth).values())
        return names.pop() if len(names) == 1 else None

    def _part(self, part: NamedPart, shared: Mapping[JsonSource, int], path: Path) -> Name:
        here = part, self._element(part, shared, path)
        text = self._parts.get(here)
        if text is None:
            text = self._parts[here] = self._read_part(part, shared, path)
        return text

    def _element(self, part: NamedPart, shared: Mapping[JsonSource, int], path: Path) -> Path:
        """Return the path of the element that a part is read from, of those that `path` is in."""
        if not shared or part not in self.compiled.from_message:
            return ()
        sources = json_sources(self.compiled.sources.get(part))
        return path[: max((shared.get(one, 0) for one in sources), default=0)]

    def _read_part(self, part: NamedPart, shared: Mapping[JsonSource, int], path: Path) -> Name:
        source = self.compiled.sources.get(part)
        text: Name | None = None
        if isinstance(source, JsonSource) and part in self.compiled.from_message:
            text = self._value(source, shared.get(source, 0), path)
        elif isinstance(source, NameSource):
            text = self._exchange.name(source)
        elif source is not None:
            text = self._exchange.read(source, self._reader(part, shared, path))
        if text is None:
            raise MissingValue(f"missing-{part}", detail=f"The {part} of the message is missing.")
        for ask, selection in self.compiled.echoes.get(part, ()):
            if not self._has_no_other(selection, self._exchange.asked.get(ask)):
                raise MissingValue("asked-differs", detail=f"The answer is of another {part}.")
        return text

    def _has_no_other(self, selection: Selection, name: str | None) -> bool:
        """Return whether an answer has no other name than the one that was asked for."""
        try:
            findings = selection.find(self._body, lenient=True)
        except InvalidBody:
            return True  # what is no JSON has no names
        raws = (one.raw(self._body) for one in findings.found[0])
        return not findings.twins and all(name_of(raw) == name for raw in raws)

    def _parties(self, item: Item, shared: Mapping[JsonSource, int], path: Path) -> Parties:
        if "reader" in item.parties:
            from_whom = self._one("sender", shared, path) if "sender" in item.parties else None
            return Parties(from_whom, reader=self._one("reader", shared, path))
        here = self._element("recipients", shared, path)
        recipients = self._recipients.get(here)
        if recipients is None:
            recipients = self._recipients[here] = self._read_recipients(shared, path)
        return Parties(self._one("sender", shared, path), recipients)

    def _read_recipients(self, shared: Mapping[JsonSource, int], path: Path) -> tuple[str, ...]:
        found = self._each("recipients", self.compiled.sources.get("recipients"), shared, path)
        if not found:
            raise MissingValue("missing-recipients", detail="The message names no recipient.")
        return tuple(sorted(set(found)))

    def _one(self, part: NamedPart, shared: Mapping[JsonSource, int], path: Path) -> str:
        """Return the one participant that a part names; no participant has a joined name."""
        name = self._part(part, shared, path)
        if isinstance(name, Joined):
            raise MissingValue(
                f"joined-{part}", detail=f"The {part} of the message cannot be joined."
            )
        return name

    def _each(
        self,
        part: NamedPart,
        source: Source | None,
        shared: Mapping[JsonSource, int],
        path: Path,
    ) -> list[str]:
        """Return every text that a source gives, where `_part` would make one of them."""
        source = giving(source)
        if source is None:
            return []
        if isinstance(source, NameSource | AskSource | ComposedSource):
            text = self._exchange.read(source, self._reader(part, shared, path))
            return [] if text is None else _texts(text)
        if isinstance(source, JsonSource):
            name = self._reader(part, shared, path)(source)
            return [] if name is None else _texts(name)
        assert not isinstance(source, SameSource)  # noqa: S101 - `giving` returns none
        parts = (self._each(part, one, shared, path) for one in source.parts)
        if isinstance(source, FirstSource):
            return next((one for one in parts if one), [])
        found = list(parts)
        return [text for one in found for text in one] if all(found) else []

    def _reader(self, part: NamedPart, shared: Mapping[JsonSource, int], path: Path) -> JsonReader:
        if part in self.compiled.from_message:
            return lambda one: self._value(one, shared.get(one, 0), path)
        return self._exchange.facts.get

    def _value(self, source: JsonSource, shared: int, path: Path) -> Name | None:
        texts = self._texts.get((source, shared))
        if texts is None:
            texts = self._texts[source, shared] = self._read(source, shared)
        return texts.get(path[:shared])

    def _read(self, source: JsonSource, shared: int) -> dict[Path, Name]:
        """Return the name that a source has in each element whose path has `shared` steps."""
        if self._findings is None:
            return {}
        index, single_from = self.compiled.source_index[source]
        found: dict[Path, list[str]] = {}
        unfit: set[Path] = set()
        other = self._exchange.elsewhere.get(source)
        for found_value in paused(self._findings.found[index]):
            path = found_value.path
            try:
                text = self._text(source, path, found_value.raw(self._body))
            except MissingValue:
                if not self.compiled.traits.only_opens_responses:
                    raise
                unfit.add(path[:shared])  # one stored element is not the end of all others
                continue
            if other is not None and text != other:
                raise AmbiguousRequest("name-differs")
            found.setdefault(path[:shared], []).append(text)
        if single_from > shared:
            return {
                path: Joined("list", texts) for path, texts in found.items() if path not in unfit
            }
        return {path: texts[0] for path, texts in found.items()}

    def _text(self, source: JsonSource, path: Path, raw: bytes) -> str:
        if isinstance(source.selector, NamedSelector) and source.selector.inner is None:
            text: str | None = decode(raw).decode()
        else:
            text = str(path[-1]) if source.member_name else name_of(raw)
        if text is None:
            raise MissingValue("name-not-text", detail="A name must be a string or a whole number.")
        if not text:
            raise MissingValue("empty-name", detail="A name of the message is empty.")
        return text


def name_of(raw: bytes) -> str | None:
    """Return the name that a JSON value is, None for what is neither text nor a whole number."""
    if raw.startswith(b'"'):
        return unescape(raw)
    return raw.decode("ascii") if _CANONICAL_INTEGER.fullmatch(raw) else None


def _spoiled(compiled: CompiledBlock, findings: Findings | None) -> Spoiled | None:
    """Return where twins stand in a response that is only opened; None for nowhere."""
    if findings is None or not findings.twins or not compiled.traits.only_opens_responses:
        return None
    sources = {one: compiled.source_index[one][0] for one in compiled.asked_for}
    return Spoiled(findings, sources)


def _length(context: Context) -> int:
    """Return how many characters the names in a context have."""
    scope = context.scope
    names = (scope.tenant, scope.conversation, context.message)
    return sum(len(one) for one in names if one is not None)


def _texts(name: Name) -> list[str]:
    """Return every text in a name."""
    if isinstance(name, str):
        return [name]
    return [text for part in name.parts for text in _texts(part)]
