"""The `participants` commands: keys of the parties to end-to-end sealing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from ...keys.participants.calls import Use
from ...keys.participants.participant import DEFAULT_SECONDS
from ...keys.private_file import write
from ..support import console
from ..support.console import FILE, ask, parse_time, utc, yes_option
from ..support.keyring_options import KeyringPlace, keyring_options
from ..support.store_access import (
    accept,
    change,
    find,
    hand_out,
    look,
    new_key,
    new_prekey,
    opener_of,
)

# A key id is base64url, so one of 64 begins with a dash, and may have an h. It is an argument.
_TAKES_KID: Final = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
_WEEK_SECONDS: Final = 604_800
_YEAR_SECONDS: Final = 366 * 86_400

_use = click.option(
    "--use",
    type=click.Choice(["enc", "sig"]),
    default="enc",
    show_default=True,
    help="enc: session keys are wrapped for it (RSA-4096); sig: it signs (Ed25519).",
)


def _opener_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for what private keys are encrypted under."""
    for option in (
        click.option(
            "--under",
            type=click.Choice(["passphrase", "keyring"]),
            default="passphrase",
            show_default=True,
            help="What the private key is encrypted under; any Sealyard can use the keyring's.",
        ),
        click.option(
            "--private-passphrase-file",
            type=FILE,
            help="Read the passphrase of the private key from this file.",
        ),
        click.option(
            "--private-passphrase-env",
            default="SEALYARD_PARTICIPANT_PASSPHRASE",
            show_default=True,
            metavar="NAME",
            help="Read the passphrase of the private key from $NAME.",
        ),
    ):
        command = option(command)
    return command


def _key_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that describe a new key."""
    for option in (
        click.option(
            "--expires",
            metavar="TIME",
            help="When the key expires, such as 2027-11-24T00:00:00Z; default: never.",
        ),
        click.option(
            "--jwk", type=FILE, help="Use the public JWK in this file; generate no key pair."
        ),
        click.option(
            "--x-wing",
            is_flag=True,
            help="X-Wing (ML-KEM-768 and X25519) instead of RSA, for --use enc; experimental.",
        ),
        click.option("--ps256", is_flag=True, help="RSA-4096 instead of Ed25519, for --use sig."),
        click.option("--x25519", is_flag=True, help="X25519 instead of RSA, for --use enc."),
        click.option(
            "--accept",
            "accepted",
            is_flag=True,
            help="Also accept the key, as `participants accept` does.",
        ),
        _use,
        click.option(
            "--device",
            default="main",
            show_default=True,
            help="The device that the key belongs to.",
        ),
    ):
        command = option(command)
    return _opener_options(command)


@click.group()
def participants() -> None:
    """Add, accept, rotate, revoke and list the keys of participants.

    \b
    sealyard participants add alice --device phone
    sealyard participants jwks alice

    The keys are in the configured store, which must be shared: sqlite: or redis:.
    Put -- before a key id that begins with a dash.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


@participants.command()
@click.argument("participant")
@_key_options
@console.as_json
@keyring_options
def add(
    place: KeyringPlace,
    /,
    participant: str,
    *,
    accepted: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - the options of a new key
) -> None:
    """Generate a key pair for PARTICIPANT, or add a public key that they generated themselves.

    \b
    sealyard participants add alice --device phone
    sealyard participants add bob --jwk bob.pub.json

    The private key is stored encrypted under a separate passphrase. RSA takes seconds.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    key = new_key(place, **options)
    change(place, "participants.add", participant, key.public.kid, lambda one: one.add(key))
    if accepted:
        accept(place, participant, key.public.kid)
    console.answer(key.facts(time.time()), (key.public.kid,), as_json=as_json)


@participants.command()
@click.argument("participant")
@_key_options
@click.option(
    "--grace",
    type=click.IntRange(0, _YEAR_SECONDS),
    default=_WEEK_SECONDS,
    show_default=True,
    help="How many seconds the old key still opens.",
)
@console.as_json
@keyring_options
def rotate(
    place: KeyringPlace,
    /,
    participant: str,
    grace: int,
    *,
    accepted: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - the options of a new key
) -> None:
    """Replace the active key of a device; the old key still opens for the grace period.

    \b
    sealyard participants rotate alice --device phone
    sealyard participants rotate alice --device phone --grace 3600
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    key = new_key(place, **options)
    change(
        place,
        "participants.rotate",
        participant,
        key.public.kid,
        lambda one: one.rotate(key, grace=grace),
    )
    if accepted:
        accept(place, participant, key.public.kid)
    console.answer(key.facts(time.time()), (key.public.kid,), as_json=as_json)


@participants.command("prekey")
@click.argument("participant")
@click.option(
    "--device", default="main", show_default=True, help="The device that the prekey belongs to."
)
@click.option(
    "--ttl",
    type=click.IntRange(60, _YEAR_SECONDS),
    default=DEFAULT_SECONDS,
    show_default=True,
    help="How many seconds others seal for it.",
)
@click.option(
    "--grace",
    type=click.IntRange(0, _YEAR_SECONDS),
    default=_WEEK_SECONDS,
    show_default=True,
    help="How many seconds it still opens after that.",
)
@_opener_options
@keyring_options
def add_prekey(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    participant: str,
    *,
    device: str,
    ttl: int,
    grace: int,
    under: str,
    private_passphrase_env: str,
    private_passphrase_file: Path | None,
) -> None:
    """Add a short-lived, signed X25519 key for a device, and delete those past their grace.

    \b
    sealyard participants prekey alice --device phone --under keyring
    sealyard participants prekey alice --device phone --ttl 86400 --grace 86400

    Run it before the last prekey expires, for example every week: without one, others seal for the
    other keys of the device again. --under also says what opens the participant's signing key.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    opener = opener_of(place, under, private_passphrase_env, private_passphrase_file)
    key = new_prekey(place, participant, device=device, ttl=ttl, grace=grace, opener=opener)
    change(
        place,
        "participants.prekey",
        participant,
        key.public.kid,
        lambda one: one.add_prekey(key, grace=grace),
    )
    click.echo(key.public.kid)


@participants.command(context_settings=_TAKES_KID)
@click.argument("participant")
@click.argument("kid")
@click.option("--reason", required=True, help="The reason, in one line; it is stored with the key.")
@yes_option
@keyring_options
def revoke(place: KeyringPlace, participant: str, kid: str, reason: str, *, yes: bool) -> None:
    """Revoke the key KID: it never seals or opens again.

    \b
    sealyard participants revoke alice KID --reason "phone lost"
    sealyard participants revoke alice KID --reason "phone lost" --yes

    Asks for confirmation. `sealyard participants list alice` shows the keys.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if not yes:
        ask(
            f"key {kid} of {participant}: Sealyard no longer opens packages for it, conversations"
            " get new session keys, and the key can never be added again"
        )
    now = int(time.time())
    change(place, "participants.revoke", participant, kid, lambda one: one.revoke(kid, reason, now))
    console.say(f"revoked {kid}; it can never be added again")


@participants.command(context_settings=_TAKES_KID)
@click.argument("participant")
@click.argument("kid")
@click.option(
    "--at", metavar="TIME", help="When it expires, such as 2027-11-24T00:00:00Z; default: now."
)
@keyring_options
def expire(place: KeyringPlace, participant: str, kid: str, at: str | None) -> None:
    """Let the key KID expire at a time, or now. An expiry can only be brought forward.

    \b
    sealyard participants expire alice KID
    sealyard participants expire alice KID --at 2027-11-24T00:00:00Z
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    ends = int(time.time()) if at is None else parse_time(at)
    after = change(
        place, "participants.expire", participant, kid, lambda one: one.expire(kid, ends)
    )
    console.say(f"{kid} expires at {utc(after.find(kid).expires)}")


@participants.command("accept", context_settings=_TAKES_KID)
@click.argument("participant")
@click.argument("kid")
@keyring_options
def accept_key(place: KeyringPlace, participant: str, kid: str) -> None:
    """Accept the key KID as genuine, for senders and readers.

    \b
    sealyard participants list alice
    sealyard participants accept alice KID

    Compare it with the key that PARTICIPANT has, by telephone or in person. A key that has not been
    accepted is reported or not used at all, depending on `keys.pins`.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    accept(place, participant, kid)
    console.say(f"accepted {kid}")


@participants.command("list")
@click.argument("participant")
@console.as_json
@keyring_options
def list_keys(place: KeyringPlace, participant: str, *, as_json: bool) -> None:
    """List all keys of PARTICIPANT, current and former.

    \b
    sealyard participants list alice
    sealyard participants list alice --json
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    found, pins = look(place, participant)
    facts = [{**one.facts(time.time()), **pins.facts(one)} for one in found.keys]
    console.answer({"keys": facts}, map(_row, facts), as_json=as_json)


def _row(facts: Mapping[str, Any]) -> str:
    """Return a key of a participant, as a line for a person."""
    reason = f"  {facts['reason']}" if "reason" in facts else ""
    new = "  NOT ACCEPTED" if facts.get("accepted") is False else ""
    about = f"{facts['kid']}  {facts['use']}  {facts['status']:<8}  {facts['device']}"
    return f"{about}{new}{reason}"


@participants.command()
@click.argument("participant")
@keyring_options
def jwks(place: KeyringPlace, participant: str) -> None:
    """Print the active public keys of PARTICIPANT as a JWK Set.

    \b
    sealyard participants jwks alice
    sealyard participants jwks alice > alice.jwks.json
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    console.print_json(find(place, participant).jwks(time.time()))


@participants.command(context_settings=_TAKES_KID)
@click.argument("participant")
@click.argument("kid")
@click.argument("file", type=FILE)
@keyring_options
def private(place: KeyringPlace, participant: str, kid: str, file: Path) -> None:
    """Write the private key KID to FILE as it is stored: an encrypted JWK.

    \b
    sealyard participants private alice KID alice.jwe
    sealyard participants private alice KID ~/keys/alice.jwe --config sealyard.yaml
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if file.exists():
        raise console.Failure(f"{file} already exists", console.ENVIRONMENT)
    write(file, hand_out(place, participant, kid).encode() + b"\n")
    console.say(f"wrote {file}; its passphrase opens it in any JOSE library")


@participants.command("has-valid-keys")
@click.argument("participant")
@_use
@keyring_options
def has_valid_keys(place: KeyringPlace, participant: str, use: Use) -> None:
    """Exit with 0 if PARTICIPANT has an active key, else with 1.

    \b
    sealyard participants has-valid-keys alice
    sealyard participants has-valid-keys alice --use sig
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    valid = find(place, participant).has_valid_keys(time.time(), use)
    click.echo("yes" if valid else "no")
    sys.exit(console.OK if valid else console.NEGATIVE)
