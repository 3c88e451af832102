"""From a selected value to the context it is bound to."""

from __future__ import annotations

import re
from typing import Final

from .blueprint import Blueprint, NamedPart, is_many
from .context import Context, Scope
from .errors import MissingValue
from .exchange import Exchange
from .formats.json import Findings, Path, unescape
from .rules import Item
from .sources import JsonSource, join

_CANONICAL_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]*")
_NO_ELEMENT: Final = -1


class Binder:
    """Gives each selected value of one message its context."""

    __slots__ = ("_blueprint", "_body", "_exchange", "_texts")

    def __init__(
        self, blueprint: Blueprint, exchange: Exchange, body: bytes, findings: Findings | None
    ) -> None:
        """Read the JSON sources of the message from what its walk found."""
        self._blueprint = blueprint
        self._exchange = exchange
        self._body = body
        self._texts = self._source_texts(findings) if findings is not None else {}

    def context(
        self, item: Item, *, index: int = _NO_ELEMENT, path: Path = (), kind: str | None = None
    ) -> Context:
        """Return the context of a value that `item` selected at `path`.

        Raises MissingValue where a name that binds it is not there.
        """
        return Context(
            scope=Scope(
                tenant=self._part("tenant", item, index, path),
                conversation=self._part("conversation", item, index, path),
            ),
            field=item.field if "field" in item.bind else None,
            message=self._part("message", item, index, path),
            purpose=item.purpose if "purpose" in item.bind else None,
            kind=kind,
        )

    def keep_facts(self) -> None:
        """Keep the rule's names from this request for its answer."""
        for source in self._blueprint.keeps:
            self._exchange.facts[source] = self._value(source, _NO_ELEMENT, ())

    def _part(self, part: NamedPart, item: Item, index: int, path: Path) -> str | None:
        if part not in item.bind:
            return None
        source = self._blueprint.sources.get(part)
        text = None
        if source is not None:
            if part in self._blueprint.from_message:
                text = self._exchange.read(source, lambda one: self._value(one, index, path))
            else:
                text = self._exchange.read(source, self._exchange.facts.get)
        if text is None:
            raise MissingValue(f"missing-{part}", detail=f"The {part} of the message is missing.")
        return text

    def _value(self, source: JsonSource, index: int, path: Path) -> str | None:
        shared = self._blueprint.shared_steps(index, source)
        texts = [text for at, text in self._texts.get(source, ()) if at[:shared] == path[:shared]]
        if is_many(source, shared):
            return join(texts) if texts else None
        return texts[0] if texts else None

    def _source_texts(self, findings: Findings) -> dict[JsonSource, list[tuple[Path, str]]]:
        texts: dict[JsonSource, list[tuple[Path, str]]] = {}
        for source, index in self._blueprint.source_index.items():
            texts[source] = [
                (one.path, self._text(source, one.path, self._body[one.start : one.end]))
                for one in findings.found
                if one.selector == index
            ]
        return texts

    def _text(self, source: JsonSource, path: Path, raw: bytes) -> str:
        if source.member_name:
            return str(path[-1])
        if raw.startswith(b'"'):
            return unescape(raw)
        if _CANONICAL_INTEGER.fullmatch(raw):
            return raw.decode("ascii")
        raise MissingValue("name-not-text", detail="A name must be a string or a whole number.")
