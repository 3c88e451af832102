"""Secrets that exist only to be looked for: 1,000 of 12 kinds, and what of them would show."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

COUNT: Final = 1000
_PIECE_BYTES: Final = 8
_PIECE_CHARS: Final = 12
_CONSONANTS: Final = "bcdfghjklmnpqrstvwxz"


@dataclass(frozen=True)
class Canary:
    """A secret as it is sent, and the pieces of it, in every form, that nobody may find."""

    kind: str
    sent: bytes
    needles: frozenset[bytes]

    @property
    def text(self) -> str:
        """The secret as a program holds it that took its bytes for text."""
        return self.sent.decode("latin-1")


def make(count: int = COUNT) -> tuple[Canary, ...]:
    """Return so many canaries, of every kind as many."""
    kinds = list(_KINDS.items())
    return tuple(_one(*kinds[number % len(kinds)]) for number in range(count))


def own(secrets_of_the_process: Iterable[bytes]) -> frozenset[bytes]:
    """Return what to look for of the secrets that the process itself works with."""
    return frozenset(needle for one in secrets_of_the_process for needle in _needles(one))


def _one(kind: str, make_one: Callable[[], tuple[bytes, bytes]]) -> Canary:
    sent, core = make_one()
    return Canary(kind, sent, frozenset(_needles(core)))


def _needles(core: bytes) -> Iterator[bytes]:
    """Yield pieces of the secret as they would look in any of the forms that a log may give it."""
    whole = [base64.b64encode(core), base64.urlsafe_b64encode(core), core.hex().encode()]
    for form in (*whole, core.hex().upper().encode()):
        pieces = (form[at : at + _PIECE_CHARS] for at in range(0, len(form), _PIECE_CHARS))
        # What is left at the end may be any four characters: "ems=" is in "problems=1" too.
        yield from (piece for piece in pieces if len(piece) == _PIECE_CHARS)
    for at in range(0, len(core) - _PIECE_BYTES + 1, 4):
        piece = core[at : at + _PIECE_BYTES]
        text = piece.decode("latin-1")
        for form in (
            piece,
            text.encode(),
            repr(piece)[2:-1].encode(),
            json.dumps(text)[1:-1].encode(),
        ):
            if not set(form) & set(b"\n\r\0"):
                yield form


def letters(count: int = 20) -> str:
    """Return a secret that is nothing but letters."""
    # No digit and no capital: nothing but where it stands tells that it is a secret. No vowel: a
    # piece of it is no piece of an English word.
    return "".join(secrets.choice(_CONSONANTS) for _ in range(count))


def _plain(before: str = "", after: str = "") -> Callable[[], tuple[bytes, bytes]]:
    def make_one() -> tuple[bytes, bytes]:
        core = letters()
        return f"{before}{core}{after}".encode(), core.encode()

    return make_one


def _key(encode: Callable[[bytes], bytes]) -> Callable[[], tuple[bytes, bytes]]:
    def make_one() -> tuple[bytes, bytes]:
        core = os.urandom(32)
        return encode(core), core

    return make_one


def _jwk(core: bytes) -> bytes:
    k = base64.urlsafe_b64encode(core).rstrip(b"=").decode()
    return json.dumps({"kty": "oct", "k": k, "kid": "a"}).encode()


def _token() -> tuple[bytes, bytes]:
    core = letters(40).encode()
    return b"eyJ0eXAiOiJzeTEiLCJhbGciOiJkaXIifQ..AAAAAAAAAAAAAAAA." + core + b".AAAAAAAAAA", core


_KINDS: Final[dict[str, Callable[[], tuple[bytes, bytes]]]] = {
    "key, raw": _key(bytes),
    "key, hex": _key(lambda core: core.hex().encode()),
    "key, base64": _key(base64.b64encode),
    "key, JWK": _key(_jwk),
    "token": _token,
    "password": _plain("password="),
    "body": _plain("dear doctor ", ", yours"),
    "field": _plain(),
    "cookie": _plain("session="),
    "URL": _plain("https://a.example/reset/"),
    "malformed header": _plain("X-Odd\x01: "),
    "exception argument": _plain("could not open "),
}
