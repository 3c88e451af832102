"""The names that bind the values of a way: of the head, read once, and of each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, cast

from ..compiled.plain_json import Bound, Places, PlainJson, name_of
from ..crypto.joined_names import Name
from ..expressions.sources import JsonSource, NameSource
from ..planning.exchange import Exchange, Kept

Read: TypeAlias = tuple[Bound, Kept] | None
"""What the names bind, and those to keep for the response; None where one is unfit or too long."""
Reader = Callable[[bytes, Places, Kept], Read]
"""Reads the names of a message: from its body, where its values lie, and from those kept."""

_NOWHERE: Final = -1


def reader(exchange: Exchange, json: PlainJson) -> Reader:
    """Return what reads the names of messages with one head.

    Raises MessageError as the exchange does, KeyError where a name of the head is missing.
    """
    names: list[str] = []
    here: list[tuple[int, int, bool]] = [(index, _NOWHERE, True) for index in json.keeps]
    kept: list[tuple[int, int]] = []
    for at, (source, index) in enumerate(json.sources):
        name = ""
        if (index, _NOWHERE, True) in here:
            here[here.index((cast("int", index), _NOWHERE, True))] = cast("int", index), at, True
        elif index is not None:
            here.append((index, at, False))
        elif isinstance(source, JsonSource):
            kept.append((at, exchange.keeps.index(source)))
        else:
            found = exchange.name(cast("NameSource", source))
            if found is None:
                raise KeyError(source)
            name = found
        names.append(name)
    if not here and not kept:
        always = _bound(json, tuple(names), ())
        return lambda _, __, ___: always
    if len(names) == 1 and not kept and here[0][1:] == (0, True) and len(here) == 1:
        return _one_here(json, here[0][0])
    if len(names) == len(kept) == 1 and not here:
        return _one_kept(json, kept[0][1])
    return _several(json, names, here, kept)


def _bound(json: PlainJson, names: tuple[str, ...], kept: Kept) -> Read:
    bound = json.bound(names)
    return None if bound is None else (bound, kept)


def _one_here(json: PlainJson, index: int) -> Reader:
    """Return what reads the only name, which lies in the body and is kept."""
    spelled = json.spelled

    def read(body: bytes, places: Places, _: Kept) -> Read:
        place = places[index]
        if not place:
            return None
        literal = body[place[0] : place[1]]
        known = spelled.get(literal)
        if known is not None:
            return known
        name = name_of(body, place)
        return json.spell(literal, name) if name else None

    return read


def _one_kept(json: PlainJson, at: int) -> Reader:
    """Return what reads the only name, which was kept."""
    named = json.named

    def read(_: bytes, __: Places, kept: Kept) -> Read:
        name = kept[at]
        if type(name) is not str:
            return None
        return named.get(name) or json.bind_only(name)

    return read


def _several(
    json: PlainJson,
    names: list[str],
    here: list[tuple[int, int, bool]],
    kept: list[tuple[int, int]],
) -> Reader:
    """Return what reads any number of names. A name that only the response needs may be missing."""

    def read(body: bytes, places: Places, from_request: Kept) -> Read:
        found = [*names]
        leaves: list[Name | None] = []
        for at, which in kept:
            name = from_request[which]
            if type(name) is not str:
                return None
            found[at] = name
        for index, at, keeps in here:
            place = places[index]
            text = name_of(body, place) if place else None
            if not text and (place or at != _NOWHERE):
                return None
            if text and at != _NOWHERE:
                found[at] = text
            if keeps:
                leaves.append(text)
        return _bound(json, tuple(found), tuple(leaves))

    return read
