"""The usual values of a JSON text: strings that become tokens, and tokens that become strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .spans import splice
from .strings import quote, unquote
from .tokens import PREFIXES, token_text

_IV_BYTES: Final = 12


def texts_at(body: bytes, places: list[int], /) -> list[bytes] | None:
    """Return the texts of JSON strings that are to be sealed.

    `places` has the start and the end of each, quotes included. None where one is other JSON, or
    its text begins like a token.
    """
    spans = _spans(body, places)
    if spans is None:
        return None
    texts: list[bytes] = []
    for start, end in spans:
        text = unquote(body[start:end])
        if text is None or text.startswith(PREFIXES):
            return None
        texts.append(text)
    return texts


def put_tokens(
    body: bytes, places: list[int], heads: list[bytes], ivs: bytes, sealed: list[bytes], /
) -> bytes | None:
    """Return `body` with a token in JWE form, as a JSON string, at each of its `places`.

    `ivs` has 12 bytes for each. None where there are not as many heads, IVs and ciphertexts as
    places, or these overlap or lie outside of the body.
    """
    each = range(0, len(ivs), _IV_BYTES)
    if not len(heads) == len(sealed) == len(each):
        return None
    try:
        parts = zip(heads, each, sealed, strict=True)
        tokens = [
            b'"%b"' % token_text(head, ivs[at : at + _IV_BYTES], one) for head, at, one in parts
        ]
    except ValueError:
        return None
    return _put(body, places, tokens)


def put_texts(body: bytes, places: list[int], texts: list[bytes], /) -> bytes | None:
    """Return `body` with a JSON string of each text at its place.

    None where a text is no UTF-8, there are not as many as places, or these overlap or lie outside
    of the body.
    """
    strings = [quote(one) for one in texts]
    return None if None in strings else _put(body, places, strings)  # type: ignore[arg-type]  # no None


def _put(body: bytes, places: list[int], strings: list[bytes]) -> bytes | None:
    spans = _spans(body, places)
    if spans is None or len(spans) != len(strings):
        return None
    order = sorted(range(len(spans)), key=lambda at: spans[at][0])
    flat = [place for at in order for place in spans[at]]
    return splice(body, flat, [strings[at] for at in order])


def _spans(body: bytes, places: list[int]) -> Sequence[tuple[int, int]] | None:
    """Return where each value begins and ends; None where there is no such place."""
    if len(places) % 2:
        return None
    spans = list(zip(places[::2], places[1::2], strict=True))
    return spans if all(0 <= start <= end <= len(body) for start, end in spans) else None
