"""Strings of JSON that become tokens, or tokens that become strings, by one call for each step.

This is how most values go. What is of another kind, or under another session, is treated row by
row (`carry_out`), and what does not open is planned, which tells why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from operator import sub
from typing import Literal, NamedTuple

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


class UsualTexts(NamedTuple):
    """Texts that are to be sealed.

    `places` are where they lie in a body, start and end with their quotes; `contexts` what each is
    bound to.
    """

    places: list[int]
    contexts: tuple[Context, ...]
    texts: list[bytes]

    def changed(self, body: bytes, keys: Keys) -> Changed:
        """Return the body with its texts sealed; their places are apart."""
        places, contexts, texts = self
        session = keys.sealing[contexts[0].scope]
        heads = session.heads(contexts)
        ivs, sealed = session.seal_all(texts, heads)
        new = put_tokens(body, places, [*heads], ivs, sealed)
        assert new is not None  # noqa: S101 - the finder found them apart
        return new, {"sealed": len(sealed)}, {}, keys, no_tally


class UsualTokens(NamedTuple):
    """Tokens of texts without an end that are to be opened, and the session that all name.

    `places` and `contexts` are as of UsualTexts.
    """

    places: list[int]
    contexts: tuple[Context, ...]
    tokens: list[Parts]
    key_id: KeyId

    def changed(self, body: bytes, keys: Keys) -> Changed | Literal[False] | None:
        """Return the body with its tokens opened; None if one does not open.

        False if none was tried: a head is not that of its context, or the session must not open.
        As many are tried in all, whatever the cause.
        """
        places, contexts, sealed, key_id = self
        of_one = contexts[0].scope, key_id
        session = keys.opening.get(of_one)
        if session is None or keys.refusals.get(of_one) is not None:
            return False
        if not session.wrote([one[0] for one in sealed], contexts):
            return False
        texts = session.open_all(sealed)
        new = None if texts is None else put_texts(body, places, texts)
        if new is None:
            return None
        count = len(sealed)
        return new, {"opened": count}, {session: count}, keys, self.tally

    def tally(self) -> dict[tuple[str, Outcome], int]:
        """Return how many values of each field were opened."""
        return Counter((one.field or one.kind or "", "opened") for one in self.contexts)


def texts_in(body: bytes, places: list[int], contexts: tuple[Context, ...]) -> UsualTexts | None:
    """Return the texts that are to be sealed; None where one is no usual one."""
    if len(body) >= tokens.LARGE and not _are_short(body, places):
        return None
    texts = texts_at(body, places)
    return None if texts is None else UsualTexts(places, contexts, texts)


def tokens_in(body: bytes, places: list[int], contexts: tuple[Context, ...]) -> UsualTokens | None:
    """Return the tokens that are to be opened; None where one is no usual one."""
    if len(body) >= tokens.LARGE and not _are_short(body, places):
        return None
    found = tokens_at(body, places)
    if None in found:
        return None
    usual: list[Parts] = found  # type: ignore[assignment]  # no None
    try:
        headers = map(decode_header, {one[0] for one in usual})
        kinds = {(key_id, cty, exp) for key_id, _, cty, exp in headers}
    except OpenFailed:
        return None
    key_id, cty, exp = kinds.pop()
    return None if kinds or cty or exp is not None else UsualTokens(places, contexts, usual, key_id)


def _are_short(body: bytes, places: list[int]) -> bool:
    """Return whether no string is so long that base64 by vector instructions is faster."""
    lengths = map(sub, places[1::2], places[::2])
    return len(body) <= USUAL_BYTES and max(lengths, default=0) < tokens.LARGE
