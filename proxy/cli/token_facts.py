"""What a token says about itself, read without any key, and what is wrong with a bad one."""

from __future__ import annotations

import binascii
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ..core.crypto import base64url, token
from ..core.crypto.aead import TAG_BYTES
from ..core.crypto.session_cipher import EXP_SKEW_SECONDS
from ..core.crypto.token import KeyId, Token
from ..core.errors import OpenFailed

_FIXED: Final = {"typ": "sy1", "alg": "dir", "enc": "A256GCM"}
_OPTIONAL: Final = ("cty", "exp")
_COMMITMENT_BYTES_OF_PACKAGES: Final = 32

_REASONS: Final = {
    "base64-not-canonical": "a part is not canonical base64url without padding",
    "malformed-token-header": "the head is not spelled as Sealyard spells it",
    "malformed-token": "the parts are not those of a whole token",
    "not-a-token": "it does not begin as Sealyard's tokens do",
}


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """Everything that anybody can read off a well-formed token."""

    form: str
    key: str
    kek_id: str | None
    kek_number: int | None
    session: str
    created: str
    cty: str | None
    exp: str | None
    expired: bool
    binding: str
    token_characters: int
    plaintext_bytes: int

    def document(self) -> dict[str, Any]:
        """Return the facts for JSON."""
        return {"valid": True, **asdict(self)}


def facts(text: bytes, now: float) -> TokenFacts:
    """Return what a token says; raise OpenFailed unless it is well formed. Nothing is decrypted."""
    found = token.decode(text)
    key_id = found.key_id
    return TokenFacts(
        form=found.form,
        key=_kind_of_key(key_id),
        kek_id=key_id.kek_id,
        kek_number=key_id.kek_number,
        session=base64url.encode(key_id.sid).decode(),
        created=_utc(key_id.created),
        cty=found.cty,
        exp=None if found.exp is None else _utc(found.exp),
        expired=found.exp is not None and now > found.exp + EXP_SKEW_SECONDS,
        binding=_binding(found),
        token_characters=len(text),
        plaintext_bytes=len(found.sealed) - TAG_BYTES,
    )


def complaint(text: bytes, error: OpenFailed) -> str:
    """Return in one sentence what is wrong with a text that is not a token."""
    if not text:
        return "there is nothing"
    if text != text.strip():
        return "white space stands around it"
    if token.is_cut(text):
        short = text.startswith(token.SHORT_PREFIX)
        cut = short or token.CUT_PATTERN.fullmatch(text) is not None
        return "its end is missing: it was cut" if cut else _REASONS["malformed-token"]
    if error.reason == "base64-not-canonical":
        return _REASONS[error.reason]
    if text.startswith(b"eyJ") and text.count(b".") >= 2:  # noqa: PLR2004 - the parts of a JWS or JWE
        return _header_complaint(text.partition(b".")[0])
    return _REASONS.get(error.reason, error.reason)


def _header_complaint(head: bytes) -> str:
    """Name the first member that differs from Sealyard's header."""
    # What begins with eyJ begins with `{"`, so it is an object if it is JSON at all.
    try:
        raw = binascii.a2b_base64(head.translate(bytes.maketrans(b"-_", b"+/")) + b"==")
        members = json.loads(raw)
    except (ValueError, RecursionError):
        return "its header is not base64url of JSON"
    for name, wanted in _FIXED.items():
        if members.get(name) != wanted:
            return f'its header says {name}={json.dumps(members.get(name))}, not "{wanted}"'
    for name in members:
        if name not in {*_FIXED, *_OPTIONAL, "kid", "ctx"}:
            return f"its header has the member {json.dumps(name)}, which is not allowed"
    return "a member of its header is malformed, missing, repeated, or out of order"


def _kind_of_key(key_id: KeyId) -> str:
    durable = key_id.kek_id is not None or key_id.kek_number is not None
    return "durable" if durable else "ephemeral"


def _binding(found: Token) -> str:
    if found.commitment is None:
        return "in the tag"
    packaged = len(found.commitment) == _COMMITMENT_BYTES_OF_PACKAGES
    return "ctx, for a key package" if packaged else "ctx"


def _utc(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # twelve digits reach beyond the year 9999
        return f"{seconds} s after 1970"
