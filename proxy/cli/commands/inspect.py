"""`sealyard inspect`: what a token says, and how long tokens are. Needs no key."""

from __future__ import annotations

import binascii
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import click

from ...core.crypto import base64url, token
from ...core.crypto.aead import TAG_BYTES
from ...core.crypto.derivation import COMMITMENT_BYTES, SID_BYTES
from ...core.crypto.token import ASSUMED_KEK_ID, KEK_ID_PATTERN, KeyId, Token
from ...core.errors import OpenFailed
from ...core.leaves import tokens
from ...core.policy import EXPIRY_SKEW_SECONDS
from ..policy import TOKEN_BYTES, USUAL_BYTES, USUAL_CHARACTERS, ExitCode
from ..support import console

_FIXED: Final = {"typ": "sy1", "alg": "dir", "enc": "A256GCM"}
_OPTIONAL: Final = ("cty", "exp")
_COMMITMENT_BYTES_OF_PACKAGES: Final = 32

_REASONS: Final = {
    "base64-not-canonical": "a part is not canonical base64url without padding",
    "base64": "it is no canonical base64 with padding",
    "malformed-token-header": "the header is not encoded as Sealyard encodes it",
    "malformed-token": "it does not have the parts of a complete token",
    "not-a-token": "it does not begin like a token of Sealyard",
}


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """Everything that a well-formed token says without a key."""

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
        kek_number=key_id.kek_number if key_id.sid else None,
        session=base64url.encode(key_id.sid).decode(),
        created=_utc(key_id.created) if key_id.sid else "",
        cty=found.cty,
        exp=None if found.exp is None else _utc(found.exp),
        expired=found.exp is not None and now > found.exp + EXPIRY_SKEW_SECONDS,
        binding=_binding(found),
        token_characters=len(text),
        plaintext_bytes=len(found.sealed) - (TAG_BYTES if key_id.sid else 0),
    )


def complaint(text: bytes, error: OpenFailed) -> str:
    """Return in one sentence what is wrong with a text that is not a token."""
    if not text:
        return "it is empty"
    if text != text.strip():
        return "it has white space around it"
    if token.is_cut(text):
        short = text.startswith(token.SHORT_PREFIX)
        cut = short or tokens.CUT_PATTERN.fullmatch(text) is not None
        return "it is truncated: its end is missing" if cut else _REASONS["malformed-token"]
    if error.reason == "base64-not-canonical":
        return _REASONS["base64" if text.startswith(token.BASE64_PREFIX) else error.reason]
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
    if not key_id.sid:
        return f"generation {key_id.kek_number} of the index"
    durable = key_id.kek_id is not None or key_id.kek_number is not None
    return "durable" if durable else "ephemeral"


def _binding(found: Token) -> str:
    if found.form in {"short", "equal"}:
        return "its commitment" if found.form == "short" else "its IV"
    packaged = len(found.commitment) == _COMMITMENT_BYTES_OF_PACKAGES
    return "ctx, for a key package" if packaged else "ctx"


def _utc(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # twelve digits go beyond the year 9999
        return f"{seconds} s after 1970"


@dataclass(frozen=True, slots=True)
class Length:
    """The characters of a token of so many plaintext bytes, in each form."""

    plaintext_bytes: int
    jwe: int
    short: int
    base64: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """The plaintext bytes that fit into so many characters; None: not even an empty value."""

    characters: int
    jwe: int | None
    short: int | None
    base64: int | None


def head_of(kek_id: str | None, cty: str | None = None) -> bytes:
    """Return a header as long as those under a KEK of that id (None: ephemeral keys)."""
    return token.encode_header(KeyId(bytes(SID_BYTES), kek_id=kek_id), bytes(COMMITMENT_BYTES), cty)


def length(size: int, head: bytes) -> Length:
    """Return how long the token of `size` plaintext bytes is."""
    base64 = token.base64_length(head, size)
    return Length(size, token.jwe_length(head, size), token.short_length(size), base64)


def capacity(characters: int, head: bytes) -> Capacity:
    """Return how many plaintext bytes fit into a column of `characters`."""
    jwe = token.jwe_capacity(head, characters) if token.jwe_length(head, 0) <= characters else None
    short = token.short_capacity(characters) if token.short_length(0) <= characters else None
    fits = token.base64_length(head, 0) <= characters
    return Capacity(
        characters, jwe, short, token.base64_capacity(head, characters) if fits else None
    )


def _kek_id(_: click.Context, __: click.Parameter, value: str) -> str:
    if KEK_ID_PATTERN.fullmatch(value) is None:
        raise click.BadParameter(f"`{value}` is no KEK id; write 1 to 32 of A-Z a-z 0-9 _ -")
    return value


@click.command()
@click.argument("token", required=False)
@click.option(
    "--lengths", is_flag=True, help="Print how long tokens are, and what fits into a column."
)
@click.option(
    "--bytes",
    "sizes",
    type=click.IntRange(0, 1 << 40),
    multiple=True,
    help="With --lengths: plaintext bytes; may be repeated.",
)
@click.option(
    "--chars",
    "columns",
    type=click.IntRange(0, 1 << 40),
    multiple=True,
    help="With --lengths: characters of a column; may be repeated.",
)
@click.option(
    "--kek-id",
    callback=_kek_id,
    default=ASSUMED_KEK_ID,
    show_default=True,
    help="With --lengths: the id of the KEK, which every token contains.",
)
@console.as_json
def inspect(  # noqa: PLR0913 - each is one option
    token: str | None,
    *,
    lengths: bool,
    sizes: tuple[int, ...],
    columns: tuple[int, ...],
    kek_id: str,
    as_json: bool,
) -> None:
    """Show what TOKEN says without a key (- reads it from stdin). Nothing is decrypted.

    \b
    sealyard inspect eyJ0eXAiOiJzeTEi...
    sealyard inspect --lengths --chars 255

    Prints form, KEK, session, times and sizes. Exits with 1 if the token is malformed or has
    expired, and says why. Whether it opens takes a key: see `sealyard keys verify`.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if lengths == (token is not None):
        raise click.UsageError("give either a TOKEN or --lengths")
    if token is None:
        _print_lengths(sizes, columns, kek_id, as_json=as_json)
    else:
        _print_facts(console.read_argument(token, limit=TOKEN_BYTES), as_json=as_json)


def _print_facts(text: bytes, *, as_json: bool) -> None:
    try:
        found = facts(text, time.time())
    except OpenFailed as error:
        problem = complaint(text, error)
        if as_json:
            console.print_json({"valid": False, "reason": error.reason, "problem": problem})
            sys.exit(ExitCode.NEGATIVE)
        raise console.Failure(
            f"TOKEN is not a token: {problem}; give the whole value as it is stored"
        ) from None
    rows = (f"{name:<10} {value}" for name, value in _rows(found))
    console.answer(found.document(), rows, as_json=as_json)
    if found.expired:
        console.say("The token has expired and no longer opens.")
        sys.exit(ExitCode.NEGATIVE)


def _rows(found: TokenFacts) -> tuple[tuple[str, str], ...]:
    kek = found.kek_id or (f"number {found.kek_number}" if found.kek_number is not None else "none")
    content = {None: "text", "json": "JSON text"}.get(found.cty, found.cty)
    return (
        ("form", found.form),
        ("key", found.key),
        ("KEK", kek),
        ("session", found.session),
        ("created", found.created),
        ("content", str(content)),
        ("expires", found.exp or "never"),
        ("bound by", found.binding),
        ("token", f"{found.token_characters} characters"),
        ("plaintext", f"{found.plaintext_bytes} bytes"),
    )


def _print_lengths(
    sizes: tuple[int, ...], columns: tuple[int, ...], kek_id: str, *, as_json: bool
) -> None:
    head = head_of(kek_id)
    if not sizes and not columns:
        sizes, columns = USUAL_BYTES, USUAL_CHARACTERS
    lengths = [length(size, head) for size in sizes]
    capacities = [capacity(characters, head) for characters in columns]
    told = {
        "kek_id": kek_id,
        "lengths": [asdict(row) for row in lengths],
        "capacities": [asdict(row) for row in capacities],
    }
    console.answer(told, _tables(lengths, capacities), as_json=as_json)


def _tables(lengths: list[Length], capacities: list[Capacity]) -> Iterator[str]:
    if lengths:
        yield _row("plaintext bytes", "jwe characters", "short characters", "base64 characters")
    for length in lengths:
        yield _row(length.plaintext_bytes, length.jwe, length.short, length.base64)
    if lengths and capacities:
        yield ""
    if capacities:
        yield _row("characters", "jwe bytes", "short bytes", "base64 bytes")
    for row in capacities:
        yield _row(row.characters, _fit(row.jwe), _fit(row.short), _fit(row.base64))


def _row(of: object, jwe: object, short: object, base64: object) -> str:
    return f"{of:>16} {jwe:>16} {short:>17} {base64:>18}"


def _fit(size: int | None) -> str:
    return "too narrow" if size is None else str(size)
