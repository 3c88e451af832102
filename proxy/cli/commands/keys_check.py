"""`sealyard keys verify`, `derive` and `usage`: the keyring against what was sealed with it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from ...config.settings import KeySettings
from ...core.crypto.context import Context, Scope
from ...core.errors import OpenFailed
from ...keys import private_file
from ...keys.keyring import file
from ...keys.keyring.keyring import Keyring
from ...keys.operations import token_check
from ...keys.sessions import kek_usage
from ...keys.sessions.kek_usage import Use, Uses
from ...keys.stores import StoreFailed
from ...keys.stores.records import RecordRefused
from ...migration.retirement import retirement
from ..policy import TOKEN_BYTES, ExitCode
from ..support import console
from ..support.console import FILE, utc
from ..support.files import read_report, read_token
from ..support.keyring_changes import facts
from ..support.keyring_options import (
    KeyringPlace,
    context_options,
    keyring_options,
    scope_options,
)
from ..support.store_access import at_store
from ..support.unopened import in_words

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

output_option = click.option(
    "--output",
    type=FILE,
    metavar="FILE",
    help="Write it to this new file (mode 0600) instead of stdout.",
)


def require_private(output: Path | None) -> None:
    """Raise Failure if a secret must not be written to `output`; call it before there is one.

    That is an existing file or, without `output`, a stdout that is a file others can access.
    """
    if output is not None:
        if output.exists() or output.is_symlink():
            raise console.Failure(f"{output} already exists", ExitCode.ENVIRONMENT)
        return
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return  # not a file
    if stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
        raise console.Failure(
            f"stdout is a file with mode {stat.S_IMODE(status.st_mode):04o}, which others can read:"
            " give --output FILE, which creates a private file",
            ExitCode.ENVIRONMENT,
        )


def write(text: str, output: Path | None) -> None:
    """Write a secret and a line end to an output that `require_private` accepted."""
    if output is None:
        click.echo(text)
    else:
        private_file.write(output, text.encode() + b"\n")
        console.say(f"wrote {output}")


@click.command()
@click.argument("stored", metavar="[TOKEN]", required=False)
@context_options("the token", "it", "body", "stream")
@console.as_json
@keyring_options
def verify(place: KeyringPlace, *, stored: str | None, context: Context, as_json: bool) -> None:
    """Check that the keyring opens, and that it opens a stored TOKEN (- reads it from stdin).

    \b
    sealyard keys verify
    sealyard keys verify - --tenant clinic --conversation c1 --field content < token.txt
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    keyring = file.open_keyring(place.path, place.roots)
    if stored is None:
        held = {"keks": len(keyring.keks), "primary": keyring.primary.id}
        known = facts(keyring) | held
        click.echo(json.dumps(known) if as_json else f"{place.path} opens: {known}")
        return
    text = read_token(stored, limit=TOKEN_BYTES)
    verdict = token_check.verify(keyring, text, context, now=time.time())
    if not verdict.opens:
        place.refused(keyring, verdict.reason, text)
        console.say(in_words(keyring, text, context, verdict.reason, time.time()))
    answer = {"kek": verdict.kek, "opens": verdict.opens, "reason": verdict.reason}
    click.echo(json.dumps(answer) if as_json else f"KEK {verdict.kek}: {verdict.reason}")
    sys.exit(ExitCode.OK if verdict.opens else ExitCode.NEGATIVE)


@click.command()
@click.argument("stored", metavar="TOKEN")
@scope_options
@output_option
@keyring_options
def derive(place: KeyringPlace, stored: str, scope: Scope, output: Path | None) -> None:
    """Print the session key of one TOKEN (- reads it from stdin) as a JWK for JOSE libraries.

    \b
    sealyard keys derive eyJ0eXAiOiJzeTEi... --tenant clinic --conversation c1
    sealyard keys derive - --tenant clinic --conversation c1 --output session.jwk < token.txt

    Whoever has the key can read and forge every message of that session. The audit log records it
    first. The key is not written to a stdout that is a file others can read.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    require_private(output)
    keyring = file.open_keyring(place.path, place.roots)
    text = read_token(stored, limit=TOKEN_BYTES)
    try:
        jwk = token_check.session_jwk(keyring, text, scope)
    except OpenFailed as failure:
        place.refused(keyring, failure.reason, text)
        why = in_words(keyring, text, Context(scope), failure.reason, time.time())
        raise console.Failure(f"the token does not open: {failure.reason}: {why}") from None
    kid: str = json.loads(jwk)["kid"]
    place.write_down(keyring, "keys.derive", kid=kid)
    write(jwk, output)


_NO_STORE = (
    "keys.store is memory, so each process counts separately: see sealyard_kek_opened_total and"
    " sealyard_kek_last_opened_timestamp_seconds in its /metrics"
)


@click.command()
@click.option(
    "--report",
    "reports",
    type=FILE,
    multiple=True,
    help="A report of `migrate verify`; repeat it for each job.",
)
@console.as_json
@keyring_options
def usage(place: KeyringPlace, *, reports: tuple[Path, ...], as_json: bool) -> None:
    """Show how often and when each KEK was last used, by all processes of the shared store.

    \b
    sealyard keys usage
    sealyard keys usage --report proof.jws --json

    It counts what was read, not what is stored: a token that has not been read still needs its
    KEK. Whether a KEK is safe to retire, reports of `migrate verify` prove for what they cover.
    Exits with 1 if the store is not shared.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    keys = place.keys()
    if keys.store.address == "memory":
        raise console.Failure(_NO_STORE)
    keyring, uses = asyncio.run(_read(place, keys))
    proofs = [read_report(one, keyring) for one in reports]
    retired = [retirement(kek, keyring, uses, proofs) for kek in keyring.keks]
    excluded = sorted({one for proof in proofs for one in (*proof.excluded, *proof.not_covered)})
    if as_json:
        rows = [
            row | {"retire": asdict(one)}
            for row, one in zip(_rows(keyring, uses), retired, strict=True)
        ]
        counted = {"since": uses.since, "keks": rows, "not_covered": excluded}
        console.print_json(facts(keyring) | counted)
        return
    if not uses.of:
        console.say("nothing counted yet: processes write to the store every 10 seconds")
    else:
        console.say(f"counted since {utc(uses.since)}")
    click.echo(
        f"{'KEK':<32} {'state':<8} {'opened':>10} {'last opened':<20} {'sessions':>8} last session"
    )
    for row in _rows(keyring, uses):
        opened, began = _at(row["last_opened"]), _at(row["last_session"])
        click.echo(
            f"{row['id']:<32} {row['state']:<8} {row['opened']:>10} {opened:<20}"
            f" {row['sessions']:>8} {began}"
        )
    for kek, one in zip(keyring.keks if reports else (), retired, strict=False):
        said = f"yes, proven at {utc(one.proven)}" if one.safe else f"no, because {one.reason}"
        click.echo(console.printable(f"safe to retire {kek.id}: {said}"))
    for covered in excluded:
        console.say(f"not covered: {covered}")


async def _read(place: KeyringPlace, keys: KeySettings) -> tuple[Keyring, Uses]:
    async with at_store(place, keys) as at:
        keyring = at.sessions.keyring
        try:
            uses = await kek_usage.read(at.sessions.store, keyring.record_key)
        except StoreFailed as failed:
            raise console.Failure(
                f"the store does not respond: {failed}", ExitCode.ENVIRONMENT
            ) from None
        except RecordRefused as refused:
            reason = f"the usage record in the store is forged or of another version: {refused}"
            raise console.Failure(reason, ExitCode.ENVIRONMENT) from None
        return keyring, uses or Uses(0, {})


def _rows(keyring: Keyring, uses: Uses) -> list[dict[str, Any]]:
    return [
        {"id": kek.id, "number": kek.number, "state": kek.state}
        | asdict(uses.of.get(kek.number, Use()))
        for kek in keyring.keks
    ]


def _at(seconds: int) -> str:
    return utc(seconds) if seconds else "never"
