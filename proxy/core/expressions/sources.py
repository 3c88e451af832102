"""Sources: where binding names (tenant, conversation) are read from.

A source gives one name or nothing: a text, or a joined name if it is made of several sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from ..errors import InvalidExpression
from .selectors import JsonSelector, NamedSelector, Selector, parse_json_selector, parse_selector

NamePlace = Literal["path", "query", "header", "jwt-unverified", "caller", "const"]
_PLACES: Final = get_args(NamePlace)


@dataclass(frozen=True, slots=True)
class NameSource:
    """A name outside the body: a capture, a query parameter, a header, a claim or a constant.

    A claim is one that was verified (`caller`), or any that the bearer's token has.
    """

    place: NamePlace
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class JsonSource:
    """A value of the body, or with `~` the name of the member where the selector ends.

    In a form it is the text of a pair, or lies in the JSON text that a pair or a part is.

    Sources compare by identity, which the look-ups on the path of a message need: each place where
    one is written is a separate source.
    """

    selector: JsonSelector | NamedSelector
    member_name: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class AskSource:
    """A name that a request lacks: what `selector` selects of what the backend answers to a GET.

    `path` and `query` are the target's texts, with the names of the request that are put into it.
    Sources compare by identity, as those of JSON do.
    """

    text: str
    path: tuple[str | NameSource, ...]
    query: tuple[str | NameSource, ...]
    selector: JsonSelector

    @property
    def parts(self) -> tuple[NameSource, ...]:
        """The names of the request that are put into the target."""
        return tuple(one for one in (*self.path, *self.query) if isinstance(one, NameSource))


@dataclass(frozen=True, slots=True)
class ListSource:
    """Several sources, all of which must give a name; joined in order."""

    parts: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class MembersSource:
    """Several sources as a set: the same name in any order."""

    parts: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class FirstSource:
    """The first of several sources that gives a name."""

    parts: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class ComposedSource:
    """A name with a fixed text before and behind it: `Patient/{path:id}`.

    The name has no `/`, so that no other name makes the same text.
    """

    before: str
    hole: NameSource | JsonSource
    after: str

    @property
    def parts(self) -> tuple[NameSource | JsonSource]:
        """What is put between the texts."""
        return (self.hole,)


@dataclass(frozen=True, slots=True)
class SameSource:
    """A source outside the message, and places that name the same thing: their names are equal.

    Places that have no name are not compared. `unrelated` select what looks so and is not.
    """

    source: NameSource | AskSource | ComposedSource
    also: tuple[NameSource | JsonSource, ...] = ()
    unrelated: tuple[Selector, ...] = ()

    @property
    def parts(self) -> tuple[NameSource | AskSource | ComposedSource | JsonSource, ...]:
        """All of them, the source first."""
        return self.source, *self.also


_Several = ListSource | MembersSource | FirstSource | ComposedSource | SameSource
Source = NameSource | JsonSource | AskSource | _Several
"""Where a name is read."""


def parse_source(text: str) -> NameSource | JsonSource:
    """Return the source that `text` spells; raise InvalidExpression otherwise."""
    if text.startswith("$"):
        member_name = text.endswith("~")
        return JsonSource(parse_json_selector(text.removesuffix("~")), member_name)
    if text.startswith(("form:", "part:")):
        selector = parse_selector(text.removesuffix("~"))
        assert isinstance(selector, NamedSelector)  # noqa: S101 - by its beginning
        of_field = selector.place == "form" and not text.endswith("~")
        if selector.inner is not None or of_field:
            return JsonSource(selector, text.endswith("~"))
        raise InvalidExpression(
            f"`{text}` is not a source: a part gives a name only where it is JSON",
            hint=f"write `{text} $.name`",
        )
    place, colon, name = text.partition(":")
    if not colon or place not in _PLACES:
        hint = f"`const:{text}`" if re.fullmatch(r"[\w-]+", text) else ""
        raise InvalidExpression(
            f"`{text}` is not a source; one of: $.path, form:, path:, query:, header:, caller:,"
            " jwt-unverified:, const:",
            hint=f"did you mean {hint}?" if hint else "",
        )
    if not name:
        raise InvalidExpression(
            f"`{text}` lacks a name after the colon", hint=f"for example `{place}:room`"
        )
    return NameSource(place, name.lower() if place == "header" else name)  # type: ignore[arg-type]  # checked above


def parse_name(text: str) -> NameSource | JsonSource | ComposedSource:
    """Return the source that `text` spells, be it with text around a `{source}`.

    Raises InvalidExpression for more than one hole, and where there is no source in it.
    """
    if text.startswith("$") or "{" not in text:
        return parse_source(text)
    match = _COMPOSED.fullmatch(text)
    if match is None or not (match[1] or match[3]):
        hint = "for example `Patient/{path:id}`"
        raise InvalidExpression(f"`{text}` is not a text with one `{{source}}`", hint=hint)
    return ComposedSource(match[1], parse_source(match[2]), match[3])


_COMPOSED: Final = re.compile(r"([^{}]*)\{([^{}]+)\}([^{}]*)")
_HOLE: Final = re.compile(r"\{([^{}]*)\}")
_TARGET: Final = re.compile(r"GET +(/(?!/)[!-~]*)")


def parse_ask(text: str, selector: JsonSelector) -> AskSource:
    """Return what asks for a name as `text` says, such as `GET /api/notes/{id}?view={query:view}`.

    Raises InvalidExpression for another method or target, and for a hole that is no name.
    """
    match = _TARGET.fullmatch(text)
    if match is None or "#" in text:
        raise InvalidExpression(
            f"`{text}` does not say what to ask", hint="for example `GET /api/notes/{id}`"
        )
    path, _, query = match[1].partition("?")
    return AskSource(text, _with_names(path), _with_names(query), selector)


def _with_names(text: str) -> tuple[str | NameSource, ...]:
    """Return texts and names of a target in turn: `{id}` is a label, `{query:id}` a parameter."""
    pieces: list[str | NameSource] = []
    for at, piece in enumerate(_HOLE.split(text)):
        place, _, name = piece.rpartition(":")
        if at % 2 == 0:
            if "{" in piece or "}" in piece:
                raise InvalidExpression(f"`{text}` has a brace alone")
            pieces.append(piece)
        elif not name or place not in {"", "path", "query"}:
            hint = "one of: {label}, {query:name}"
            raise InvalidExpression(f"`{{{piece}}}` is no name of the request's target", hint=hint)
        else:
            pieces.append(NameSource("query" if place == "query" else "path", name))
    return tuple(pieces)


def json_sources(source: Source | None) -> Iterator[JsonSource]:
    """Yield every part of a source that is read from a body."""
    if isinstance(source, JsonSource):
        yield source
    elif isinstance(source, _Several):
        for part in source.parts:
            yield from json_sources(part)


def name_sources(source: Source | None) -> Iterator[NameSource]:
    """Yield every part of a source that is read outside a body."""
    if isinstance(source, NameSource):
        yield source
    elif isinstance(source, _Several | AskSource):
        for part in source.parts:
            yield from name_sources(part)


def ask_sources(source: Source | None) -> Iterator[AskSource]:
    """Yield every part of a source that the backend is asked for."""
    if isinstance(source, AskSource):
        yield source
    elif isinstance(source, _Several):
        for part in source.parts:
            yield from ask_sources(part)


def giving(source: Source | None) -> Source | None:
    """Return what gives a name, without the places that are only compared with it."""
    return source.source if isinstance(source, SameSource) else source


def also(source: Source, place: NameSource) -> SameSource | None:
    """Return a source with one more place that names the same; None for one within bodies."""
    if isinstance(source, SameSource):
        return replace(source, also=(*source.also, place))
    if isinstance(source, NameSource | AskSource | ComposedSource) and not any(
        json_sources(source)
    ):
        return SameSource(source, also=(place,))
    return None


def places_beside(source: Source) -> tuple[NameSource | JsonSource, ...]:
    """Return the places that are only compared with what a source gives."""
    return source.also if isinstance(source, SameSource) else ()
