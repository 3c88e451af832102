"""Tokens: the four wire forms of one sealed value, version `sy1`.

Standard form: JWE Compact (RFC 7516) with `dir` and `A256GCM`; the protected header has exactly
one spelling. Short form, for narrow columns: `sy1.` and one base64url text. Base64 form, for values
that a backend decodes: base64 (RFC 4648 section 4) of a mark, the header, IV, ciphertext and tag.
Equal form, for values that a backend compares: `sy1.` and base64url, the same for the same value.
Whatever deviates in one character is refused before a key is touched. Behind a token of each form
may stand tags, by which a backend searches: `TOKEN~tag~tag~`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple, get_args

import pybase64

from ..errors import OpenFailed
from ..leaves import token_parts, tokens
from . import base64url
from .aead import IV_BYTES, TAG_BYTES, Parts
from .derivation import COMMITMENT_BYTES, SID_BYTES

Form = Literal["jwe", "short", "base64", "equal"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

JWE_PREFIX: Final = tokens.JWE_PREFIX
SHORT_PREFIX: Final = tokens.SHORT_PREFIX
BASE64_MARK: Final = b"\x89SY1B64\r\n"
"""What a token in base64 form begins with, decoded: nine bytes, so that they are twelve characters
of base64. No text begins so, nor does a file of a known type."""
BASE64_PREFIX: Final = tokens.BASE64_PREFIX
PREFIXES: Final = tokens.PREFIXES
CTY_JSON: Final = "json"
CTY_BYTES: Final = 127

_CTY_CHARS: Final = rb"[\x20\x21\x23-\x5b\x5d-\x7e]"
_HEADER: Final = re.compile(
    rb'\{"typ":"sy1","alg":"dir","enc":"A256GCM"'
    rb',"kid":"(?:([A-Za-z0-9_-]{1,32})\.)?([A-Za-z0-9_-]{16})"'
    rb'(?:,"cty":"(%s{1,127})")?'
    rb'(?:,"exp":(0|[1-9][0-9]{0,11}))?'
    rb',"ctx":"([A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{43})"\}' % _CTY_CHARS
)
KEK_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
ASSUMED_KEK_ID: Final = "k0000"
"""As long as the ids of new KEKs, to compute how long a token would be."""

_FLAG_EPHEMERAL: Final = 1
_FLAG_JSON: Final = 2
_FLAG_EQUAL: Final = 8
# Reserved and refused: 4, for padding, and the rest.
_IV_AT: Final = 3 + SID_BYTES
_COMMITMENT_AT: Final = _IV_AT + IV_BYTES
_SHORT_HEAD: Final = _COMMITMENT_AT + COMMITMENT_BYTES
# Text that people write after `sy1.` must not pass for a truncated token: no session began before
# 2020 or after 2100.
_SHORT_BEGINNING: Final = 12
_EQUAL_HEAD: Final = 3
SYNTHETIC_BYTES: Final = 16
"""The IV of the equal form, which is its tag as well."""
_USUAL_GENERATIONS: Final = range(1, 1024)
_USUAL_TIMES: Final = range(1_577_836_800, 4_102_444_800)
_JWE_REST: Final = len("..") + 16 + len(".") + len(".") + 22


class KeyId(NamedTuple):
    """Which session key: the KEK by id (JWE form) or number (short form), and the session id.

    A durable key has one of `kek_id` and `kek_number`; an ephemeral key has neither. The key of the
    equal form has no session id: its `kek_number` is the generation of the index secret.
    """

    sid: bytes
    kek_id: str | None = None
    kek_number: int | None = None

    @property
    def created(self) -> int:
        """When the session began, in seconds since 1970."""
        return int.from_bytes(self.sid[:4])

    @property
    def key(self) -> str:
        """The KEK that it names, or the generation of the index; empty for an ephemeral key."""
        if not self.sid:
            return f"index {self.kek_number}"
        if self.kek_id is not None:
            return self.kek_id
        return "" if self.kek_number is None else f"number {self.kek_number}"


class Header(NamedTuple):
    """What the protected header of a JWE-form token says."""

    key_id: KeyId
    commitment: bytes
    cty: str | None
    exp: int | None


@dataclass(slots=True)
class Token:
    """One sealed value, decoded and not yet opened.

    `head` is what the tag covers: the protected header's text for JWE, the bytes up to the IV for
    the base64 form, those before the ciphertext for the short form, whose tag covers CONTEXT too.
    The commitment of the short form is one to the IV and CONTEXT, that of the others to CONTEXT;
    the IV of the equal form is one, so it has no other.
    """

    form: Form
    key_id: KeyId
    head: bytes
    iv: bytes
    sealed: bytes
    cty: str | None
    exp: int | None
    commitment: bytes

    def aad(self, context: bytes) -> bytes:
        """Return the additional data under which the value was sealed for CONTEXT."""
        return self.head + context if self.form == "short" else self.head

    def as_text(self, plaintext: bytes) -> bytes:
        """Return what was sealed as the text that the token replaced."""
        return to_base64(plaintext) if self.form == "base64" else plaintext


def has_prefix(text: bytes) -> bool:
    """Return whether a value begins like a token, and so can never pass for plaintext."""
    return text.startswith(PREFIXES)


def is_cut(text: bytes) -> bool:
    """Return whether a value begins like a token and is not a complete one.

    A truncated token in the short form may look complete if the rest happens to be base64url.
    """
    if text.startswith(JWE_PREFIX):
        return not _has_jwe_form(text)
    if tokens.SHORT_CUT_PATTERN.fullmatch(text) is None or not _begins_short(text):
        return False
    try:
        _decode_short(text)
    except OpenFailed:
        return True
    return False


def _begins_short(text: bytes) -> bool:
    """Return whether the text after `sy1.` can be the beginning of a token."""
    data = base64url.decode(text[len(SHORT_PREFIX) :][:_SHORT_BEGINNING])
    flags, number, time = data[0], int.from_bytes(data[1:3]), int.from_bytes(data[3:7])
    if flags & _FLAG_EQUAL:
        return not flags & ~(_FLAG_EQUAL | _FLAG_JSON) and number in _USUAL_GENERATIONS
    if flags & ~(_FLAG_EPHEMERAL | _FLAG_JSON) or time not in _USUAL_TIMES:
        return False
    return bool(number) != bool(flags & _FLAG_EPHEMERAL)


def without_tags(text: bytes) -> bytes:
    """Return a token without the tags behind it; what has none of their form stays as it is."""
    at = text.find(b"~") if text.endswith(b"~") else -1
    return text[:at] if at > 0 and tokens.TAGS_PATTERN.fullmatch(text, at) else text


def decode(text: bytes) -> Token:
    """Return the token that `text` is; raise OpenFailed for anything but an exact token.

    Tags may stand behind it: they tell nothing of what it holds.
    """
    text = without_tags(text)
    if not text.startswith(JWE_PREFIX):
        if text.startswith(SHORT_PREFIX):
            return _decode_short(text)
        if text.startswith(BASE64_PREFIX):
            return decode_bytes(from_base64(text))
        raise OpenFailed("not-a-token")
    read = token_parts if len(text) < tokens.LARGE else tokens.token_parts
    parts = read(text)
    if parts is None:
        raise _refusal(text)
    try:
        key_id, commitment, cty, exp = decode_header(parts[0])
    except OpenFailed:
        raise _refusal(text) from None
    return Token("jwe", key_id, *parts, cty, exp, commitment)


def decode_bytes(data: bytes) -> Token:
    """Return the token in base64 form that a backend has decoded to these bytes.

    Raises OpenFailed for anything but an exact one.
    """
    if not data.startswith(BASE64_MARK):
        raise OpenFailed("not-a-token")
    begin = len(BASE64_MARK) + 2
    end = begin + int.from_bytes(data[begin - 2 : begin])
    if len(data) < end + IV_BYTES + TAG_BYTES:
        raise OpenFailed("malformed-token")
    key_id, commitment, cty, exp = decode_header(data[begin:end])
    if cty is not None:
        raise OpenFailed("malformed-token-header")
    iv_end = end + IV_BYTES
    iv, sealed = data[end:iv_end], data[iv_end:]
    return Token("base64", key_id, data[:end], iv, sealed, None, exp, commitment)


def decode_stored(data: bytes) -> Token:
    """Return the token that a backend holds: its text, or the bytes of one in base64 form.

    Raises OpenFailed as `decode` does.
    """
    return decode_bytes(data) if data.startswith(BASE64_MARK) else decode(data)


def decoded_bytes(data: bytes) -> Token | OpenFailed:
    """Return what `decode_bytes` does, or the error that decoding met."""
    try:
        return decode_bytes(data)
    except OpenFailed as error:
        return error.with_traceback(None)


def from_base64(text: bytes) -> bytes:
    """Return the bytes of a canonical text (RFC 4648 section 4, with padding), else OpenFailed."""
    try:
        data = pybase64.b64decode(text, validate=True)
    except ValueError:
        raise OpenFailed("base64-not-canonical") from None
    if to_base64(data) != text:
        raise OpenFailed("base64-not-canonical")
    return data


def to_base64(data: bytes) -> bytes:
    """Return the canonical text of bytes (RFC 4648 section 4, with padding)."""
    return pybase64.b64encode(data)


def base64_head(header: bytes) -> bytes:
    """Return the bytes of a token in base64 form up to its IV; `header` is as in JWE form."""
    return BASE64_MARK + len(header).to_bytes(2) + header


def base64_length(header: bytes, size: int) -> int:
    """Return the characters of a base64-form token of `size` plaintext bytes."""
    return -(-(len(base64_head(header)) + IV_BYTES + size + TAG_BYTES) // 3) * 4


def base64_capacity(header: bytes, characters: int) -> int:
    """Return how many plaintext bytes fit into a base64-form token of that many characters."""
    return max(characters // 4 * 3 - len(base64_head(header)) - IV_BYTES - TAG_BYTES, 0)


def _has_jwe_form(text: bytes) -> bool:
    # The dot is found much faster, where there is none in a long text.
    return b"." in text and tokens.JWE_PATTERN.fullmatch(text) is not None


def _refusal(text: bytes) -> OpenFailed:
    """Return why a text that begins like a token in JWE form is none."""
    if not _has_jwe_form(text):
        return OpenFailed("malformed-token")
    try:
        decode_header(text.partition(b".")[0])
    except OpenFailed as error:
        return error.with_traceback(None)
    return OpenFailed("base64-not-canonical")


def decoded_token(text: bytes) -> Token | OpenFailed:
    """Return the token that a text is, or the error that decoding met."""
    try:
        return decode(text)
    except OpenFailed as error:
        # Its traceback would keep every stack frame up to here alive, and a list has thousands.
        return error.with_traceback(None)


def token_or_none(text: bytes) -> Token | None:
    """Return the token that a text is, if it is one."""
    if not has_prefix(text):
        return None
    token = decoded_token(text)
    return token if isinstance(token, Token) else None


@lru_cache(maxsize=4096)
def _key_id(sid: bytes, kek_id: bytes | None) -> KeyId:
    """Return one object for all headers that name the same id, so that comparing it is fast."""
    return KeyId(base64url.decode(sid), kek_id=kek_id.decode() if kek_id else None)


@lru_cache(maxsize=4096)
def decode_header(head: bytes) -> Header:
    """Return what a protected header says; raise OpenFailed unless it is encoded like ours."""
    match = _HEADER.fullmatch(base64url.decode(head))
    if match is None:
        raise OpenFailed("malformed-token-header")
    kek_id, sid, cty, exp, commitment = match.groups()
    return Header(
        key_id=_key_id(sid, kek_id),
        commitment=base64url.decode(commitment),
        cty=cty.decode() if cty else None,
        exp=int(exp) if exp else None,
    )


def type_of(token: Token | Parts) -> str | None:
    """Return the content type that a token names, None where it names none."""
    return token.cty if isinstance(token, Token) else decode_header(token[0]).cty


def encode_header(
    key_id: KeyId, commitment: bytes, cty: str | None = None, exp: int | None = None
) -> bytes:
    """Return the protected header's text: members in their one order, no spaces."""
    kid = base64url.encode(key_id.sid).decode()
    if key_id.kek_id is not None:
        kid = f"{key_id.kek_id}.{kid}"
    header = '{"typ":"sy1","alg":"dir","enc":"A256GCM","kid":"' + kid + '"'
    if cty is not None:
        header += f',"cty":"{cty}"'
    if exp is not None:
        header += f',"exp":{exp}'
    header += ',"ctx":"' + base64url.encode(commitment).decode() + '"}'
    return base64url.encode(header.encode("ascii"))


def short_head(key_id: KeyId, *, json: bool) -> bytes:
    """Return the first bytes of a short-form token, up to the IV: flags, KEK number, session id."""
    flags = (_FLAG_JSON if json else 0) | (_FLAG_EPHEMERAL if key_id.kek_number is None else 0)
    return bytes((flags,)) + (key_id.kek_number or 0).to_bytes(2) + key_id.sid


def encode_short(head: bytes, sealed: bytes) -> bytes:
    """Return the short-form text of a sealed value; `head` ends with IV and commitment."""
    return SHORT_PREFIX + base64url.encode(head + sealed)


def equal_head(generation: int, *, json: bool) -> bytes:
    """Return what an equal-form token begins with: the prefix, flags and generation."""
    flags = _FLAG_EQUAL | (_FLAG_JSON if json else 0)
    return SHORT_PREFIX + bytes((flags,)) + generation.to_bytes(2)


def equal_length(size: int) -> int:
    """Return the characters of an equal-form token of `size` plaintext bytes."""
    return len(SHORT_PREFIX) + base64url.encoded_length(_EQUAL_HEAD + SYNTHETIC_BYTES + size)


def equal_capacity(characters: int) -> int:
    """Return how many plaintext bytes fit into an equal-form token of that many characters."""
    fits = base64url.decoded_capacity(characters - len(SHORT_PREFIX))
    return max(fits - _EQUAL_HEAD - SYNTHETIC_BYTES, 0)


def jwe_length(head: bytes, size: int) -> int:
    """Return the characters of a JWE-form token of `size` plaintext bytes."""
    return len(head) + _JWE_REST + base64url.encoded_length(size)


def jwe_capacity(head: bytes, characters: int) -> int:
    """Return how many plaintext bytes fit into a JWE-form token of that many characters."""
    return base64url.decoded_capacity(characters - len(head) - _JWE_REST)


def short_length(size: int) -> int:
    """Return the characters of a short-form token of `size` plaintext bytes."""
    return len(SHORT_PREFIX) + base64url.encoded_length(_SHORT_HEAD + size + TAG_BYTES)


def short_capacity(characters: int) -> int:
    """Return how many plaintext bytes fit into a short-form token of that many characters."""
    return max(
        base64url.decoded_capacity(characters - len(SHORT_PREFIX)) - _SHORT_HEAD - TAG_BYTES, 0
    )


def _decode_short(text: bytes) -> Token:
    data = base64url.decode(text[len(SHORT_PREFIX) :])
    if data and data[0] & _FLAG_EQUAL:
        return _decode_equal(data)
    if len(data) < _SHORT_HEAD + TAG_BYTES:
        raise OpenFailed("malformed-token")
    flags, number = data[0], int.from_bytes(data[1:3])
    ephemeral = bool(flags & _FLAG_EPHEMERAL)
    if flags & ~(_FLAG_EPHEMERAL | _FLAG_JSON) or (ephemeral and number):
        raise OpenFailed("malformed-token-header")
    return Token(
        form="short",
        key_id=KeyId(data[3:_IV_AT], kek_number=None if ephemeral else number),
        head=SHORT_PREFIX + data[:_SHORT_HEAD],
        iv=data[_IV_AT:_COMMITMENT_AT],
        sealed=data[_SHORT_HEAD:],
        cty=CTY_JSON if flags & _FLAG_JSON else None,
        exp=None,
        commitment=data[_COMMITMENT_AT:_SHORT_HEAD],
    )


def _decode_equal(data: bytes) -> Token:
    flags, generation = data[0], int.from_bytes(data[1:_EQUAL_HEAD])
    end = _EQUAL_HEAD + SYNTHETIC_BYTES
    if len(data) < end:
        raise OpenFailed("malformed-token")
    if flags & ~(_FLAG_EQUAL | _FLAG_JSON) or not generation:
        raise OpenFailed("malformed-token-header")
    return Token(
        form="equal",
        key_id=KeyId(b"", kek_number=generation),
        head=SHORT_PREFIX + data[:_EQUAL_HEAD],
        iv=data[_EQUAL_HEAD:end],
        sealed=data[end:],
        cty=CTY_JSON if flags & _FLAG_JSON else None,
        exp=None,
        commitment=b"",
    )
