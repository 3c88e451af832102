"""`sealyard encrypt` and `sealyard decrypt`: seal or open one value by hand."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import click

from ...core.crypto.context import Context
from ...core.crypto.token import FORMS, Form
from ...core.errors import InvalidBody, OpenFailed
from ...core.formats import json as json_format
from ...keys.fleet.command_lease import NoLease
from ...keys.keyring.file import open_keyring
from ...keys.keyring.keyring import Keyring
from ...keys.operations import values
from ...keys.sessions import session_control
from ...keys.sessions.sessions import Sessions, SessionSettings
from ...keys.stores import MemoryStore
from ..policy import TOKEN_BYTES
from ..support import console
from ..support.files import read_token
from ..support.keyring_options import KeyringPlace, context_options, keyring_options
from ..support.store_access import lease_for
from ..support.unopened import in_words

_bound_parts = context_options("the value", "the value", "body")


@click.command()
@click.argument("value")
@_bound_parts
@click.option("--form", type=click.Choice(FORMS), default="jwe", show_default=True)
@click.option("--json-value", is_flag=True, help="VALUE is JSON text and is opened as JSON.")
@keyring_options
def encrypt(
    place: KeyringPlace, *, value: str, form: Form, json_value: bool, context: Context
) -> None:
    """Seal VALUE (- reads it from stdin) and print the token.

    \b
    sealyard encrypt --tenant clinic --conversation c1 --field content - < letter.txt
    base64 -w0 scan.png | sealyard encrypt --tenant clinic --field data --form base64 -

    Others on the machine can read a VALUE on the command line, and the shell keeps it in its
    history. Name exactly the parts that the rule binds: `sealyard explain` shows them.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if context == Context(kind=context.kind):
        raise click.UsageError(
            "without --tenant and --conversation no rule opens it; `sealyard explain` shows what a"
            " rule binds"
        )
    plaintext = console.read_argument(value, limit=TOKEN_BYTES)
    if json_value:
        try:
            json_format.validate(plaintext)
        except InvalidBody:
            told = "VALUE is not JSON; leave --json-value out to seal it as text"
            raise console.Failure(told) from None
    keyring = open_keyring(place.path, place.roots)
    asked = values.ToSeal(plaintext, context, json_value, form)
    make = lease_for(place, keyring)
    with NoLease() if make is None else make() as lease:
        stands = False
        while not stands:
            epoch = lease.require()
            sessions = _sessions(keyring)
            session_control.refuse(sessions, context.scope, lease.not_before)
            (token,) = asyncio.run(values.seal(sessions, [asked]))
            with lease.writing(epoch) as stands:
                if stands:
                    click.echo(token.decode())


@click.command()
@click.argument("sealed", metavar="TOKEN")
@click.option("--purpose-of-use", metavar="WORD", help="What it is opened for, for the audit log.")
@_bound_parts
@keyring_options
def decrypt(
    place: KeyringPlace, *, sealed: str, purpose_of_use: str | None, context: Context
) -> None:
    """Open TOKEN (- reads it from stdin) and print the value. The audit log records it first.

    \b
    sealyard decrypt --tenant clinic --conversation c1 --field content eyJ0eXAiOiJzeTEi...
    sealyard decrypt --tenant clinic --field data - < stored.bin > scan.png

    Of the bytes that a backend decoded from a token in base64 form, bytes are printed. Name exactly
    the parts that the rule binds. Exits with 1 if the token does not open. Where the configuration
    lists `purposes_of_use`, name one of them.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if place.purposes and purpose_of_use not in place.purposes:
        known = ", ".join(sorted(place.purposes))
        raise click.UsageError(f"give a --purpose-of-use that the configuration lists: {known}")
    text = read_token(sealed, limit=TOKEN_BYTES)
    keyring = open_keyring(place.path, place.roots)
    try:
        asked = values.ToOpen(text, context)
        (opened,) = asyncio.run(values.open_tokens(_sessions(keyring), [asked]))
    except OpenFailed as failure:
        place.refused(keyring, failure.reason, text)
        why = in_words(keyring, text, context, failure.reason, time.time())
        raise console.Failure(f"the token does not open: {failure.reason}: {why}") from None
    with place.opening(keyring, context, opened.session.sid, purpose_of_use):
        if sys.stdout.isatty():  # its author must not steer a terminal
            click.echo(console.printable(opened.plaintext.decode(errors="backslashreplace")))
        else:
            sys.stdout.buffer.write(opened.plaintext)
        sys.stdout.flush()


def _sessions(keyring: Keyring) -> Sessions:
    store = MemoryStore(time.monotonic)
    return Sessions(keyring, store, SessionSettings(), clock=time.time, random=os.urandom)
