"""A raw search of files for values: what a database does not show, its files may still hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from .policy import SEARCH_BYTES, SOUGHT_BYTES, SOUGHT_LEAST

_LITERALS: Final = 8
"""PostgreSQL's compression puts a byte before each so many bytes that it copies."""


class Sought(NamedTuple):
    """A value: its first bytes, and what it looks like in a file, compressed or not."""

    first: bytes
    pattern: re.Pattern[bytes]


class Found(NamedTuple):
    """How many of the values a file holds."""

    file: str
    values: int


class Searched(NamedTuple):
    """What a search has read, and which files have values."""

    files: int
    size: int
    found: tuple[Found, ...]


def sought(value: bytes) -> Sought | None:
    """Return what is looked for; None for a value that is too short to be told from others.

    It is what begins the value and is spelled alike in all encodings and in JSON.
    """
    plain = re.match(rb"[ !#-\[\]-~]*", value.strip(b'"'))
    text = b"" if plain is None else plain[0][:SOUGHT_BYTES]
    if len(text) < SOUGHT_LEAST:
        return None
    parts = (text[at : at + _LITERALS] for at in range(0, len(text), _LITERALS))
    return Sought(text[:_LITERALS], re.compile(rb"[\s\S]?".join(map(re.escape, parts))))


def search(files: Iterable[Path], values: Iterable[Sought]) -> Searched:
    """Search files for values. Raises OSError for one that cannot be read."""
    count = size = 0
    found: list[Found] = []
    groups = _by_first(values)
    for file in files:
        count += 1
        there: set[Sought] = set()
        for piece in _pieces(file):
            size += len(piece)
            for first, those in groups.items():
                there.update(_held(piece, first, those - there))
        if there:
            found.append(Found(str(file), len(there)))
    return Searched(count, size, tuple(found))


def is_there(files: Iterable[Path], values: Iterable[Sought]) -> bool:
    """Return whether some value is in a file. Raises OSError for one that cannot be read."""
    groups = _by_first(values).items()
    pieces = (piece for file in files for piece in _pieces(file))
    return any(_held(piece, first, those) for piece in pieces for first, those in groups)


def _by_first(values: Iterable[Sought]) -> dict[bytes, set[Sought]]:
    """Return values by how they begin: those that begin alike are looked for together."""
    groups: dict[bytes, set[Sought]] = {}
    for one in values:
        groups.setdefault(one.first, set()).add(one)
    return groups


def _held(piece: bytes, first: bytes, those: set[Sought]) -> set[Sought]:
    """Return which of those that begin so a piece holds."""
    held: set[Sought] = set()
    place = piece.find(first)
    while place >= 0 and len(held) < len(those):
        held.update(one for one in those if one.pattern.match(piece, place))
        place = piece.find(first, place + 1)
    return held


def _pieces(file: Path) -> Iterator[bytes]:
    """Yield the bytes of a file; what ends one begins the next, so that no value is parted."""
    try:
        opened = file.open("rb")
    except FileNotFoundError:  # a server removes files while they are listed
        return
    with opened:
        held = b""
        while piece := opened.read(SEARCH_BYTES):
            yield held + piece
            held = piece[-2 * SOUGHT_BYTES :]


def below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, in order. Raises OSError for a folder that cannot be read."""
    for one in sorted(folder.iterdir()):
        if one.is_dir():  # also by a link, as tablespaces and logs on other disks are
            yield from below(one)
        elif one.is_file():
            yield one
