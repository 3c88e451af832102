"""The `keys` commands: the group, and those that make and change the keyring."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from ...keys.keyring import file as keyring_file
from ...keys.keyring.kek import MAX_REVOCATIONS, KekEntry
from ...keys.keyring.keyring import Keyring, create
from ...keys.operations import erase_receipt
from ..support import console
from ..support.console import ask, parse_time, utc, yes_option
from ..support.keyring_changes import (
    ROLL_OUT_SECONDS,
    asked,
    facts,
    prepare_new,
    require_everywhere,
    tell,
    update,
)
from ..support.keyring_options import FILE, KeyringPlace, keyring_options
from . import keys_backup, keys_check

_ID_HELP: Final = (
    "What to call the KEK; a dash and four characters of its key follow. Default: k and those four."
)


@click.group()
def keys() -> None:
    """Make, change, check, back up and restore the keyring.

    \b
    sealyard keys init
    sealyard keys list --json
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped


@keys.command()
@click.option("--id", "name", default="", help=_ID_HELP)
@keyring_options
def init(place: KeyringPlace, name: str) -> None:
    """Make a keyring with one KEK, and the root key if --root-file names none yet.

    \b
    sealyard keys init
    sealyard keys init --keyring keys/keyring.jwe --root-file keys/root.key
    """  # noqa: D301 - see above
    keyring = asked(partial(create, name, now=int(time.time()), random=os.urandom, marked=True))
    prepare_new(place)
    kek_id = keyring.primary.id
    place.write_down(keyring, "keys.init", kek=kek_id)
    keyring_file.create_keyring(place.path, keyring, place.root)
    console.say(f"made {place.path} with KEK {kek_id}; back it up now: sealyard keys export")
    tell(keyring)


@keys.command("list")
@console.as_json
@keyring_options
def list_keks(place: KeyringPlace, *, as_json: bool) -> None:
    """List the KEKs: id, number, state and time of creation, and tell which keyring it is.

    \b
    sealyard keys list
    sealyard keys list --json
    """  # noqa: D301 - see above
    keyring = keyring_file.open_keyring(place.path, place.root)
    rows: list[dict[str, Any]] = [
        {
            "id": kek.id,
            "number": kek.number,
            "state": kek.state,
            "created": utc(kek.created),
            "also": list(kek.also),
        }
        for kek in keyring.keks
    ]
    idle, held = len(keyring.idle(int(time.time()))), len(keyring.revocations)
    if as_json:
        revocations = {"held": held, "most": MAX_REVOCATIONS, "idle": idle}
        console.print_json(facts(keyring) | {"keks": rows, "revocations": revocations})
    else:
        tell(keyring)
        if held:
            console.say(f"{held} revocations of at most {MAX_REVOCATIONS}; {idle} go with the next")
        for row in rows:
            also = f" also {', '.join(row['also'])}" if row["also"] else ""
            click.echo("{id:<32} {number:>5} {state:<8} {created}".format(**row) + also)


@keys.command()
@click.option("--id", "name", default="", help=_ID_HELP)
@keyring_options
def add(place: KeyringPlace, name: str) -> None:
    """Add a KEK that opens and does not seal yet; promote it when every process has it.

    \b
    sealyard keys add
    sealyard keys add --id k2027
    """  # noqa: D301 - see above

    def change(keyring: Keyring) -> Keyring:
        return keyring.add(name, now=int(time.time()), random=os.urandom, marked=True)

    click.echo(update(place, "keys.add", change).keks[-1].id)


@keys.command()
@click.argument("kek_id")
@click.option("--anyway", is_flag=True, help="Do not wait until every process has the KEK.")
@keyring_options
def promote(place: KeyringPlace, kek_id: str, *, anyway: bool) -> None:
    """Make a KEK the primary; the old primary goes on opening.

    \b
    sealyard keys promote k2
    sealyard keys promote k2 --keyring keys/keyring.jwe

    Where processes share a store, it asks first whether all that are alive have the KEK, and ends
    with 1 while one does not: what it seals would not open there.
    """  # noqa: D301 - see above
    if not anyway:
        require_everywhere(place, kek_id)
    update(place, "keys.promote", lambda keyring: keyring.promote(kek_id), kek=kek_id)
    console.say(f"{kek_id} is the primary KEK; reload Sealyard to seal with it")


@keys.command()
@click.argument("kek_id")
@yes_option
@keyring_options
def disable(place: KeyringPlace, kek_id: str, *, yes: bool) -> None:
    """Disable a KEK: what it sealed does not open any more, until it is enabled again.

    \b
    sealyard keys disable k1
    sealyard keys disable k1 --keyring keys/keyring.jwe --yes

    It shows what depends on the KEK and asks.
    """  # noqa: D301 - see above
    if not yes:
        ask(*_depending(place, kek_id, "until it is enabled again"))
    update(place, "keys.disable", lambda keyring: keyring.disable(kek_id), kek=kek_id)
    console.say(f"{kek_id} is disabled; reload Sealyard")


@keys.command()
@click.argument("kek_id")
@keyring_options
def enable(place: KeyringPlace, kek_id: str) -> None:
    """Enable a disabled KEK: what it sealed opens again. It seals nothing unless it is promoted.

    \b
    sealyard keys enable k1
    sealyard keys enable k1 --keyring keys/keyring.jwe
    """  # noqa: D301 - see above
    update(place, "keys.enable", lambda keyring: keyring.enable(kek_id), kek=kek_id)
    console.say(f"{kek_id} opens again; reload Sealyard")


@keys.command()
@click.argument("kek_id")
@click.option("--receipt", "file", type=FILE, help="Write the receipt to this file.")
@yes_option
@keyring_options
def destroy(place: KeyringPlace, kek_id: str, file: Path | None, *, yes: bool) -> None:
    """Take a disabled KEK out of the keyring, and print a signed receipt.

    \b
    sealyard keys destroy k1 --receipt k1.jws
    sealyard keys destroy k1 --yes > k1.jws

    It shows what depends on the KEK and asks. Check the receipt with
    `sealyard audit verify-receipt`. What the KEK sealed opens never again, once the backups that
    the receipt names are gone too.
    """  # noqa: D301 - see above
    if file is not None and file.exists():
        raise console.Failure(f"{file}: exists already", console.ENVIRONMENT)
    if not yes:
        ask(*_depending(place, kek_id, "for good"))
    gone: list[KekEntry] = []

    def change(keyring: Keyring) -> Keyring:
        changed = keyring.remove(kek_id)
        gone.append(keyring.entry(kek_id))
        return changed

    keyring = update(place, "keys.destroy", change, kek=kek_id)
    said = erase_receipt.sign(
        erase_receipt.of_kek(gone[-1]), keyring.record_key, now=int(time.time())
    )
    if file is not None:
        file.write_text(said + "\n")
    click.echo(said)
    console.say(f"{kek_id} is gone from {place.path}; reload Sealyard, and destroy its backups")


@keys.command()
@click.option(
    "--joined-names",
    "since",
    metavar="TIME",
    help="From when on joined names are set apart, such as 2026-11-24T18:00:00Z: a time by which"
    " every process has the file. Default: in ten minutes.",
)
@console.as_json
@keyring_options
def upgrade(place: KeyringPlace, since: str | None, *, as_json: bool) -> None:
    """Write the keyring in the form of this version, once no older one has to read it.

    \b
    sealyard keys upgrade
    sealyard keys upgrade --joined-names 2026-11-24T18:00:00Z

    Everything in it stays, ids and numbers too. Version 0.1.0 does not read what is written, and
    nothing turns it back but a backup: see docs/how-to/upgrade.md. What a process seals for joined
    names after that time, not having the file yet, opens nowhere. Until it comes, another time can
    be given.
    """  # noqa: D301 - see above
    now = int(time.time())
    joined_since = now + ROLL_OUT_SECONDS if since is None else parse_time(since)
    if joined_since < now:
        raise click.UsageError("--joined-names is a time that has passed")

    def change(keyring: Keyring) -> Keyring:
        if keyring.joined_since in {None, joined_since} or since is None:
            return keyring.upgrade(joined_since)
        return keyring.set_apart(joined_since, now)

    keyring = update(place, "keys.upgrade", change)
    if as_json:
        console.print_json(facts(keyring))
    else:
        console.say(f"give the file to every process before {utc(keyring.joined_since or now)}")


def _depending(place: KeyringPlace, kek_id: str, how_long: str) -> Iterator[str]:
    """Yield what a KEK is, and what becomes of what it sealed."""
    keyring = keyring_file.open_keyring(place.path, place.root)
    entry = asked(partial(keyring.entry, kek_id))
    others = len(keyring.keks) - 1
    yield (
        f"KEK {kek_id} of {place.path}: {entry.state}, made {utc(entry.created)};"
        f" others in the keyring: {others}, primary {keyring.primary.id}"
    )
    yield f"what it sealed opens no more, {how_long}, wherever this keyring is"
    yield "sealyard keys usage tells when something was last opened with it"


for _command in (
    keys_check.verify,
    keys_check.usage,
    keys_backup.export,
    keys_backup.import_backup,
    keys_check.derive,
):
    keys.add_command(_command)
