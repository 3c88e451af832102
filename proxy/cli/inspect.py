"""`sealyard inspect`: what a token says about itself, and how long tokens get. Needs no key."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict

import click

from ..core.crypto.token import ASSUMED_KEK_ID, KEK_ID_PATTERN
from ..core.errors import OpenFailed
from . import base, token_lengths
from .token_facts import TokenFacts, complaint, facts
from .token_lengths import USUAL_BYTES, USUAL_CHARACTERS, Capacity, Length

_TOKEN_BYTES = 16 << 20


def _kek_id(_: click.Context, __: click.Parameter, value: str) -> str:
    if KEK_ID_PATTERN.fullmatch(value) is None:
        raise click.BadParameter("a KEK id is 1 to 32 of the characters A-Z a-z 0-9 _ -")
    return value


@click.command()
@click.argument("token", required=False)
@click.option("--lengths", is_flag=True, help="Print how long tokens get, and what fits.")
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
    help="With --lengths: what a column holds, in characters; may be repeated.",
)
@click.option(
    "--kek-id",
    callback=_kek_id,
    default=ASSUMED_KEK_ID,
    show_default=True,
    help="With --lengths: the id of the KEK, which stands in every token.",
)
@base.as_json
def inspect(  # noqa: PLR0913 - each is one option
    token: str | None,
    *,
    lengths: bool,
    sizes: tuple[int, ...],
    columns: tuple[int, ...],
    kek_id: str,
    as_json: bool,
) -> None:
    """Tell what TOKEN says about itself (- reads it from stdin). Nothing is decrypted.

    \b
    sealyard inspect eyJ0eXAiOiJzeTEi...
    sealyard inspect --lengths --chars 255

    Prints form, KEK, session, times, and sizes. Ends with 1 when the token is malformed or has
    expired, and says why. Whether it opens, and for whom, only a key can tell.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    if lengths == (token is not None):
        raise click.UsageError("give either a TOKEN or --lengths")
    if token is None:
        _print_lengths(sizes, columns, kek_id, as_json=as_json)
    else:
        _print_facts(base.read_argument(token, limit=_TOKEN_BYTES), as_json=as_json)


def _print_facts(text: bytes, *, as_json: bool) -> None:
    try:
        found = facts(text, time.time())
    except OpenFailed as error:
        problem = complaint(text, error)
        if as_json:
            base.print_json({"valid": False, "reason": error.reason, "problem": problem})
            sys.exit(base.NEGATIVE)
        raise base.Failure(f"This is not a token: {problem}.", base.NEGATIVE) from None
    if as_json:
        base.print_json(found.document())
    else:
        for name, value in _rows(found):
            click.echo(f"{name:<10} {value}")
    if found.expired:
        base.say("The token has expired: it does not open any more.")
        sys.exit(base.NEGATIVE)


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
    head = token_lengths.head_of(kek_id)
    if not sizes and not columns:
        sizes, columns = USUAL_BYTES, USUAL_CHARACTERS
    lengths = [token_lengths.length(size, head) for size in sizes]
    capacities = [token_lengths.capacity(characters, head) for characters in columns]
    if as_json:
        base.print_json(
            {
                "kek_id": kek_id,
                "lengths": [asdict(row) for row in lengths],
                "capacities": [asdict(row) for row in capacities],
            }
        )
        return
    _print_tables(lengths, capacities)


def _print_tables(lengths: list[Length], capacities: list[Capacity]) -> None:
    if lengths:
        click.echo(f"{'plaintext bytes':>16} {'jwe characters':>16} {'short characters':>17}")
    for length in lengths:
        click.echo(f"{length.plaintext_bytes:>16} {length.jwe:>16} {length.short:>17}")
    if lengths and capacities:
        click.echo()
    if capacities:
        click.echo(f"{'characters':>16} {'jwe bytes':>16} {'short bytes':>17}")
    for row in capacities:
        click.echo(f"{row.characters:>16} {_fit(row.jwe):>16} {_fit(row.short):>17}")


def _fit(size: int | None) -> str:
    return "too narrow" if size is None else str(size)
