"""The `keys` commands: the group, and those that create and change the keyring."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from ...core.crypto.derivation import audit_key
from ...keys.audit import verification
from ...keys.audit.opened import Question
from ...keys.keyring.file import create_keyring, open_keyring
from ...keys.keyring.kek import FILLS
from ...keys.keyring.keyring import UNSIGNED, Keyring, create
from ...keys.operations import erase_receipt
from ...keys.policy import MAX_REVOCATIONS
from ..policy import ExitCode
from ..support import console
from ..support.console import FILE, ask, utc, yes_option
from ..support.files import give_receipt, reserve_receipt
from ..support.keyring_changes import (
    asked,
    expect_option,
    facts,
    fence,
    prepare_new,
    require_disabled,
    require_everywhere,
    tell,
    tell_reach,
    update,
)
from ..support.keyring_options import KeyringPlace, keyring_options
from . import (
    keys_backup,
    keys_check,
    keys_index,
    keys_names,
    keys_records,
    keys_roots,
    keys_sign,
    keys_unlock,
)

_DESTROY: Final = "keys.destroy"
_ID_HELP: Final = (
    "The name of the KEK, to which a dash and four characters of its key are added; default: k and"
    " those four."
)


@click.group()
def keys() -> None:
    """Create, change, check, back up and restore the keyring.

    \b
    sealyard keys init
    sealyard keys list --json
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


@keys.command()
@click.option("--id", "name", default="", help=_ID_HELP)
@keyring_options
def init(place: KeyringPlace, name: str) -> None:
    """Create a keyring with one KEK, and the root key file if --root-file names a missing one.

    \b
    sealyard keys init
    sealyard keys init --keyring keys/keyring.jwe --root-file keys/root.key
    """  # noqa: D301 - see above
    keyring = asked(partial(create, name, now=int(time.time()), random=os.urandom, marked=True))
    prepare_new(place)
    kek_id = keyring.primary.id
    place.write_down(keyring, "keys.init", kek=kek_id)
    create_keyring(place.path, keyring, place.roots)
    console.say(f"created {place.path} with KEK {kek_id}; back it up now: sealyard keys export")
    tell(keyring)


@keys.command("list")
@console.as_json
@keyring_options
def list_keks(place: KeyringPlace, *, as_json: bool) -> None:
    """List the KEKs: id, number, state and time of creation, and the keyring's id.

    \b
    sealyard keys list
    sealyard keys list --json
    """  # noqa: D301 - see above
    keyring = open_keyring(place.path, place.roots)
    rows: list[dict[str, Any]] = [
        {
            "id": kek.id,
            "number": kek.number,
            "state": kek.state,
            "created": utc(kek.created),
            "adopted": kek.adopted or None,
        }
        for kek in keyring.keks
    ]
    idle, held = len(keyring.idle(int(time.time()))), len(keyring.revocations)
    signed = None if keyring.origin is None else keyring.origin.signed
    if as_json:
        revocations = {"held": held, "most": MAX_REVOCATIONS, "idle": idle}
        more = {"keks": rows, "revocations": revocations, "signed": signed}
        console.print_json(facts(keyring) | more)
    else:
        tell(keyring)
        if signed is False:
            console.say(UNSIGNED)
        if held:
            console.say(
                f"{held} of at most {MAX_REVOCATIONS} revocations; the next removes {idle} of them"
            )
            if keyring.nearly_full:
                console.say(f"warning: {FILLS}")
        for row in rows:
            of = f"  of {row['adopted']}" if row["adopted"] else ""
            click.echo("{id:<32} {number:>5} {state:<8} {created}".format(**row) + of)


@keys.command()
@click.option("--id", "name", default="", help=_ID_HELP)
@keyring_options
def add(place: KeyringPlace, name: str) -> None:
    """Add a KEK that opens but does not seal yet; promote it when every process has it.

    \b
    sealyard keys add
    sealyard keys add --id k2027
    """  # noqa: D301 - see above

    def change(keyring: Keyring) -> Keyring:
        return keyring.add(name, now=int(time.time()), random=os.urandom, marked=True)

    click.echo(update(place, "keys.add", change).keks[-1].id)


@keys.command()
@click.argument("kek_id")
@click.option("--anyway", is_flag=True, help="Promote it even if not every process has the KEK.")
@expect_option
@keyring_options
def promote(place: KeyringPlace, kek_id: str, expect: int | None, *, anyway: bool) -> None:
    """Make a KEK the primary; the old primary still opens.

    \b
    sealyard keys promote k2
    sealyard keys promote k2 --keyring keys/keyring.jwe

    If processes share a store, it first checks that every live process has the KEK, and exits with
    1 if one does not, since that process could not open what the KEK seals, or if none is known.
    """  # noqa: D301 - see above
    if not anyway:
        require_everywhere(place, kek_id, expect)
    changed = update(place, "keys.promote", lambda keyring: keyring.promote(kek_id), kek=kek_id)
    console.say(f"{kek_id} is the primary KEK; reload Sealyard to seal with it")
    tell_reach(fence(place, changed, expect), "know of it", expect=expect)


@keys.command()
@click.argument("kek_id")
@yes_option
@expect_option
@keyring_options
def disable(place: KeyringPlace, kek_id: str, expect: int | None, *, yes: bool) -> None:
    """Disable a KEK: what it sealed does not open until it is enabled again.

    \b
    sealyard keys disable k1
    sealyard keys disable k1 --keyring keys/keyring.jwe --yes

    Shows what depends on the KEK and asks for confirmation. If processes share a store, it waits
    until each of them has disabled the KEK, or its lease has ended, and exits with 1 if one was not
    reached.
    """  # noqa: D301 - see above
    if not yes:
        ask(*_depending(place, kek_id, "until it is enabled again"))
    changed = update(place, "keys.disable", lambda keyring: keyring.disable(kek_id), kek=kek_id)
    console.say(f"{kek_id} is disabled; reload Sealyard")
    tell_reach(fence(place, changed, expect), f"have disabled {kek_id}", expect=expect)


@keys.command()
@click.argument("kek_id")
@keyring_options
def enable(place: KeyringPlace, kek_id: str) -> None:
    """Enable a disabled KEK: what it sealed opens again. To seal with it, promote it.

    \b
    sealyard keys enable k1
    sealyard keys enable k1 --keyring keys/keyring.jwe
    """  # noqa: D301 - see above
    update(place, "keys.enable", lambda keyring: keyring.enable(kek_id), kek=kek_id)
    console.say(f"{kek_id} is enabled; reload Sealyard")


@keys.command()
@click.argument("kek_id")
@click.option("--receipt", "file", type=FILE, help="Write the receipt to this file.")
@click.option("--anyway", is_flag=True, help="Remove it even if not every process was reached.")
@yes_option
@expect_option
@keyring_options
def destroy(  # noqa: PLR0913 - its options
    place: KeyringPlace,
    kek_id: str,
    file: Path | None,
    expect: int | None,
    *,
    yes: bool,
    anyway: bool,
) -> None:
    """Remove a disabled KEK from the keyring, and print a signed receipt.

    \b
    sealyard keys destroy k1 --receipt k1.jws
    sealyard keys destroy k1 --yes > k1.jws

    Shows what depends on the KEK and asks for confirmation. Verify the receipt with
    `sealyard audit verify-receipt`. What the KEK sealed never opens again, once the backups that
    the receipt names are destroyed, too. If processes share a store, the KEK must have been
    disabled in each of them for longer than a lease, which takes six seconds; it exits with 1
    otherwise. If it was killed before the receipt was written, run it again: the audit log tells
    what was destroyed.
    """  # noqa: D301 - see above
    with reserve_receipt(file) as kept:
        keyring = open_keyring(place.path, place.roots)
        claims = _destroyed(place, keyring, kek_id)
        if claims is None:
            if not yes:
                ask(*_depending(place, kek_id, "ever again"))
            if not anyway:
                require_disabled(place, kek_id, expect)
            entry = asked(partial(keyring.entry, kek_id))
            claims = {"kek": kek_id, "number": entry.number, "created": entry.created}
            keyring = update(place, _DESTROY, lambda one: one.remove(kek_id), **claims)
        said = erase_receipt.of_kek(claims, indexed=bool(keyring.index))
        receipt = erase_receipt.sign(said, keyring.record_key, now=int(time.time()))
    fence(place, keyring, 0)
    problem = give_receipt(receipt, receipt, kept)
    console.say(f"{kek_id} is removed from {place.path}; reload Sealyard, and destroy the backups")
    if problem:
        raise console.Failure(problem, ExitCode.ENVIRONMENT)


def _destroyed(place: KeyringPlace, keyring: Keyring, kek_id: str) -> dict[str, Any] | None:
    """Return what a receipt says of a KEK that is gone; None where none of that id was destroyed.

    A command that was killed left the line of the audit log, which is there before the KEK goes,
    and the retired number, which tells that it went.
    """
    if not keyring.retired or any(one.id == kek_id for one in keyring.keks):
        return None
    key = audit_key(keyring.record_key)
    files = verification.with_rotated(place.audit.path, key)
    found, _ = verification.select(files, key, Question(_DESTROY))
    for line in reversed(found):
        claims = {name: line.members.get(name) for name in ("kek", "number", "created")}
        if line.authentic and claims["kek"] == kek_id and claims["number"] in keyring.retired:
            return claims
    return None


def _depending(place: KeyringPlace, kek_id: str, how_long: str) -> Iterator[str]:
    """Yield what a KEK is, and what its removal means for what it sealed."""
    keyring = open_keyring(place.path, place.roots)
    entry = asked(partial(keyring.entry, kek_id))
    others = len(keyring.keks) - 1
    yield (
        f"KEK {kek_id} of {place.path}: {entry.state}, created {utc(entry.created)};"
        f" other KEKs: {others}, primary {keyring.primary.id}"
    )
    yield f"with this keyring, what it sealed does not open {how_long}"
    yield "sealyard keys usage shows when something was last opened with it"


for _command in (
    keys_check.verify,
    keys_check.usage,
    keys_backup.export,
    keys_backup.import_backup,
    keys_backup.adopt,
    keys_check.derive,
    keys_index.rotate_index,
    keys_names.rotate_names,
    keys_names.names,
    keys_records.rotate_records,
    keys_roots.roots,
    keys_sign.sign,
    keys_unlock.unlock,
):
    keys.add_command(_command)
