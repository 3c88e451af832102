"""`sealyard keys verify` and `sealyard keys derive`: the keyring against one stored token."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Final

import click

from ..core.crypto.context import Context, Scope
from ..core.crypto.joined_names import Name
from ..core.errors import OpenFailed
from ..keys.keyring import file
from ..keys.operations import token_check
from . import base, secret_output
from .keyring_changes import facts
from .keyring_place import Place, context_options, keyring_options, named_option

_MAX_TOKEN_BYTES: Final = 16 << 20


@click.command()
@click.argument("stored", metavar="[TOKEN]", required=False)
@context_options
@click.option("--field", help="The field that the token is bound to.")
@named_option("message", "The message id that it is bound to.")
@click.option("--purpose", help="The purpose that it is bound to.")
@click.option("--kind", type=click.Choice(["body", "stream"]), help="For tokens of whole bodies.")
@base.as_json
@keyring_options
def verify(  # noqa: PLR0913 - one parameter for each part of a context
    place: Place,
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
@secret_output.output_option
@keyring_options
def derive(
    place: Place,
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
    secret_output.require_private(output)
    keyring = file.open_keyring(place.path, place.root)
    scope = Scope(tenant, conversation)
    text = _token(stored)
    try:
        jwk = token_check.session_jwk(keyring, text, scope)
    except OpenFailed as failure:
        place.refused(keyring, failure.reason, text)
        raise base.Failure(f"the token does not open: {failure.reason}", base.NEGATIVE) from None
    kid: str = json.loads(jwk)["kid"]
    place.write_down(keyring, "keys.derive", kid=kid)
    secret_output.write(jwk, output)


def _token(stored: str) -> bytes:
    return base.read_argument(stored, limit=_MAX_TOKEN_BYTES).strip()
