"""Sealed streams: the wire form of a body that is large or of unknown length, version 1.

    "SYST" 01 ‖ u16be length of J ‖ J ‖ salt:24 ‖ commitment:32 ‖ chunks

J is a token in the standard form, of kind `stream`, that seals the stream key (32 bytes, fresh for
every stream) and the media type of the body. C2SP chunked encryption
(https://c2sp.org/chunked-encryption) as Cobblestone-256 follows: HKDF-Expand with SHA-512,
AES-256-GCM, and chunks of 16 KiB, of which only the last is shorter and may be empty. Its context
is everything before the salt, then CONTEXT. A stream that was truncated, reordered, repeated,
extended or mixed with another does not open.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import AlreadyFinalized, InvalidTag

from ..errors import OpenFailed
from ..http.message import parse_media_type
from . import token
from .aead import TAG_BYTES
from .context import Context
from .secret import KEY_BYTES, StreamKey
from .session_cipher import Session
from .token import CTY_BYTES, Token

MEDIA_TYPE: Final = "application/vnd.sealyard.stream"
MAGIC: Final = b"SYST\x01"
CTY_STREAM_KEY: Final = "stream-key"
CHUNK_BYTES: Final = 16_384

_LENGTH_BYTES: Final = 2
_J_AT: Final = len(MAGIC) + _LENGTH_BYTES
# The longest possible J has 506 characters; a reader buffers no more than twice that for it.
_J_BYTES: Final = 1024
HEAD_MAX: Final = _J_AT + _J_BYTES

_SALT_BYTES: Final = 24
_COMMITMENT_BYTES: Final = 32
_PREFIX_BYTES: Final = _SALT_BYTES + _COMMITMENT_BYTES
_SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES


class StreamHead(NamedTuple):
    """The beginning of a sealed stream, up to the end of J: its bytes, and J, not opened yet."""

    raw: bytes
    token: Token


class Stream(NamedTuple):
    """What J seals: the stream key, and the body's media type (empty if it has none)."""

    key: StreamKey
    media_type: str


class Sealer:
    """Seals one body piece by piece, in the memory of one chunk."""

    __slots__ = ("_encryptor",)

    def __init__(self, key: StreamKey, context: bytes) -> None:
        """Begin; `key` is for this body only."""
        self._encryptor = Cobblestone256Encryptor(key.reveal(), context)

    def update(self, plaintext: bytes) -> bytes:
        """Return the chunks that are full now, first of all salt and commitment; maybe nothing."""
        return self._encryptor.update(plaintext)

    def finish(self) -> bytes:
        """Return the last chunk, which shows a reader that the body is complete."""
        return self._encryptor.finalize()


class Opener:
    """Opens one body piece by piece: it returns a chunk only once its tag has verified.

    After a failure it returns nothing more. Only `finish` shows that the body was complete.
    """

    __slots__ = ("_decryptor",)

    def __init__(self, key: StreamKey, context: bytes) -> None:
        """Begin; `context` is the one under which the body was sealed."""
        self._decryptor = Cobblestone256Decryptor(key.reveal(), context)

    def update(self, sealed: bytes) -> bytes:
        """Return the plaintext of the chunks that are complete now; raise OpenFailed."""
        try:
            return self._decryptor.update(sealed)
        except (InvalidTag, AlreadyFinalized):
            raise OpenFailed("bad-frame") from None

    def finish(self) -> bytes:
        """Return the plaintext of the last chunk; raise OpenFailed if it is not the last."""
        try:
            return self._decryptor.finalize()
        except (InvalidTag, AlreadyFinalized):
            raise OpenFailed("bad-frame") from None


def begin(
    session: Session, context: Context, media_type: str, exp: int | None = None
) -> tuple[bytes, Sealer]:
    """Return the head of a new sealed stream, and the sealer of its body.

    `context` is of kind `stream`; `media_type` has at most 127 ASCII characters, or none. After
    `exp` (seconds since 1970) it no longer opens.
    """
    key = os.urandom(KEY_BYTES)
    sealed = session.seal(key + media_type.encode("ascii"), context, cty=CTY_STREAM_KEY, exp=exp)
    head = MAGIC + len(sealed).to_bytes(_LENGTH_BYTES) + sealed
    return head, Sealer(StreamKey(key), head + context.encode())


def read_head(data: bytes) -> StreamHead | None:
    """Return the head that `data` begins with, or None if that takes more bytes.

    Raises OpenFailed for what cannot be the beginning of a sealed stream, as early as possible.
    """
    if not MAGIC.startswith(data[: len(MAGIC)]):
        raise OpenFailed("not-a-frame")
    if len(data) < _J_AT:
        return None
    length = int.from_bytes(data[len(MAGIC) : _J_AT])
    if length > _J_BYTES:
        raise OpenFailed("malformed-frame")
    raw = data[: _J_AT + length]
    if len(raw) < _J_AT + length:
        return None
    sealed = token.decode(raw[_J_AT:])
    if sealed.form == "base64":
        raise OpenFailed("malformed-frame")
    if sealed.cty != CTY_STREAM_KEY:  # the short form has no `cty`
        raise OpenFailed("malformed-frame")
    return StreamHead(raw, sealed)


def read_stream(plaintext: bytes) -> Stream:
    """Return what an opened J contains; raise OpenFailed if it is not a stream key of ours."""
    named = plaintext[KEY_BYTES:]
    media = parse_media_type(named) if named else None
    if len(plaintext) < KEY_BYTES or len(named) > CTY_BYTES:
        raise OpenFailed("malformed-stream-key")
    if named and (media is None or media.text.encode() != named):
        raise OpenFailed("malformed-stream-key")
    return Stream(StreamKey(plaintext[:KEY_BYTES]), named.decode("ascii"))


def opener(head: StreamHead, stream: Stream, context: Context) -> Opener:
    """Return the opener of the body after `head`, whose J was opened for the same `context`."""
    return Opener(stream.key, head.raw + context.encode())


def sealed_length(head: bytes, length: int) -> int:
    """Return the bytes of the sealed stream with this head and a body of `length` bytes."""
    chunks = length // CHUNK_BYTES + 1
    return len(head) + _PREFIX_BYTES + length + chunks * TAG_BYTES


def opened_length(head: bytes, length: int) -> int:
    """Return the plaintext bytes of a sealed stream of `length` bytes.

    `head` is its head, up to the end of J. Raises OpenFailed if no stream has that length.
    """
    sealed = length - len(head) - _PREFIX_BYTES
    chunks, last = divmod(sealed, _SEALED_CHUNK_BYTES)
    if sealed < 0 or last < TAG_BYTES:
        raise OpenFailed("malformed-frame")
    return sealed - (chunks + 1) * TAG_BYTES
