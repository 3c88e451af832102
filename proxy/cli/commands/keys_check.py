"""`sealyard keys verify` and `sealyard keys derive`: the keyring against one stored token."""

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
from ...core.crypto.joined_names import Name
from ...core.errors import OpenFailed
from ...keys import private_file
from ...keys.keyring import file
from ...keys.keyring.keyring import Keyring
from ...keys.operations import token_check
from ...keys.sessions import kek_usage
from ...keys.sessions.kek_usage import Use, Uses
from ...keys.stores import StoreFailed
from ...keys.stores.records import RecordRefused
from ..support import console
from ..support.console import utc
from ..support.keyring_changes import facts
from ..support.keyring_options import (
    FILE,
    KeyringPlace,
    context_options,
    keyring_options,
    named_option,
)
from ..support.store_access import at_store

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

output_option = click.option(
    "--output",
    type=FILE,
    metavar="FILE",
    help="Write it to this new file (mode 0600) instead of stdout.",
)


def require_private(output: Path | None) -> None:
    """Raise Failure where a secret must not be written to; ask before it is there.

    That is a file that exists, or, without `output`, a stdout that is a file which others may use.
    """
    if output is not None:
        if output.exists() or output.is_symlink():
            raise console.Failure(f"{output}: exists already", console.ENVIRONMENT)
        return
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return  # no file at all
    if stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
        raise console.Failure(
            f"stdout is a file of mode {stat.S_IMODE(status.st_mode):04o}, which others may read:"
            " give --output FILE, which makes it for you alone",
            console.ENVIRONMENT,
        )


def write(text: str, output: Path | None) -> None:
    """Write a secret and a line end to where `require_private` has agreed to."""
    if output is None:
        click.echo(text)
    else:
        private_file.write(output, text.encode() + b"\n")
        console.say(f"wrote {output}")


_MAX_TOKEN_BYTES: Final = 16 << 20


@click.command()
@click.argument("stored", metavar="[TOKEN]", required=False)
@context_options
@click.option("--field", help="The field that the token is bound to.")
@named_option("message", "The message id that it is bound to.")
@click.option("--purpose", help="The purpose that it is bound to.")
@click.option("--kind", type=click.Choice(["body", "stream"]), help="For tokens of whole bodies.")
@console.as_json
@keyring_options
def verify(  # noqa: PLR0913 - one parameter for each part of a context
    place: KeyringPlace,
    *,
    stored: str | None,
    tenant: Name | None,
    conversation: Name | None,
    field: str | None,
    message: Name | None,
    purpose: str | None,
    kind: str | None,
    as_json: bool,
) -> None:
    """Check that the keyring opens, and with it a stored TOKEN (- reads it from stdin).

    \b
    sealyard keys verify
    sealyard keys verify - --tenant clinic --conversation c1 --field content < token.txt
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    keyring = file.open_keyring(place.path, place.root)
    if stored is None:
        held = {"keks": len(keyring.keks), "primary": keyring.primary.id}
        told = facts(keyring) | held
        click.echo(json.dumps(told) if as_json else f"{place.path} opens: {told}")
        return
    context = Context(Scope(tenant, conversation), field, message, purpose, kind)
    text = _token(stored)
    verdict = token_check.verify(keyring, text, context, now=time.time())
    if not verdict.opens:
        place.refused(keyring, verdict.reason, text)
    answer = {"kek": verdict.kek, "opens": verdict.opens, "reason": verdict.reason}
    click.echo(json.dumps(answer) if as_json else f"KEK {verdict.kek}: {verdict.reason}")
    sys.exit(0 if verdict.opens else 1)


@click.command()
@click.argument("stored", metavar="TOKEN")
@context_options
@output_option
@keyring_options
def derive(
    place: KeyringPlace,
    stored: str,
    tenant: Name | None,
    conversation: Name | None,
    output: Path | None,
) -> None:
    """Print the session key of one TOKEN (- reads it from stdin) as a JWK for JOSE readers.

    \b
    sealyard keys derive eyJ0eXAiOiJzeTEi... --tenant clinic --conversation c1
    sealyard keys derive - --tenant clinic --conversation c1 --output session.jwk < token.txt

    Whoever has the key reads and forges every message of that session. The audit log is written
    before the key is. It is not written to a stdout that is a file which others may read.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    require_private(output)
    keyring = file.open_keyring(place.path, place.root)
    scope = Scope(tenant, conversation)
    text = _token(stored)
    try:
        jwk = token_check.session_jwk(keyring, text, scope)
    except OpenFailed as failure:
        place.refused(keyring, failure.reason, text)
        raise console.Failure(
            f"the token does not open: {failure.reason}", console.NEGATIVE
        ) from None
    kid: str = json.loads(jwk)["kid"]
    place.write_down(keyring, "keys.derive", kid=kid)
    write(jwk, output)


def _token(stored: str) -> bytes:
    return console.read_argument(stored, limit=_MAX_TOKEN_BYTES).strip()


_NO_STORE = (
    "keys.store is memory, so each process counts for itself: see sealyard_kek_opened_total and"
    " sealyard_kek_last_opened_timestamp_seconds in its /metrics"
)


@click.command()
@console.as_json
@keyring_options
def usage(place: KeyringPlace, *, as_json: bool) -> None:
    """Tell how often each KEK was used and when last, over all processes of the shared store.

    \b
    sealyard keys usage
    sealyard keys usage --json

    It counts what was read, not what is stored: a token that nobody has asked for still needs its
    KEK. Ends with 1 where the store is not shared.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    keys = place.keys()
    if keys.store == "memory":
        raise console.Failure(_NO_STORE, console.NEGATIVE)
    keyring, uses = asyncio.run(_read(place, keys))
    if as_json:
        told = {"since": uses.since, "keks": list(_rows(keyring, uses))}
        console.print_json(facts(keyring) | told)
        return
    if not uses.of:
        console.say("nothing has been counted yet: processes tell the store every 10 seconds")
    else:
        console.say(f"counted since {utc(uses.since)}")
    click.echo(f"{'KEK':<32} {'state':<8} {'opened':>10} {'last opened':<20} {'sessions':>8} last")
    for row in _rows(keyring, uses):
        opened, began = _at(row["last_opened"]), _at(row["last_session"])
        click.echo(
            f"{row['id']:<32} {row['state']:<8} {row['opened']:>10} {opened:<20}"
            f" {row['sessions']:>8} {began}"
        )


async def _read(place: KeyringPlace, keys: KeySettings) -> tuple[Keyring, Uses]:
    async with at_store(place, keys) as at:
        keyring = at.sessions.keyring
        try:
            uses = await kek_usage.read(at.sessions.store, keyring.record_key)
        except StoreFailed as failed:
            raise console.Failure(
                f"the store does not answer: {failed}", console.ENVIRONMENT
            ) from None
        except RecordRefused as refused:
            reason = f"the store's note is not to be trusted or of another version: {refused}"
            raise console.Failure(reason, console.ENVIRONMENT) from None
        return keyring, uses or Uses(0, {})


def _rows(keyring: Keyring, uses: Uses) -> list[dict[str, Any]]:
    return [
        {"id": kek.id, "number": kek.number, "state": kek.state}
        | asdict(uses.of.get(kek.number, Use()))
        for kek in keyring.keks
    ]


def _at(seconds: int) -> str:
    return utc(seconds) if seconds else "never"
