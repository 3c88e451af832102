"""Makes frames.json: vectors of frames, from the specifications and nothing of `proxy`.

Run it as `python -m tests.vectors.make_frames`, only for a new wire form and under another name:
it refuses to overwrite what is frozen. Like make_sy1.py it is a second implementation on purpose;
here of C2SP chunked encryption, for which `proxy` uses a library.
"""

from __future__ import annotations

import base64
import hmac
import json
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors.make_sy1 import NOW, PARTS, Case, encode_context, material

TARGET = Path(__file__).with_name("frames.json")
CHUNK = 16384
SEALED_CHUNK = CHUNK + 16
USUAL = {name: PARTS[name] for name in ("tenant", "conversation")} | {"kind": "stream"}

Slice = tuple[int, int]
Piece = Slice | str
"""Bytes of the good frame, from and to, or other bytes in hex."""
Failure = dict[str, object]


def expand_sha512(key: bytes, info: bytes, size: int) -> bytes:
    """Return HKDF-Expand (RFC 5869 section 2.3) with SHA-512."""
    made = block = b""
    while len(made) < size:
        block = hmac.digest(key, block + info + bytes((len(made) // 64 + 1,)), "sha512")
        made += block
    return made[:size]


@dataclass(frozen=True)
class Frame:
    """What a frame is made from."""

    name: str
    size: int
    media_type: str = ""
    ephemeral: bool = False
    exp: int | None = None
    cty: str = "stream-key"
    context: tuple[str, ...] = ("tenant", "conversation", "kind")

    @property
    def case(self) -> Case:
        """The token J."""
        sealed = self.stream_key + self.media_type.encode()
        context = {name: (PARTS | USUAL)[name] for name in self.context}
        return Case(
            f"frame {self.name}", "jwe", context, sealed, self.ephemeral, self.cty, self.exp
        )

    @property
    def stream_key(self) -> bytes:
        """The stream key; random in life."""
        return material(f"frame {self.name} stream key", 32)

    @property
    def plaintext(self) -> bytes:
        """The body."""
        return (b"Sealyard %d " % self.size * (self.size // 10 + 1))[: self.size]

    def head(self, case: Case | None = None) -> bytes:
        """Return what stands before the salt."""
        sealed = (case or self.case).token().encode()
        return b"SYST\x01" + struct.pack(">H", len(sealed)) + sealed

    def sealed(self, head: bytes, context: bytes | None = None) -> bytes:
        """Return the chunked encryption behind `head`."""
        bound = head + (encode_context(USUAL) if context is None else context)
        salt = material(f"frame {self.name} salt", 24)
        info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + bound
        derived = expand_sha512(self.stream_key, info, 32 + 12 + 32)
        cipher, base = AESGCM(derived[:32]), int.from_bytes(derived[32:44])
        chunks = b""
        for at in range(self.size // CHUNK + 1):
            nonce = (base ^ at).to_bytes(12)
            chunks += cipher.encrypt(nonce, self.plaintext[at * CHUNK : (at + 1) * CHUNK], None)
        return salt + derived[44:] + chunks

    def frame(self) -> bytes:
        """Return the frame."""
        return self.head() + self.sealed(self.head())


def fails(name: str, reason: str, opened: int, *pieces: Piece) -> Failure:
    """Return a frame that must not open; no more than `opened` bytes of it may be given out."""
    return {"name": name, "reason": reason, "opened": opened, "pieces": pieces}


def flipped(frame: bytes, at: int) -> tuple[Piece, ...]:
    """Return the frame with one bit changed."""
    return (0, at), bytes((frame[at] ^ 1,)).hex(), (at + 1, len(frame))


def failures(one: Frame) -> list[Failure]:
    """Return what must not open although it looks like the frame, or even is most of it."""
    frame = one.frame()
    start = len(one.head())
    chunks = start + 56
    full = one.size // CHUNK
    end = len(frame)
    opened = full * CHUNK
    bad = "bad-frame"
    told = [
        fails("nothing", bad, 0),
        fails("cut in the head", bad, 0, (0, start - 1)),
        fails("cut behind the head", bad, 0, (0, start)),
        fails("cut in the commitment", bad, 0, (0, chunks - 1)),
        fails("cut before the first chunk", bad, 0, (0, chunks)),
        fails("the last byte cut", bad, opened, (0, end - 1)),
        fails("one byte more", bad, opened, (0, end), "00"),
        fails("another last byte", bad, opened, *flipped(frame, end - 1)),
        fails("another magic", "not-a-frame", 0, *flipped(frame, 0)),
        fails("another version", "not-a-frame", 0, (0, 4), "02", (5, end)),
        fails("a length of 0", "not-a-token", 0, (0, 5), "0000", (7, end)),
        fails("a length of 65535", "malformed-frame", 0, (0, 5), "ffff", (7, end)),
        fails("another tag of J", "bad-tag", 0, (0, start - 2), b"AA".hex(), (start, end)),
        fails("another salt", bad, 0, *flipped(frame, start)),
        fails("another commitment", bad, 0, *flipped(frame, start + 24)),
        fails("itself once more", bad, opened, (0, end), (0, end)),
        fails("its chunks once more", bad, opened, (0, end), (chunks, end)),
    ]
    first = (chunks, chunks + SEALED_CHUNK)
    second = (first[1], first[1] + SEALED_CHUNK)
    if full:
        told += [
            fails("the last chunk cut", bad, opened, (0, chunks + full * SEALED_CHUNK)),
            fails("the first chunk left out", bad, 0, (0, chunks), (first[1], end)),
            fails("the first chunk twice", bad, CHUNK, (0, first[1]), first, (first[1], end)),
            fails("a bit of the first chunk", bad, 0, *flipped(frame, chunks + 99)),
        ]
    if full > 1:
        told += [
            fails("two swapped", bad, 0, (0, chunks), second, first, (second[1], end)),
            fails("the first for the second", bad, CHUNK, (0, first[1]), first, (second[1], end)),
            fails("a bit of the second chunk", bad, CHUNK, *flipped(frame, second[0])),
        ]
    return told


def made_wrong() -> list[Failure]:
    """Return frames that somebody with the keys has made otherwise than the specification says."""
    good = Frame("made wrong", 20, "text/plain")
    head, sealed = good.head(), good.sealed(good.head())
    other = Frame("made wrong too", 20, "text/plain")
    field = Frame("J of a field", 20, context=("tenant", "conversation", "field"))
    text = Frame("a J of text", 20, cty="text/plain")
    short = Case("J in short", "short", USUAL, good.stream_key)
    slim = Case("J without a key", "jwe", USUAL, good.stream_key[:31], cty="stream-key")
    late = Frame("late", 20, exp=NOW - 61)
    told = [
        wrong("not bound to its head", "bad-frame", good.case, head + good.sealed(b"")),
        wrong("not bound to CONTEXT", "bad-frame", good.case, head + good.sealed(head, b"")),
        wrong("J of another frame", "bad-frame", other.case, other.head() + sealed),
        wrong("J of another kind", "wrong-context", field.case, field.frame()),
        wrong("J of another type", "malformed-frame", text.case, text.frame()),
        wrong("J in short form", "malformed-frame", short, good.head(short) + sealed),
        wrong("31 bytes of key", "malformed-stream-key", slim, good.head(slim) + sealed),
        wrong("expired", "expired-token", late.case, late.frame()),
    ]
    for name, media_type in (
        ("a line end", "text/plain\r\nX: y"),
        ("no media type", "text"),
        ("capitals", "Text/Plain"),
        ("128 characters", "a/" + "b" * 126),
    ):
        typed = Frame(f"a type with {name}", 20, media_type)
        told.append(wrong(typed.name, "malformed-stream-key", typed.case, typed.frame()))
    return told


def wrong(name: str, reason: str, case: Case, frame: bytes) -> Failure:
    """Return a frame that must not open, with the key under which its J would."""
    return {
        "name": name,
        "reason": reason,
        "sk": case.sk.hex(),
        "sid": case.sid.hex(),
        "context": USUAL,
        "frame": base64.b64encode(frame).decode(),
    }


def frames() -> list[Frame]:
    """Return every frame that must open."""
    return [
        Frame("empty", 0),
        Frame("20 bytes", 20, "text/plain; charset=utf-8"),
        Frame("ephemeral", 1, "image/png", ephemeral=True),
        Frame("expires", 1, "a/" + "b" * 125, exp=NOW - 60),
        Frame("one byte below a chunk", CHUNK - 1, "application/octet-stream"),
        Frame("a chunk", CHUNK, "application/octet-stream"),
        Frame("two chunks and a half", 2 * CHUNK + CHUNK // 2, "application/pdf"),
    ]


def main() -> None:
    """Write the vectors once."""
    if TARGET.exists():
        sys.exit(f"{TARGET.name} is frozen: a new wire form is a new file")
    must_open = [
        {
            "name": one.name,
            "sk": one.case.sk.hex(),
            "sid": one.case.sid.hex(),
            "kek_id": None if one.ephemeral else one.case.kek_id,
            "context": USUAL,
            "context_hex": encode_context(USUAL).hex(),
            "stream_key": one.stream_key.hex(),
            "iv": one.case.iv.hex(),
            "media_type": one.media_type,
            "head_bytes": len(one.head()),
            "plaintext": base64.b64encode(one.plaintext).decode(),
            "frame": base64.b64encode(one.frame()).decode(),
            "must_fail": failures(one),
        }
        for one in frames()
    ]
    document = {"version": 1, "now": NOW, "must_open": must_open, "made_wrong": made_wrong()}
    TARGET.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
