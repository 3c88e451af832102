"""The `participants` commands: key pairs of parties that are to read what is sealed for them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from ...keys.participants.participant import DEFAULT_SECONDS, ParticipantKey
from ...keys.participants.public_key import Use
from ...keys.private_file import write
from ..support import console
from ..support.console import ask, parse_time, utc, yes_option
from ..support.keyring_options import FILE, KeyringPlace, keyring_options
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

# One of 64 key ids, which are base64url, begins with a dash and is no option for that, also where
# there is an h in it.
_TAKES_KID: Final = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
_WEEK_SECONDS: Final = 604_800
_YEAR_SECONDS: Final = 366 * 86_400

_use = click.option(
    "--use",
    type=click.Choice(["enc", "sig"]),
    default="enc",
    show_default=True,
    help="To wrap session keys for them (RSA-4096), or to sign (Ed25519).",
)


def _opener_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what private keys are encrypted under."""
    for option in (
        click.option(
            "--under",
            type=click.Choice(["passphrase", "keyring"]),
            default="passphrase",
            show_default=True,
            help="What the private key is encrypted under; the keyring's opens at every Sealyard.",
        ),
        click.option("--private-passphrase-file", type=FILE, help="Read it from this file."),
        click.option(
            "--private-passphrase-env",
            default="SEALYARD_PARTICIPANT_PASSPHRASE",
            show_default=True,
            metavar="NAME",
            help="What the private key is encrypted under.",
        ),
    ):
        command = option(command)
    return command


def _key_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that describe a new key."""
    for option in (
        click.option("--expires", metavar="TIME", help="Such as 2027-11-24T00:00:00Z."),
        click.option("--jwk", type=FILE, help="Take the public JWK in this file; make no pair."),
        click.option(
            "--x-wing",
            is_flag=True,
            help="X-Wing (ML-KEM-768 and X25519) in place of RSA, with --use enc; experimental.",
        ),
        click.option("--ps256", is_flag=True, help="RSA-4096 in place of Ed25519, with --use sig."),
        click.option("--x25519", is_flag=True, help="X25519 in place of RSA, with --use enc."),
        click.option(
            "--accept",
            "accepted",
            is_flag=True,
            help="Accept the key at once, as `participants accept` does.",
        ),
        _use,
        click.option("--device", default="main", show_default=True, help="Whose key it is."),
    ):
        command = option(command)
    return _opener_options(command)


@click.group()
def participants() -> None:
    """Make, take, rotate, revoke and list the key pairs of participants.

    \b
    sealyard participants add alice --device phone
    sealyard participants jwks alice

    They live in the configured store, which other processes share: sqlite: or redis:.
    Put -- before a key id that begins with a dash.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped


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
    **said: Any,  # noqa: ANN401 - the options of a new key
) -> None:
    """Give PARTICIPANT a key pair, or take the public key that they made themselves.

    \b
    sealyard participants add alice --device phone
    sealyard participants add bob --jwk bob.pub.json

    A pair's private key is kept encrypted under a passphrase of its own. RSA takes seconds.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    key = new_key(place, **said)
    change(place, "participants.add", participant, key.public.kid, lambda one: one.add(key))
    if accepted:
        accept(place, participant, key.public.kid)
    _tell(key, as_json=as_json)


@participants.command()
@click.argument("participant")
@_key_options
@click.option(
    "--grace",
    type=click.IntRange(0, _YEAR_SECONDS),
    default=_WEEK_SECONDS,
    show_default=True,
    help="For how many seconds the old key still opens.",
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
    **said: Any,  # noqa: ANN401 - the options of a new key
) -> None:
    """Put a new key in place of the active one of a device; the old one opens for a while.

    \b
    sealyard participants rotate alice --device phone
    sealyard participants rotate alice --device phone --grace 3600
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    key = new_key(place, **said)
    change(
        place,
        "participants.rotate",
        participant,
        key.public.kid,
        lambda one: one.rotate(key, grace=grace),
    )
    if accepted:
        accept(place, participant, key.public.kid)
    _tell(key, as_json=as_json)


@participants.command("prekey")
@click.argument("participant")
@click.option("--device", default="main", show_default=True, help="Whose prekey it is.")
@click.option(
    "--ttl",
    type=click.IntRange(60, _YEAR_SECONDS),
    default=DEFAULT_SECONDS,
    show_default=True,
    help="For how many seconds others seal for it.",
)
@click.option(
    "--grace",
    type=click.IntRange(0, _YEAR_SECONDS),
    default=_WEEK_SECONDS,
    show_default=True,
    help="For how many seconds it still opens after that.",
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
    """Give a device a signed X25519 key for a while, and delete those that are over.

    \b
    sealyard participants prekey alice --device phone --under keyring
    sealyard participants prekey alice --device phone --ttl 86400 --grace 86400

    Run it before the last one ends, such as each week: without one, others seal for the device's
    other keys again. The participant's signing key is opened by what --under says.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
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
@click.option("--reason", required=True, help="Why: one line, kept with the key.")
@yes_option
@keyring_options
def revoke(place: KeyringPlace, participant: str, kid: str, reason: str, *, yes: bool) -> None:
    """Let the key KID neither seal nor open any more, for good.

    \b
    sealyard participants revoke alice KID --reason "phone lost"
    sealyard participants revoke alice KID --reason "phone lost" --yes

    It asks first. `sealyard participants list alice` tells which keys there are.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    if not yes:
        ask(
            f"key {kid} of {participant}: packages for it open no more with Sealyard, conversations"
            " get new session keys, and it is never taken again"
        )
    now = int(time.time())
    change(place, "participants.revoke", participant, kid, lambda one: one.revoke(kid, reason, now))
    console.say(f"revoked {kid}; it is never taken again")


@participants.command(context_settings=_TAKES_KID)
@click.argument("participant")
@click.argument("kid")
@click.option("--at", metavar="TIME", help="When, such as 2027-11-24T00:00:00Z; default: now.")
@keyring_options
def expire(place: KeyringPlace, participant: str, kid: str, at: str | None) -> None:
    """Let the key KID end at a time, or now. An end that is set is never put off.

    \b
    sealyard participants expire alice KID
    sealyard participants expire alice KID --at 2027-11-24T00:00:00Z
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    ends = int(time.time()) if at is None else parse_time(at)
    after = change(
        place, "participants.expire", participant, kid, lambda one: one.expire(kid, ends)
    )
    console.say(f"{kid} ends at {utc(after.find(kid).expires)}")


@participants.command("accept", context_settings=_TAKES_KID)
@click.argument("participant")
@click.argument("kid")
@keyring_options
def accept_key(place: KeyringPlace, participant: str, kid: str) -> None:
    """Accept the key KID: senders and readers go on to believe that it is theirs.

    \b
    sealyard participants list alice
    sealyard participants accept alice KID

    Compare it with the one that PARTICIPANT has, over the telephone or face to face. A key that
    nobody accepted is told of, or not used at all, as `keys.pins` says.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    accept(place, participant, kid)
    console.say(f"accepted {kid}")


@participants.command("list")
@click.argument("participant")
@console.as_json
@keyring_options
def list_keys(place: KeyringPlace, participant: str, *, as_json: bool) -> None:
    """List all keys that PARTICIPANT has and had.

    \b
    sealyard participants list alice
    sealyard participants list alice --json
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    found, pins = look(place, participant)
    facts = [{**one.facts(time.time()), **pins.facts(one)} for one in found.keys]
    if as_json:
        console.print_json({"keys": facts})
        return
    for one in facts:
        reason = f"  {one['reason']}" if "reason" in one else ""
        new = "  NOT ACCEPTED" if one.get("accepted") is False else ""
        click.echo(f"{one['kid']}  {one['use']}  {one['status']:<8}  {one['device']}{new}{reason}")


@participants.command()
@click.argument("participant")
@keyring_options
def jwks(place: KeyringPlace, participant: str) -> None:
    """Print the active public keys of PARTICIPANT as a JWK Set.

    \b
    sealyard participants jwks alice
    sealyard participants jwks alice > alice.jwks.json
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
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
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    if file.exists():
        raise console.Failure(f"{file}: exists already", console.ENVIRONMENT)
    write(file, hand_out(place, participant, kid).encode() + b"\n")
    console.say(f"wrote {file}; its passphrase opens it in any JOSE library")


@participants.command("has-valid-keys")
@click.argument("participant")
@_use
@keyring_options
def has_valid_keys(place: KeyringPlace, participant: str, use: Use) -> None:
    """End with 0 where PARTICIPANT has an active key, with 1 otherwise.

    \b
    sealyard participants has-valid-keys alice
    sealyard participants has-valid-keys alice --use sig
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    valid = find(place, participant).has_valid_keys(time.time(), use)
    click.echo("yes" if valid else "no")
    sys.exit(console.OK if valid else console.NEGATIVE)


def _tell(key: ParticipantKey, *, as_json: bool) -> None:
    if as_json:
        console.print_json(key.facts(time.time()))
    else:
        click.echo(key.public.kid)
