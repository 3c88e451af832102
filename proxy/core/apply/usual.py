"""Usual values at once: texts that are sealed, and tokens that open to a text, one at each path.

They are most of the traffic, and need no table: nothing is to be decided about them. Whatever is
not usual gives None, and its message gets a table of its values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from ..compiled.flat_json import Bound, FlatJson, Places
from ..crypto.aead import Parts
from ..crypto.context import Context
from ..crypto.session_cipher import Session
from ..crypto.token import PREFIXES, KeyId, decode_header
from ..leaves import quote, token_parts, tokens
from ..rules.model import Item
from ..values.key_needs import Keys, Needs

_QUOTE: Final = ord('"')
_NEEDS_KEPT: Final = 64
"""So many needs are kept for the contexts of some names: clients choose the tokens."""
_Row = tuple[int, int, Parts, KeyId, Context]


class WarmKeys(Protocol):
    """Where the sessions of messages come from, if they are at hand."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return the sessions if they are cached, and count them as used."""

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep sessions under which so many tags have verified."""


def is_usual(items: Sequence[Item]) -> bool:
    """Return whether values of these items are sealed as they are, if they are texts."""
    return all(
        one.form == "jwe" and one.max_chars is one.min_chars is one.expires is None for one in items
    )


def change(  # noqa: PLR0913, PLR0917 - what is looked at and where
    body: bytes, places: Places, bound: Bound, flat: FlatJson, keys: WarmKeys, now: float
) -> bytes | None:
    """Return a body in which the one value at each path is sealed, or opened.

    Raises OpenFailed for a token whose head is not encoded like ours.
    """
    if flat.sealing:
        return _sealed(body, places, bound, flat.sealing, keys)
    return _opened(body, places, bound, flat.opening, keys, now)


def _sealed(
    body: bytes, places: Places, bound: Bound, paths: Sequence[tuple[int, int]], keys: WarmKeys
) -> bytes | None:
    rows: list[tuple[int, int, bytes, Context]] = []
    for (index, stride), context in zip(paths, bound.contexts, strict=True):
        spots = places[index]
        if len(spots) != stride:
            return None
        start, end = spots[0], spots[1]
        text = body[start + 1 : end - 1]
        if body[start] != _QUOTE or b"\\" in text or text.startswith(PREFIXES):
            return None
        rows.append((start + 1, end - 1, text, context))
    found = keys.resolve_warm(bound.sealing)
    if found is None:
        return None
    sealing = found.sealing
    new = [(start, end, sealing[one.scope].seal(text, one)) for start, end, text, one in rows]
    return _spliced(body, new)


def _opened(  # noqa: PLR0913, PLR0917 - what is looked at and where
    body: bytes,
    places: Places,
    bound: Bound,
    paths: Sequence[tuple[int, int]],
    keys: WarmKeys,
    now: float,
) -> bytes | None:
    rows: list[_Row] = []
    for (index, stride), context in zip(paths, bound.contexts, strict=True):
        spots = places[index]
        if len(spots) != stride:
            return None
        start, end = spots[0], spots[1]
        text = body[start + 1 : end - 1] if body[start] == _QUOTE else b""
        parts = token_parts(text) if len(text) < tokens.LARGE else tokens.token_parts(text)
        if parts is None or (header := decode_header(parts[0])).cty is not None:
            return None
        rows.append((start, end, parts, header.key_id, context))
    found = keys.resolve_warm(_needs(bound, rows))
    if found is None:
        return None
    proven: dict[Session, int] = {}
    new: list[tuple[int, int, bytes]] = []
    for start, end, parts, key_id, context in rows:
        wanted = context.scope, key_id
        session = found.opening.get(wanted) or found.decoys.get(wanted)
        if session is None:
            continue
        # The others are tried all the same: else the time would tell which of them it was.
        (opened,), _ = session.open_each((parts,), context, now, found.refusals.get(wanted))
        if opened is not None and (literal := quote(opened)) is not None:
            new.append((start, end, literal))
            proven[session] = proven.get(session, 0) + 1
    changed = _spliced(body, new) if len(new) == len(rows) else None
    if changed is not None:
        keys.remember(proven)
    return changed


def seal_body(body: bytes, bound: Bound, cty: str | None, keys: WarmKeys) -> bytes | None:
    """Return a token of a body; None where the key is not at hand."""
    found = keys.resolve_warm(bound.sealing)
    if found is None:
        return None
    (context,) = bound.contexts
    return found.sealing[context.scope].seal(body, context, cty=cty)


def open_body(body: bytes, bound: Bound, keys: WarmKeys, now: float) -> tuple[bytes | None, str]:
    """Return what a body holds that is one token, and its type; None where it is not usual.

    Raises OpenFailed for a token whose head is not encoded like ours.
    """
    parts = token_parts(body) if len(body) < tokens.LARGE else tokens.token_parts(body)
    if parts is None:
        return None, ""
    header, (context,) = decode_header(parts[0]), bound.contexts
    found = keys.resolve_warm(_needs(bound, [(0, 0, parts, header.key_id, context)]))
    wanted = context.scope, header.key_id
    session = None if found is None else found.opening.get(wanted)
    if found is None or session is None or found.refusals.get(wanted) is not None:
        return None, ""
    cty = header.cty or ""
    (opened,), _ = session.open_each((parts,), context, now, None)
    if opened is None or (cty and "/" not in cty):
        return None, ""
    keys.remember({session: 1})
    return opened, cty


def _spliced(body: bytes, new: list[tuple[int, int, bytes]]) -> bytes | None:
    """Return a body with texts in place of others; None where two overlap."""
    if len(new) == 1:
        ((start, end, text),) = new
        return b"".join((body[:start], text, body[end:]))
    pieces: list[bytes] = []
    at = 0
    for start, end, text in sorted(new):
        if start < at:
            return None
        pieces += (body[at:start], text)
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)


def _needs(bound: Bound, rows: list[_Row]) -> Needs:
    """Return the keys that open tokens; often the same are needed again."""
    ids = rows[0][3] if len(rows) == 1 else tuple(key_id for *_, key_id, _ in rows)
    needs = bound.opening.get(ids)
    if needs is None:
        if len(bound.opening) >= _NEEDS_KEPT:
            bound.opening.clear()
        needs = Needs({}, frozenset((context.scope, key_id) for *_, key_id, context in rows))
        bound.opening[ids] = needs
    return needs
