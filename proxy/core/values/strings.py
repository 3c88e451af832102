"""Strings of JSON that become tokens, or tokens that become strings, by one call for each step.

This is how most values go. What is of another kind, or under another session, is treated row by
row (`carry_out`), and what does not open is planned, which tells why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple, cast

from ..crypto.aead import Parts
from ..crypto.context import Context
from ..crypto.session_cipher import Session
from ..crypto.token import KeyId, decode_header
from ..errors import OpenFailed
from ..leaves import put_texts, put_tokens, texts_at, tokens, tokens_at
from ..policy import USUAL_BYTES
from .key_needs import Keys
from .outcomes import Outcome, Tally, no_tally

Changed = tuple[bytes, Mapping[Outcome, int], Mapping[Session, int], Keys, Tally]
"""A body with its values changed, how many had which outcome, how many a session has opened, the
keys that it was changed with, and whose values they were."""


class UsualSpots(NamedTuple):
    """Where strings lie in a body, start and end with their quotes, and what each is bound to."""

    places: list[int]
    contexts: tuple[Context, ...]


class UsualTexts(NamedTuple):
    """UsualTexts that are to be sealed."""

    spots: UsualSpots
    texts: list[bytes]

    def changed(self, body: bytes, keys: Keys) -> Changed:
        """Return the body with its texts sealed; their places are apart."""
        places, contexts = self.spots
        session = keys.sealing[contexts[0].scope]
        heads = session.heads(contexts)
        ivs, sealed = session.seal_all(self.texts, heads)
        new = put_tokens(body, places, [*heads], ivs, sealed)
        assert new is not None  # noqa: S101 - the finder found them apart
        return new, {"sealed": len(sealed)}, {}, keys, no_tally


class UsualTokens(NamedTuple):
    """UsualTokens of texts without an end that are to be opened, and the session that all name."""

    spots: UsualSpots
    tokens: list[Parts]
    key_id: KeyId

    def changed(self, body: bytes, keys: Keys) -> Changed | Literal[False] | None:
        """Return the body with its tokens opened; None if one does not open.

        False if none was tried: a head is not that of its context, or the session must not open.
        As many are tried in all, whatever the cause.
        """
        places, contexts = self.spots
        of_one = contexts[0].scope, self.key_id
        session = keys.opening.get(of_one)
        if session is None or keys.refusals.get(of_one) is not None:
            return False
        if not session.wrote([head for head, _, _ in self.tokens], contexts):
            return False
        texts = session.open_all(self.tokens)
        new = None if texts is None else put_texts(body, places, texts)
        count = len(self.tokens)
        if new is None:
            return None
        return new, {"opened": count}, {session: count}, keys, self.tally

    def tally(self) -> dict[tuple[str, Outcome], int]:
        """Return how many values of each field were opened."""
        return Counter((one.field or one.kind or "", "opened") for one in self.spots.contexts)


def texts_in(body: bytes, spots: UsualSpots) -> UsualTexts | None:
    """Return the texts that are to be sealed; None where one is no usual one."""
    texts = texts_at(body, spots.places) if _are_short(body, spots.places) else None
    return None if texts is None else UsualTexts(spots, texts)


def tokens_in(body: bytes, spots: UsualSpots) -> UsualTokens | None:
    """Return the tokens that are to be opened; None where one is no usual one."""
    found = tokens_at(body, spots.places) if _are_short(body, spots.places) else [None]
    if None in found:
        return None
    usual = cast("list[Parts]", found)
    try:
        headers = [decode_header(head) for head, _, _ in usual]
    except OpenFailed:
        return None
    kinds = {(one.key_id, one.cty, one.exp) for one in headers}
    key_id, cty, exp = kinds.pop()
    return UsualTokens(spots, usual, key_id) if not kinds and cty is None is exp else None


def _are_short(body: bytes, places: list[int]) -> bool:
    """Return whether no string is so long that base64 by vector instructions is faster."""
    if len(body) < tokens.LARGE:  # as nearly always
        return True
    lengths = (end - start for start, end in zip(places[::2], places[1::2], strict=True))
    return len(body) <= USUAL_BYTES and max(lengths, default=0) < tokens.LARGE
