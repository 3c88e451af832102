"""From a selected value to the context it is bound to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .blueprint import Blueprint, single_from
from .context import Context, Parties, Scope
from .errors import MissingValue
from .exchange import Exchange, JsonReader
from .formats.json import Findings, Path, unescape
from .placed import Placed
from .rules import Item, NamedPart
from .sources import FirstSource, JsonSource, NameSource, Source, join, split

_CANONICAL_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]*")


class Binder:
    """Gives each selected value of one message its context."""

    __slots__ = ("_blueprint", "_body", "_exchange", "_findings", "_steady", "_texts")

    def __init__(
        self, blueprint: Blueprint, exchange: Exchange, body: bytes, findings: Findings | None
    ) -> None:
        """Bind values of `body`; what the walk found holds the names that stand in it."""
        self._blueprint = blueprint
        self._exchange = exchange
        self._body = body
        self._findings = findings
        self._texts: dict[JsonSource, list[tuple[Path, str]]] = {}
        self._steady: dict[int, Context] = {}

    def context(self, placed: Placed, path: Path) -> Context:
        """Return the context of a value that a JSON selector found at `path`.

        Raises MissingValue where a name that binds it is not there.
        """
        if placed.shared:
            return self._bind(placed.item, placed.shared, path)
        context = self._steady.get(placed.index)
        if context is None:
            context = self._steady[placed.index] = self._bind(placed.item, {}, ())
        return context

    def whole_context(self, item: Item, *, kind: str | None = None) -> Context:
        """Return the context of the whole body, or of what stands anywhere in it."""
        return self._bind(item, {}, (), kind)

    def embedded_context(self, item: Item) -> Context | None:
        """Return the context of tokens that stand anywhere; None where a name is missing.

        Then none of them opens.
        """
        try:
            return self.whole_context(item)
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
        for source in self._blueprint.keeps:
            self._exchange.facts[source] = self._value(source, 0, ())

    def _part(self, part: NamedPart, shared: Mapping[JsonSource, int], path: Path) -> str:
        source = self._blueprint.sources.get(part)
        text = None
        if isinstance(source, JsonSource) and part in self._blueprint.from_message:
            text = self._value(source, shared.get(source, 0), path)
        elif isinstance(source, NameSource):
            text = self._exchange.name(source)
        elif source is not None:
            text = self._exchange.read(source, self._reader(part, shared, path))
        if text is None:
            raise MissingValue(f"missing-{part}", detail=f"The {part} of the message is missing.")
        return text

    def _parties(self, item: Item, shared: Mapping[JsonSource, int], path: Path) -> Parties:
        if "reader" in item.parties:
            from_whom = self._part("sender", shared, path) if "sender" in item.parties else None
            return Parties(from_whom, reader=self._part("reader", shared, path))
        found = self._each("recipients", self._blueprint.sources.get("recipients"), shared, path)
        if not found:
            raise MissingValue("missing-recipients", detail="The message names no recipient.")
        return Parties(self._part("sender", shared, path), tuple(sorted(set(found))))

    def _each(
        self,
        part: NamedPart,
        source: Source | None,
        shared: Mapping[JsonSource, int],
        path: Path,
    ) -> list[str]:
        """Return every text that a source gives, where `_part` would make one of them."""
        if source is None or isinstance(source, NameSource):
            text = self._exchange.name(source) if source is not None else None
            return [] if text is None else [text]
        if isinstance(source, JsonSource):
            text = self._reader(part, shared, path)(source)
            here = shared.get(source, 0) if part in self._blueprint.from_message else 0
            return [] if text is None else split(text) if single_from(source) > here else [text]
        parts = (self._each(part, one, shared, path) for one in source.parts)
        if isinstance(source, FirstSource):
            return next((one for one in parts if one), [])
        found = list(parts)
        return [text for one in found for text in one] if all(found) else []

    def _reader(self, part: NamedPart, shared: Mapping[JsonSource, int], path: Path) -> JsonReader:
        if part in self._blueprint.from_message:
            return lambda one: self._value(one, shared.get(one, 0), path)
        return self._exchange.facts.get

    def _value(self, source: JsonSource, shared: int, path: Path) -> str | None:
        index, single_from = self._blueprint.source_index[source]
        texts = self._texts.get(source)
        if texts is None:
            texts = self._texts[source] = self._read(source, index)
        if shared:
            element = path[:shared]
            texts = [one for one in texts if one[0][:shared] == element]
        if not texts:
            return None
        return join([text for _, text in texts]) if single_from > shared else texts[0][1]

    def _read(self, source: JsonSource, index: int) -> list[tuple[Path, str]]:
        """Return every text that a source has in this message, with its path."""
        if self._findings is None:
            return []
        return [
            (path, self._text(source, path, self._body[start:end]))
            for path, start, end in self._findings.found[index]
        ]

    def _text(self, source: JsonSource, path: Path, raw: bytes) -> str:
        if source.member_name:
            return str(path[-1])
        if raw.startswith(b'"'):
            return unescape(raw)
        if _CANONICAL_INTEGER.fullmatch(raw):
            return raw.decode("ascii")
        raise MissingValue("name-not-text", detail="A name must be a string or a whole number.")
