"""Frames: the wire form of a large body or one of unknown length, version 1.

    "SYST" 01 ‖ u16be length of J ‖ J ‖ salt:24 ‖ commitment:32 ‖ chunks

J is a token in the standard form, of kind `stream`, that seals the stream key (32 bytes, fresh for
every frame) and the media type of the body. Behind it stands C2SP chunked encryption
(https://c2sp.org/chunked-encryption) as Cobblestone-256, whose context is all that stands before
the salt ‖ CONTEXT: HKDF-Expand with SHA-512, AES-256-GCM, chunks of 16 KiB of which the last and
none but the last is shorter, maybe empty. What is cut, moved, doubled, taken from another frame or
added does not open.
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
from .token import CTY_MAX, Token

MEDIA_TYPE: Final = "application/vnd.sealyard.stream"
MAGIC: Final = b"SYST\x01"
CTY_STREAM_KEY: Final = "stream-key"
CHUNK_BYTES: Final = 16 * 1024

_LENGTH_BYTES: Final = 2
_J_AT: Final = len(MAGIC) + _LENGTH_BYTES
# The longest J that is possible has 506 characters; nobody makes us wait for more than twice that.
_J_MAX: Final = 1024
HEAD_MAX: Final = _J_AT + _J_MAX

_SALT_BYTES: Final = 24
_COMMITMENT_BYTES: Final = 32
_PREFIX_BYTES: Final = _SALT_BYTES + _COMMITMENT_BYTES
_SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES


class FrameHead(NamedTuple):
    """The beginning of a frame, up to the end of J: its bytes, and J decoded but not opened."""

    raw: bytes
    token: Token


class Stream(NamedTuple):
    """What J seals: the stream key, and the body's media type (empty where it has none)."""

    key: StreamKey
    media_type: str


class Sealer:
    """Seals one body, piece by piece, in the memory that one chunk takes."""

    __slots__ = ("_encryptor",)

    def __init__(self, key: StreamKey, context: bytes) -> None:
        """Begin; `key` is for this one body."""
        self._encryptor = Cobblestone256Encryptor(key.reveal(), context)

    def update(self, plaintext: bytes) -> bytes:
        """Return the chunks that are full now, with what stands before the first; maybe nothing."""
        return self._encryptor.update(plaintext)

    def finish(self) -> bytes:
        """Return the last chunk, which tells a reader that nothing is missing."""
        return self._encryptor.finalize()


class Opener:
    """Opens one body, piece by piece: a chunk is given out only once its tag has verified.

    After a failure it gives out nothing more. Only `finish` tells that all of the body was there.
    """

    __slots__ = ("_decryptor",)

    def __init__(self, key: StreamKey, context: bytes) -> None:
        """Begin; `context` is that of the sealing."""
        self._decryptor = Cobblestone256Decryptor(key.reveal(), context)

    def update(self, sealed: bytes) -> bytes:
        """Return the plaintext of the full chunks that are there now; raise OpenFailed."""
        try:
            return self._decryptor.update(sealed)
        except (InvalidTag, AlreadyFinalized):
            raise OpenFailed("bad-frame") from None

    def finish(self) -> bytes:
        """Return the plaintext of the last chunk; raise OpenFailed where it is not the last."""
        try:
            return self._decryptor.finalize()
        except (InvalidTag, AlreadyFinalized):
            raise OpenFailed("bad-frame") from None


def begin(
    session: Session, context: Context, media_type: str, exp: int | None = None
) -> tuple[bytes, Sealer]:
    """Return the head of a new frame, and who seals the body behind it.

    `context` is of kind `stream`; `media_type` has at most 127 ASCII characters, or none. After
    `exp` (seconds since 1970) nobody begins to open it.
    """
    key = os.urandom(KEY_BYTES)
    sealed = session.seal(key + media_type.encode("ascii"), context, cty=CTY_STREAM_KEY, exp=exp)
    head = MAGIC + len(sealed).to_bytes(_LENGTH_BYTES) + sealed
    return head, Sealer(StreamKey(key), head + context.encode())


def read_head(data: bytes) -> FrameHead | None:
    """Return the head that `data` begins with, or None where more bytes are needed to tell.

    Raises OpenFailed for what cannot be the beginning of a frame, as early as that is certain.
    """
    if not MAGIC.startswith(data[: len(MAGIC)]):
        raise OpenFailed("not-a-frame")
    if len(data) < _J_AT:
        return None
    length = int.from_bytes(data[len(MAGIC) : _J_AT])
    if length > _J_MAX:
        raise OpenFailed("malformed-frame")
    raw = data[: _J_AT + length]
    if len(raw) < _J_AT + length:
        return None
    sealed = token.decode(raw[_J_AT:])
    if sealed.cty != CTY_STREAM_KEY:  # which the short form has no place for
        raise OpenFailed("malformed-frame")
    return FrameHead(raw, sealed)


def read_stream(plaintext: bytes) -> Stream:
    """Return what an opened J holds; raise OpenFailed where it is no stream key of ours."""
    named = plaintext[KEY_BYTES:]
    media = parse_media_type(named) if named else None
    if len(plaintext) < KEY_BYTES or len(named) > CTY_MAX:
        raise OpenFailed("malformed-stream-key")
    if named and (media is None or media.text.encode() != named):
        raise OpenFailed("malformed-stream-key")
    return Stream(StreamKey(plaintext[:KEY_BYTES]), named.decode("ascii"))


def opener(head: FrameHead, stream: Stream, context: Context) -> Opener:
    """Return who opens the body behind `head`, whose J was opened for the same `context`."""
    return Opener(stream.key, head.raw + context.encode())


def sealed_length(head: bytes, length: int) -> int:
    """Return how many bytes the frame with this head has whose body has `length` of them."""
    chunks = length // CHUNK_BYTES + 1
    return len(head) + _PREFIX_BYTES + length + chunks * TAG_BYTES


def opened_length(head: bytes, length: int) -> int:
    """Return how many bytes a frame of `length` bytes holds; raise OpenFailed if none is so long.

    `head` is that of the frame, as far as the end of J.
    """
    sealed = length - len(head) - _PREFIX_BYTES
    chunks, last = divmod(sealed, _SEALED_CHUNK_BYTES)
    if sealed < 0 or last < TAG_BYTES:
        raise OpenFailed("malformed-frame")
    return sealed - (chunks + 1) * TAG_BYTES
