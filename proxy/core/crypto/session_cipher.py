"""A session: one session key that seals and opens values for exact contexts."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn, TypeVar

from ..errors import OpenFailed, ValueTooLong
from ..leaves import token_text, tokens
from ..policy import EXPIRY_SKEW_SECONDS
from . import derivation, token
from .aead import Aead, Parts
from .context import Context, Scope
from .derivation import COMMITMENT_BYTES, PACKAGE_COMMITMENT_BYTES
from .secret import SessionKey
from .token import Form, Header, KeyId, Token

_K = TypeVar("_K")
_V = TypeVar("_V")

_CACHED_CONTEXTS: Final = 16
# Neither a header's text nor a CONTEXT continues with this byte.
_OF_NO_TOKEN: Final = b"\x00"


class Session:
    """Seals and opens under one session key.

    For each context it keeps the encoded CONTEXT, its commitment and the protected header, so a
    message costs one look-up, one IV, one encryption and two base64 calls. `kek_id` and
    `kek_number` name the same KEK in the two wire forms; both are None for ephemeral keys.
    `created` is when the session began, in seconds since 1970.
    """

    __slots__ = (
        "_aead",
        "_commitment_bytes",
        "_contexts",
        "_headers",
        "_kctx",
        "_recent",
        "_recent_headers",
        "_recent_heads",
        "created",
        "kek_id",
        "kek_number",
        "scope",
        "sid",
        "under",
    )

    def __init__(  # noqa: PLR0913 - what makes a session, each by name
        self,
        key: SessionKey,
        *,
        sid: bytes,
        scope: Scope,
        kek_id: str | None = None,
        kek_number: int | None = None,
        packaged: bool = False,
        under: str | None = None,
    ) -> None:
        """Prepare cipher and commitment key of `key`; the key itself is not kept.

        `under` is the KEK that wraps the key of an ephemeral session: no token names it.

        A key that came in a key package (`packaged`) has tokens that commit to it with 32 bytes,
        and none in the short form, whose 16 are too few where its holder may have made the key.
        """
        self.sid = sid
        self.created = int.from_bytes(sid[:4])
        self.scope = scope
        self.kek_id = kek_id
        self.under = kek_id or under
        self.kek_number = kek_number
        self._aead = Aead(key)
        self._kctx = derivation.commitment_key(key)
        self._commitment_bytes = PACKAGE_COMMITMENT_BYTES if packaged else COMMITMENT_BYTES
        self._contexts: dict[Context, tuple[bytes, bytes]] = {}
        self._headers: dict[tuple[Context, str | None, int | None], bytes] = {}
        # By the ids of contexts, which are held here: what is prepared for names uses the same
        # objects again, and hashing one takes as long as the look-up of all the rest.
        self._recent: dict[int, tuple[Context, bytes, bytes]] = {}
        self._recent_headers: dict[int, tuple[Context, str | None, int | None, bytes]] = {}
        self._recent_heads: dict[int, tuple[tuple[Context, ...], tuple[bytes, ...]]] = {}

    def __repr__(self) -> str:
        """Show the class, nothing of the key."""
        return "<Session hidden>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied."""
        message = "a Session cannot be pickled or copied"
        raise TypeError(message)

    def seal(  # noqa: PLR0913 - each names one independent choice of the caller
        self,
        plaintext: bytes,
        context: Context,
        *,
        cty: str | None = None,
        form: Form = "jwe",
        exp: int | None = None,
        max_chars: int | None = None,
        name: str = "",
    ) -> bytes:
        """Return the token of `plaintext` for `context`, which opens until `exp` if that is given.

        Raises ValueTooLong, naming `name` and the bytes that would fit, above `max_chars`.
        """
        if form == "short":
            if exp is not None:
                raise ValueError("the short form has no place for an end")
            return self._seal_short(
                plaintext, context, json=cty is not None, limit=(max_chars, name)
            )
        if form == "equal":
            raise ValueError("the equal form has keys of its own")
        head = self._header(context, cty, exp)
        if form == "base64":
            return self._seal_base64(plaintext, head, max_chars, name)
        if max_chars is not None and token.jwe_length(head, len(plaintext)) > max_chars:
            raise too_long(name, token.jwe_capacity(head, max_chars), max_chars)
        iv, sealed = self._aead.seal(plaintext, head)
        if len(sealed) < tokens.LARGE:
            return token_text(head, iv, sealed)
        return tokens.token_text(head, iv, sealed)

    def heads(self, contexts: tuple[Context, ...]) -> tuple[bytes, ...]:
        """Return the heads of tokens of texts without an end, one for each context.

        They are kept for the same tuple, so that one look-up does for a message.
        """
        known = self._recent_heads.get(id(contexts))
        if known is None:
            known = contexts, tuple([self._header(one, None, None) for one in contexts])
            _remember(self._recent_heads, id(contexts), known)
        return known[1]

    def seal_all(self, texts: Sequence[bytes], heads: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
        """Return the IVs and the ciphertexts of texts, each under its own head of `heads`."""
        return self._aead.seal_all(texts, heads)

    def wrote(self, heads: Sequence[bytes], contexts: tuple[Context, ...]) -> bool:
        """Return whether each head is that of its token of a text, without an end, for its context.

        A head has one spelling, and says session, context, kind and end.
        """
        return hmac.compare_digest(b".".join(heads), b".".join(self.heads(contexts)))

    def open_all(self, sealed: Sequence[Parts]) -> list[bytes] | None:
        """Return the texts of tokens whose heads this session `wrote`; None unless all open."""
        return self._aead.open_all(sealed)

    def open(
        self, sealed: Token, context: Context, now: float, *, refusal: str | None = None
    ) -> bytes:
        """Return the plaintext of a token of this session; raise OpenFailed whatever the cause.

        `now` is in seconds since 1970. `refusal` says why the token must not open, if that is
        settled already. The commitment is compared before anything is decrypted. Whatever the
        cause, as much work is done: a refused token is opened under additional data that no token
        has, so that its tag does not verify, as that of a forged one.
        """
        encoded, commitment = self._context(context)
        if sealed.form == "short":
            commitment = self._short_commitment(sealed.iv, encoded)
            if self._packaged:
                refusal = refusal or "short-form-of-package-key"
        elif sealed.form == "equal":
            refusal = refusal or "malformed-token-header"
        refusal = _refused(sealed, commitment, now, refusal)
        aad = sealed.aad(encoded)
        tried = (aad, aad + _OF_NO_TOKEN)[refusal is not None]
        try:
            plaintext = self._aead.open(sealed.iv, sealed.sealed, tried)
        except OpenFailed:
            raise OpenFailed(refusal or "bad-tag") from None
        if refusal is not None:
            raise OpenFailed(refusal)
        return plaintext

    def seal_each(
        self, plaintexts: Iterable[bytes], context: Context, cty: str | None
    ) -> list[bytes]:
        """Return the tokens of texts for one context, as `seal` makes each of them."""
        head = self._header(context, cty, None)
        return [
            (token_text if len(sealed) < tokens.LARGE else tokens.token_text)(head, iv, sealed)
            for iv, sealed in self._aead.seal_each(plaintexts, head)
        ]

    def open_each(
        self, sealed: Sequence[Parts], context: Context, now: float, refusal: str | None
    ) -> tuple[Sequence[bytes | None], str]:
        """Return the plaintexts of JWE-form tokens with one head, and why others do not open.

        Those are None. As much is done as by `open` for each, whatever the cause. Raises OpenFailed
        for a head that is not encoded like ours, before anything is tried.
        """
        head, recent = sealed[0][0], self._recent.get(id(context))
        commitment = self._context(context)[1] if recent is None else recent[2]
        refusal = _refused(token.decode_header(head), commitment, now, refusal)
        aad = head if refusal is None else head + _OF_NO_TOKEN
        plaintexts = self._aead.open_each(sealed, aad)
        if refusal is not None:
            return [None] * len(plaintexts), refusal
        return plaintexts, "bad-tag"

    def _seal_short(
        self, plaintext: bytes, context: Context, *, json: bool, limit: tuple[int | None, str]
    ) -> bytes:
        if self._packaged:
            raise ValueError("a key from a key package has no tokens in the short form")
        max_chars, name = limit
        if max_chars is not None and token.short_length(len(plaintext)) > max_chars:
            raise too_long(name, token.short_capacity(max_chars), max_chars)
        key_id = token.short_head(KeyId(self.sid, kek_number=self.kek_number), json=json)
        encoded, _ = self._context(context)
        before = token.SHORT_PREFIX + key_id
        head, sealed = self._aead.seal_covering_iv(
            plaintext, lambda iv: before + iv + self._short_commitment(iv, encoded), encoded
        )
        return token.encode_short(head[len(token.SHORT_PREFIX) :], sealed)

    def _short_commitment(self, iv: bytes, encoded: bytes) -> bytes:
        """Return the commitment of one token: of one context, no two are alike."""
        return derivation.commitment(self._kctx, iv + encoded, COMMITMENT_BYTES)

    def _seal_base64(
        self, plaintext: bytes, header: bytes, max_chars: int | None, name: str
    ) -> bytes:
        if max_chars is not None and token.base64_length(header, len(plaintext)) > max_chars:
            raise too_long(name, token.base64_capacity(header, max_chars), max_chars)
        head = token.base64_head(header)
        iv, sealed = self._aead.seal(plaintext, head)
        return token.to_base64(b"".join((head, iv, sealed)))

    @property
    def _packaged(self) -> bool:
        return self._commitment_bytes == PACKAGE_COMMITMENT_BYTES

    def _context(self, context: Context) -> tuple[bytes, bytes]:
        recent = self._recent.get(id(context))
        if recent is not None:
            return recent[1:]
        known = self._contexts.get(context)
        if known is None:
            encoded = context.encode()
            known = encoded, derivation.commitment(self._kctx, encoded, self._commitment_bytes)
            _remember(self._contexts, context, known)
        _remember(self._recent, id(context), (context, *known))
        return known

    def _header(self, context: Context, cty: str | None, exp: int | None) -> bytes:
        recent = self._recent_headers.get(id(context))
        if recent is not None and cty == recent[1] and exp == recent[2]:
            return recent[3]
        known = self._headers.get((context, cty, exp))
        if known is None:
            known = self._new_header(context, cty, exp)
            _remember(self._headers, (context, cty, exp), known)
        _remember(self._recent_headers, id(context), (context, cty, exp, known))
        return known

    def _new_header(self, context: Context, cty: str | None, exp: int | None) -> bytes:
        key_id = KeyId(self.sid, kek_id=self.kek_id)
        return token.encode_header(key_id, self._context(context)[1], cty, exp)


def _refused(
    sealed: Token | Header, commitment: bytes, now: float, refusal: str | None
) -> str | None:
    """Return why a token must not open, if that is settled before it is tried."""
    if not hmac.compare_digest(sealed.commitment, commitment):
        refusal = refusal or "wrong-context"
    if sealed.exp is not None and now > sealed.exp + EXPIRY_SKEW_SECONDS:
        refusal = refusal or "expired-token"
    return refusal


def _remember(cache: dict[_K, _V], key: _K, value: _V) -> None:
    # Clients can choose contexts (message ids): start afresh rather than grow without limit.
    if len(cache) >= _CACHED_CONTEXTS:
        cache.clear()
    cache[key] = value


def too_long(name: str, capacity: int, max_chars: int) -> ValueTooLong:
    """Return the error for a value whose token is too long: how many bytes would fit."""
    return ValueTooLong(
        "value-too-long",
        detail=f"{name}: at most {capacity} bytes of UTF-8 fit into {max_chars} sealed characters.",
    )
