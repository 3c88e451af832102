"""Any number of values of one message, sealed and opened together: no object for each of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, groupby
from operator import itemgetter
from typing import Final, TypeAlias, cast

from ..compiled.plain_json import Bound, Places
from ..crypto.aead import Parts
from ..crypto.context import Context, Scope
from ..crypto.session_cipher import Session
from ..crypto.token import (
    BASE64_PREFIX,
    CTY_JSON,
    JWE_PREFIX,
    SHORT_PREFIX,
    KeyId,
    Token,
    decode_header,
    decoded_token,
)
from ..edits.edits import as_json, expiry
from ..edits.fit_values import require_text
from ..edits.key_needs import Keys, Needs
from ..errors import OpenFailed
from ..formats.json import Selection, unescaped
from ..leaves import splice, splice_quoted, tokens_at
from ..rules.model import Item
from ..slices import pause, paused

QUOTE: Final = ord('"')
TOKENS: Final = (JWE_PREFIX, SHORT_PREFIX, BASE64_PREFIX)
"""What a sealed value begins with."""
Splice: TypeAlias = Callable[[bytes, list[int], list[bytes]], bytes | None]
"""Replaces places of a body by texts; None where they overlap, or a text is no JSON string."""
MOST_TOGETHER: Final = 256
"""So many values are worked at between two pauses, as long as they lie within so many bytes: half a
millisecond or so."""
MOST_BYTES: Final = 256 * 1024

Group = tuple[Item, Context, str | None, list[bytes], list[int]]
"""Values to be sealed for one context: their content type, their texts, and their places."""
Run = tuple[Context, KeyId, str | None, list[Parts] | Token, list[int]]
"""Tokens with one head that belong to one context: their key, content type, parts and places.

One in the short form is by itself."""


def _spots(flat: Sequence[int], stride: int) -> list[int]:
    """Return where values begin and end, without their elements of lists."""
    spots = [*flat]
    for more in range(stride - 2, 0, -1):
        del spots[2 :: 2 + more]
    return spots


def _portions(spots: list[int]) -> Iterator[list[int]]:
    """Yield the places of as many values as are worked at between two pauses."""
    if len(spots) <= MOST_TOGETHER and spots[-1] - spots[0] <= MOST_BYTES:
        yield spots  # as nearly always
        return
    at = 0
    while at < len(spots):
        pause()
        end = min(bisect_right(spots, spots[at] + MOST_BYTES, at), at + 2 * MOST_TOGETHER)
        end = max(at + 2, end - end % 2)
        yield spots[at:end]
        at = end


def to_seal(
    body: bytes, places: Places, strides: tuple[int, ...], bound: Bound
) -> list[Group] | None:
    """Return the values to be sealed; None where one may be sealed already."""
    groups: list[Group] = []
    for index, item, context in bound.seals:
        flat = places[index]
        if not flat:
            continue
        for portion in _portions(_spots(flat, strides[index])):
            if not _add_group(body, (item, context), portion, groups):
                return None
    return groups


def _add_group(
    body: bytes, bound: tuple[Item, Context], portion: list[int], groups: list[Group]
) -> bool:
    """Add values to be sealed, strings and others apart; return whether none is sealed already."""
    texts: list[bytes] = []
    spots: list[int] = []
    others: Group = *bound, CTY_JSON, [], []
    ends = iter(portion)
    for start, end in zip(ends, ends, strict=True):
        if body[start] != QUOTE:
            others[3].append(body[start:end])
            others[4].extend((start, end))
            continue
        text = body[start + 1 : end - 1]
        if b"\\" in text:
            text = unescaped(body[start:end])
        if text.startswith(TOKENS):
            return False
        texts.append(text)
        spots += (start, end)
    if texts:
        groups.append((*bound, None, texts, spots))
    if others[3]:
        groups.append(others)
    return True


def to_open(
    body: bytes, places: Places, strides: tuple[int, ...], bound: Bound
) -> list[Run] | None:
    """Return the tokens to be opened, those with one head together; None where a value is none.

    Raises OpenFailed for a head that is not encoded like ours.
    """
    runs: list[Run] = []
    for index, _, context in bound.opens:
        if not places[index]:
            continue
        for spots in _portions(_spots(places[index], strides[index])):
            if not _add_runs(body, context, spots, runs):
                return None
    return runs


def _add_runs(body: bytes, context: Context, spots: list[int], runs: list[Run]) -> bool:
    """Add tokens, those behind each other that have one head together; return whether all are."""
    tokens = tokens_at(body, spots)
    if None in tokens:
        return _add_others(body, context, spots, runs)
    at = 0
    for _, some in groupby(cast("list[Parts]", tokens), itemgetter(0)):
        pause()
        parts = [*some]
        runs.append(_run(context, parts, spots[at : at + 2 * len(parts)]))
        at += 2 * len(parts)
    return True


def _run(context: Context, tokens: list[Parts], spots: list[int]) -> Run:
    header = decode_header(tokens[0][0])
    return context, header.key_id, header.cty, tokens, spots


def _add_others(body: bytes, context: Context, spots: list[int], runs: list[Run]) -> bool:
    """Add tokens of which some are in the short form; return whether all are tokens."""
    for at in range(0, len(spots), 2):
        pause()
        start, end = spots[at], spots[at + 1]
        text = Selection.text(body[start:end])
        token = None if text is None else decoded_token(text)
        if type(token) is not Token or token.form == "base64":
            return False
        runs.append((context, token.key_id, token.cty, token, [start, end]))
    return True


def needs(bound: Bound, groups: list[Group], runs: list[Run]) -> Needs:
    """Return the keys that these values need."""
    count = sum(len(one[3]) for one in groups)
    key_ids = {one[1] for one in runs}
    if (bound.seal_scope or not groups) and (bound.open_scope or not runs) and len(key_ids) <= 1:
        return bound.needs(count, key_ids.pop() if key_ids else None)
    seals: dict[Scope, int] = {}
    for _, context, _, texts, _ in groups:
        seals[context.scope] = seals.get(context.scope, 0) + len(texts)
    return Needs(seals, frozenset((context.scope, key_id) for context, key_id, *_ in runs))


def opened(keys: Keys, runs: list[Run], now: float) -> list[list[bytes]] | None:
    """Return what tokens hold; None where one does not open.

    The others are tried all the same, and those that must not open take as long: else the time
    would tell which of many it was, and why.
    """
    opened: list[list[bytes]] = []
    for context, key_id, _, tokens, _ in paused(runs):
        wanted = context.scope, key_id
        session = keys.opening.get(wanted) or keys.decoys.get(wanted)
        if session is None:
            continue
        refusal = keys.refusals.get(wanted)
        if isinstance(tokens, list):
            texts = session.open_each(tokens, context, now, refusal)
            if texts is not None:
                opened.append(texts)
        else:
            with suppress(OpenFailed):
                opened.append([session.open(tokens, context, now, refusal=refusal)])
    return opened if len(opened) == len(runs) else None


def proven(keys: Keys, runs: list[Run]) -> dict[Session, int]:
    """Return how many values each session has opened."""
    proven: dict[Session, int] = {}
    for context, key_id, _, _, spots in paused(runs):
        session = keys.opening[context.scope, key_id]
        proven[session] = proven.get(session, 0) + len(spots) // 2
    return proven


def sealed(keys: Keys, groups: list[Group], now: float) -> list[list[bytes]]:
    """Return the tokens of values; raise UnfitValue or ValueTooLong where one cannot be sealed."""
    sealed: list[list[bytes]] = []
    for item, context, cty, texts, _ in paused(groups):
        session = keys.sealing[context.scope]
        exp = item.expires and expiry(now, item.expires)
        if item.min_chars is not None:
            for text in texts:
                require_text(item, text, cty)
        if item.form == "jwe" and item.max_chars is None:
            sealed.append(session.seal_each(texts, context, cty, exp))
            continue
        sealed.append(
            [
                session.seal(
                    text, context, cty=cty, form=item.form, exp=exp, max_chars=item.max_chars
                )
                for text in texts
            ]
        )
    return sealed


def replaced(
    body: bytes,
    groups: list[Group],
    sealed: list[list[bytes]],
    runs: list[Run],
    opened: list[list[bytes]],
) -> bytes | None:
    """Return a body with its values replaced; None where two overlap, or one is not as it must be.

    Raises OpenFailed for what is no JSON.
    """
    spots = [spots for *_, spots in groups] + [spots for *_, spots in runs]
    how: Splice = splice_quoted
    texts = opened
    if groups or any(cty is not None for _, _, cty, _, _ in runs):
        how = splice
        texts = [[b'"%b"' % one for one in some] for some in paused(sealed)] + [
            [as_json(one, cty) for one in some]
            for (_, _, cty, _, _), some in zip(paused(runs), opened, strict=True)
        ]
    if len(spots) == 1:
        return how(body, spots[0], texts[0])
    starts = [start for some in spots for start in some[::2]]
    ends = [end for some in spots for end in some[1::2]]
    flat = [*chain.from_iterable(texts)]
    pause()
    order = sorted(range(len(starts)), key=starts.__getitem__)
    places = [place for at in paused(order) for place in (starts[at], ends[at])]
    return _spliced(body, places, [flat[at] for at in order], how)


def _spliced(body: bytes, places: list[int], texts: list[bytes], how: Splice) -> bytes | None:
    """Return a body with its values replaced, with pauses between pieces of it."""
    pieces: list[bytes] = []
    at = done = 0
    for portion in _portions(places):
        last, count = portion[-1], len(portion) // 2
        if portion[0] < at:
            return None
        some = [place - at for place in portion] if at else portion
        piece = how(body[at:last], some, texts[done : done + count])
        if piece is None:
            return None
        pieces.append(piece)
        at, done = last, done + count
    pause()
    pieces.append(body[at:])
    return b"".join(pieces)
