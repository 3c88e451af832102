"""From the marks of an operation to the blocks of its rule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from ..config.yaml.nodes import show
from ..core.crypto.token import (
    ASSUMED_KEK_ID,
    KeyId,
    encode_header,
    jwe_capacity,
    short_capacity,
)
from ..core.http.message import Direction
from .document import Mistakes, Spot
from .marks import Mark, MarkFinder, named, one_or_many
from .messages import IN_FORMS, BodyKind, kind_of, place_of
from .operations import DescribedBody, DescribedOperation, DescribedParameter, Response
from .plain import PlainFinder, PlainPlaces
from .policy import NARROW_CHARS
from .schemas import WISHES, SchemaReader
from .searches import FoundSearch, found_searches

Sealed = Literal["requests", "responses"]
"""In which messages the backend, or whoever stands behind, gets tokens in place of values."""
_LISTED: Final = frozenset({"json", "form"})
"""The kinds of bodies whose places are listed."""
_HEAD: Final = encode_header(KeyId(bytes(12), kek_id=ASSUMED_KEK_ID), bytes(16))


@dataclass(frozen=True, slots=True)
class WrittenItem:
    """An item as a rule writes it: sealed, or opened; `note` is what its reader should know."""

    select: str
    optional: bool
    sealed: bool = False
    field: str | None = None
    options: tuple[tuple[str, str | int | bool], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class WrittenBlock:
    """A block as a rule writes it; without items, what it takes passes.

    `records` is where a body has one record or a list of them, if items are of a record.
    """

    items: tuple[WrittenItem, ...]
    types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    records: str = ""


@dataclass(slots=True)
class RuleBlocks:
    """What a rule does with the messages of an operation.

    `listed` is what requests hold beside, None where that is no list. `searches` are parameters by
    which clients search in what it opens.
    """

    operation: DescribedOperation
    request: list[WrittenBlock] = field(default_factory=list)
    response: list[WrittenBlock] = field(default_factory=list)
    listed: PlainPlaces | None = None
    searches: tuple[FoundSearch, ...] = ()

    @property
    def acts(self) -> bool:
        """Whether anything is marked."""
        return bool(self.request or self.response)


class BlockFinder:
    """Finds the blocks of operations."""

    def __init__(self, reader: SchemaReader, mistakes: Mistakes, sealed: Sealed) -> None:
        """Report to `mistakes` what no rule can express."""
        self._mistakes = mistakes
        self._plain = PlainFinder(reader)
        self._seals: dict[Direction, bool] = {
            "request": sealed == "requests",
            "response": sealed == "responses",
        }
        self._markers = {
            direction: MarkFinder(reader, direction, mistakes, sealed=seals)
            for direction, seals in self._seals.items()
        }

    def treatment(self, operation: DescribedOperation) -> RuleBlocks:
        """Return what a rule does with the messages of an operation."""
        made = RuleBlocks(operation)
        head = self._parameters(operation.parameters, "request")
        made.request = self._blocks(operation.contents, head, "request", operation.spot)
        made.response = self._responses(operation)
        items = (item for block in made.response for item in block.items if not item.sealed)
        named = (one.name for one in operation.parameters if one.place == "query")
        made.searches = found_searches(
            operation.method, named, [(one.select, one.field) for one in items]
        )
        made.listed = self._listed(made)
        return made

    def _listed(self, made: RuleBlocks) -> PlainPlaces | None:
        contents = made.operation.contents
        reads = bool(made.request)
        if reads and (
            len(contents) > 1 or any(kind_of(one.type) not in _LISTED for one in contents)
        ):
            return None
        items = (item for block in made.request for item in block.items)
        marked = frozenset(item.select for item in items)
        content = contents[0] if reads and contents else None
        records = made.request[0].records if reads else ""
        return self._plain.listed(made.operation, content, marked, records)

    def _parameters(
        self, parameters: Iterable[DescribedParameter], direction: Direction
    ) -> list[WrittenItem]:
        found: list[WrittenItem] = []
        for one in parameters:
            for mark in self._markers[direction].marks(one.schemas):
                name = one.name.lower() if one.place == "header" else one.name
                depth = len(mark.steps)
                if one.place in {"path", "cookie"}:
                    text = f"the parameter {show(one.name)} is in the {one.place}, "
                    hint = "send it in the body, the query or a header"
                    self._mistakes.add(one.spot, f"{text}where nothing is sealed", hint)
                elif depth > 1 or (depth == 1 and isinstance(mark.steps[0].key, str)):
                    text = f"the parameter {show(one.name)} has marked values inside"
                    self._mistakes.add(one.spot, text, "mark the parameter's schema itself")
                else:
                    item = self._item(f"{one.place}:{name}", mark, direction, "text")
                    each = (("each", True),) if one.exploded and depth == 1 else ()
                    needed = one.needed and not mark.optional
                    options = item.options + each
                    unfound = f"{item.select}: sealed, it finds nothing; `search` sends a tag"
                    note = unfound if item.sealed and one.place == "query" else item.note
                    found.append(replace(item, optional=not needed, options=options, note=note))
        return found

    def _blocks(
        self,
        contents: Sequence[DescribedBody],
        head: Sequence[WrittenItem],
        direction: Direction,
        spot: Spot,
        statuses: tuple[str, ...] = (),
    ) -> list[WrittenBlock]:
        """Return a block for each kind of body, and for each type where one is not enough."""
        items = [(one, *self._items(one, direction)) for one in contents]
        kinds = {kind_of(one.type) for one, _, found in items if found}
        if not kinds and not head:
            return []
        if not kinds:
            return [WrittenBlock(tuple(head), statuses=statuses)]
        groups: dict[tuple[BodyKind, str, tuple[WrittenItem, ...]], list[str]] = {}
        for one, records, found in items:
            groups.setdefault((kind_of(one.type), records, found), []).append(one.type)
        alone = len(groups) == 1
        if head and not alone:
            text = "a marked parameter needs a request with one kind of body"
            self._mistakes.add(spot, text, "describe one media type, or send the value in the body")
        made = []
        for (kind, records, found), types in groups.items():
            same = sum(1 for other, *_ in groups if other == kind)
            typed = tuple(types) if not alone and (same > 1 or not found) else ()
            made.append(WrittenBlock((*head, *found), typed, statuses, records))
        return made

    def _items(
        self, content: DescribedBody, direction: Direction
    ) -> tuple[str, tuple[WrittenItem, ...]]:
        """Return where the records of a body are, if it has one or many, and the items of it."""
        kind = kind_of(content.type)
        found = []
        marks = self._markers[direction].marks(content.schemas, in_form=kind in IN_FORMS)
        records, marks = one_or_many(marks) if kind == "json" else ("", marks)
        for mark in marks:
            place = place_of(kind, mark.steps)
            if kind == "form" and len(mark.steps) > 1 and " " in (place or ""):
                place = None  # what OpenAPI spells of an object in a form is no JSON
            if place is None:
                text = f"a mark in a body of the type {show(content.type)} has no place that a"
                hint = "write its rule by hand, or mark what is JSON, a form or plain text"
                self._mistakes.add(mark.spot, f"{text} rule can name", hint)
                continue
            item = self._item(place, mark, direction, kind)
            if kind == "form" and len(mark.steps) > 1:  # the name may occur several times
                item = replace(item, options=(*item.options, ("each", True)))
            found.append(item)
        return records, tuple(found)

    def _item(self, place: str, mark: Mark, direction: Direction, kind: BodyKind) -> WrittenItem:
        wishes = mark.wishes or {}
        field_name = wishes.get("field")
        if kind == "json" and field_name is None and not any(named(mark.steps)):
            hint = f"write `{WISHES}: {{field: NAME}}` beside the mark"
            self._mistakes.add(mark.spot, "the value has no name to bind it to", hint)
        if not self._seals[direction]:
            return WrittenItem(place, mark.optional, field=field_name)
        return self._sealed_item(place, mark, kind, field_name)

    def _sealed_item(
        self, place: str, mark: Mark, kind: BodyKind, field_name: str | None
    ) -> WrittenItem:
        wishes = mark.wishes or {}
        if mark.base64 and kind != "json":
            text = "the backend takes no token here: it must be base64"
            self._mistakes.add(mark.spot, text, "send it in JSON")
        form = wishes.get("form") or _form(mark)
        most, least = mark.most, mark.least or None
        string = True if mark.string and not least and kind == "json" else None
        given = {"form": form, "max_chars": most, "min_chars": least, "string": string}
        given["expires"] = wishes.get("expires")
        options = tuple((name, one) for name, one in given.items() if one is not None)
        note = ""
        if most is not None:
            holds = _capacity(form or "jwe", most)
            note = f"{place}: {most} characters hold a token of {holds} bytes"
            if holds < max(mark.least, 1):
                text = f"no token fits into `maxLength: {most}`"
                hint = "raise it in the backend: a token of 100 bytes has 196 characters"
                self._mistakes.add(mark.spot, text, hint)
        return WrittenItem(
            place, mark.optional, sealed=True, field=field_name, options=options, note=note
        )

    def _responses(self, operation: DescribedOperation) -> list[WrittenBlock]:
        """Return the blocks of responses, those of single statuses first, as OpenAPI reads them."""
        ordered = sorted(operation.responses, key=lambda one: _breadth(one.status))
        blocks = [(one, self._of_response(one)) for one in ordered]
        marked = [at for at, (_, found) in enumerate(blocks) if any(one.items for one in found)]
        if not marked:
            return []
        made: list[WrittenBlock] = []
        for at, (response, found) in enumerate(blocks):
            if found:
                made += found
            elif any(
                later > at and _breadth(blocks[later][0].status) > _breadth(response.status)
                for later in marked
            ):
                made.append(WrittenBlock((), statuses=_statuses(response.status)))
        return list(_joined(made))

    def _of_response(self, response: Response) -> list[WrittenBlock]:
        head = self._parameters(response.headers, "response")
        statuses = _statuses(response.status)
        return self._blocks(response.contents, head, "response", response.spot, statuses)


def _form(mark: Mark) -> str | None:
    """Return the form that the tokens of a value need; None: the usual one."""
    if mark.base64:
        return "base64"
    narrow = mark.most is not None and mark.most <= NARROW_CHARS
    return "short" if narrow and "expires" not in (mark.wishes or {}) else None


def _capacity(form: str, characters: int) -> int:
    """Return how many bytes a token of a form and of so many characters holds."""
    if form == "short":
        return short_capacity(characters)
    if form == "base64":
        characters = characters // 4 * 3
    return max(jwe_capacity(_HEAD, characters), 0)


def _breadth(status: str) -> int:
    """Return 0 for one status, 1 for a class of them, 2 for all others."""
    return 2 if status == "DEFAULT" else 1 if status.endswith("XX") else 0


def _statuses(status: str) -> tuple[str, ...]:
    return ("all",) if status == "DEFAULT" else (re.sub("X", "x", status),)


def _joined(blocks: Iterable[WrittenBlock]) -> Iterator[WrittenBlock]:
    """Yield blocks, those that differ in nothing but their statuses as one."""
    waiting: WrittenBlock | None = None
    for one in blocks:
        if waiting is None:
            waiting = one
        elif replace(waiting, statuses=()) == replace(one, statuses=()):
            statuses = (*waiting.statuses, *one.statuses)
            waiting = replace(one, statuses=("all",) if "all" in statuses else statuses)
        else:
            yield waiting
            waiting = one
    if waiting is not None:
        yield waiting
