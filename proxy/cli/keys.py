"""The `keys` commands: make, change, check, back up and restore the keyring."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from ..core.context import Context, Scope
from ..core.errors import KeyringError, OpenFailed
from ..keys import keyring_file, stored_token
from ..keys.keyring import Keyring, create
from ..keys.roots import FileRoot, create_root_file
from . import base
from .keyring_place import FILE, Place, context_options, keyring_options, passphrase_root

_MAX_TOKEN_BYTES: Final = 16 << 20

backup_options: Final = (
    click.option(
        "--backup-passphrase-env",
        default="SEALYARD_BACKUP_PASSPHRASE",
        show_default=True,
        metavar="NAME",
    ),
    click.option("--backup-passphrase-file", type=FILE),
)


@click.group()
def keys() -> None:
    """Make, change, check, back up and restore the keyring.

    \b
    sealyard keys init
    sealyard keys list --json
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped


@keys.command()
@click.option("--id", "kek_id", default="k1", show_default=True, help="Id of the first KEK.")
@keyring_options
def init(place: Place, kek_id: str) -> None:
    """Make a keyring with one KEK, and the root key if --root-file names none yet.

    \b
    sealyard keys init
    sealyard keys init --keyring keys/keyring.jwe --root-file keys/root.key
    """  # noqa: D301 - see above
    keyring = _asked(partial(create, kek_id, now=int(time.time()), random=os.urandom))
    _prepare_new(place)
    place.audit.write("keys.init", keyring=str(place.path), kek=kek_id)
    keyring_file.create_keyring(place.path, keyring, place.root)
    base.say(f"made {place.path} with KEK {kek_id}; back it up now: sealyard keys export")


@keys.command("list")
@base.as_json
@keyring_options
def list_keks(place: Place, *, as_json: bool) -> None:
    """List the KEKs: id, number, state and time of creation.

    \b
    sealyard keys list
    sealyard keys list --json
    """  # noqa: D301 - see above
    keyring = keyring_file.open_keyring(place.path, place.root)
    rows: list[dict[str, Any]] = [
        {"id": kek.id, "number": kek.number, "state": kek.state, "created": _utc(kek.created)}
        for kek in keyring.keks
    ]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows:
            click.echo("{id:<32} {number:>5} {state:<8} {created}".format(**row))


@keys.command()
@click.option("--id", "kek_id", help="Default: k and the new KEK's number.")
@keyring_options
def add(place: Place, kek_id: str | None) -> None:
    """Add a KEK that opens and does not seal yet; promote it when every process has it.

    \b
    sealyard keys add
    sealyard keys add --id k2027
    """  # noqa: D301 - see above

    def change(keyring: Keyring) -> Keyring:
        name = kek_id or f"k{keyring.highest_number + 1}"
        return keyring.add(name, now=int(time.time()), random=os.urandom)

    click.echo(_update(place, "keys.add", change).keks[-1].id)


@keys.command()
@click.argument("kek_id")
@keyring_options
def promote(place: Place, kek_id: str) -> None:
    """Make a KEK the primary; the old primary goes on opening.

    \b
    sealyard keys promote k2
    sealyard keys promote k2 --keyring keys/keyring.jwe
    """  # noqa: D301 - see above
    _update(place, "keys.promote", lambda keyring: keyring.promote(kek_id), kek=kek_id)
    base.say(f"{kek_id} is the primary KEK; reload Sealyard to seal with it")


@keys.command()
@click.argument("kek_id")
@keyring_options
def disable(place: Place, kek_id: str) -> None:
    """Disable a KEK: what it sealed does not open any more. Only a backup undoes it.

    \b
    sealyard keys disable k1
    sealyard keys disable k1 --keyring keys/keyring.jwe
    """  # noqa: D301 - see above
    _update(place, "keys.disable", lambda keyring: keyring.disable(kek_id), kek=kek_id)
    base.say(f"{kek_id} is disabled; reload Sealyard")


@keys.command()
@click.argument("stored", metavar="[TOKEN]", required=False)
@context_options
@click.option("--field", help="The field that the token is bound to.")
@click.option("--message", help="The message id that it is bound to.")
@click.option("--purpose", help="The purpose that it is bound to.")
@click.option("--kind", type=click.Choice(["body", "stream"]), help="For tokens of whole bodies.")
@base.as_json
@keyring_options
def verify(  # noqa: PLR0913 - one parameter for each part of a context
    place: Place,
    *,
    stored: str | None,
    tenant: str | None,
    conversation: str | None,
    field: str | None,
    message: str | None,
    purpose: str | None,
    kind: str | None,
    as_json: bool,
) -> None:
    """Check that the keyring opens, and with it a stored TOKEN (- reads it from stdin).

    \b
    sealyard keys verify
    sealyard keys verify - --tenant clinic --conversation c1 --field content < token.txt
    """  # noqa: D301 - see above
    keyring = keyring_file.open_keyring(place.path, place.root)
    if stored is None:
        answer = {"keks": len(keyring.keks), "primary": keyring.primary.id}
        click.echo(json.dumps(answer) if as_json else f"{place.path} opens: {answer}")
        return
    context = Context(Scope(tenant, conversation), field, message, purpose, kind)
    verdict = stored_token.verify(keyring, _token(stored), context, now=time.time())
    answer = {"kek": verdict.kek, "opens": verdict.opens, "reason": verdict.reason}
    click.echo(json.dumps(answer) if as_json else f"KEK {verdict.kek}: {verdict.reason}")
    sys.exit(0 if verdict.opens else 1)


@keys.command()
@click.argument("backup", type=FILE)
@backup_options[0]
@backup_options[1]
@keyring_options
def export(
    place: Place, backup: Path, backup_passphrase_env: str, backup_passphrase_file: Path | None
) -> None:
    """Write the keyring to BACKUP, encrypted under a passphrase of its own.

    \b
    sealyard keys export backup.jwe
    sealyard keys export backup.jwe --backup-passphrase-file backup.pass
    """  # noqa: D301 - see above
    keyring = keyring_file.open_keyring(place.path, place.root)
    place.audit.write("keys.export", keyring=str(place.path), backup=str(backup))
    root = passphrase_root(backup_passphrase_env, backup_passphrase_file)
    keyring_file.create_keyring(backup, keyring, root)
    base.say(f"wrote {backup}; keep it and its passphrase in different places")


@keys.command("import")
@click.argument("backup", type=FILE)
@click.option("--merge", is_flag=True, help="Add the KEKs that an existing keyring lacks.")
@backup_options[0]
@backup_options[1]
@keyring_options
def import_backup(
    place: Place,
    backup: Path,
    backup_passphrase_env: str,
    backup_passphrase_file: Path | None,
    *,
    merge: bool,
) -> None:
    """Restore the keyring from BACKUP; an existing keyring is never overwritten.

    \b
    sealyard keys import backup.jwe
    sealyard keys import backup.jwe --merge
    """  # noqa: D301 - see above
    root = passphrase_root(backup_passphrase_env, backup_passphrase_file)
    restored = keyring_file.open_keyring(backup, root)
    if merge:
        _update(place, "keys.import", lambda keyring: keyring.merge(restored), backup=str(backup))
    else:
        _prepare_new(place)
        place.audit.write("keys.import", keyring=str(place.path), backup=str(backup))
        keyring_file.create_keyring(place.path, restored, place.root)
    base.say(f"restored {place.path}; check it: sealyard keys verify TOKEN")


@keys.command()
@click.argument("stored", metavar="TOKEN")
@context_options
@keyring_options
def derive(place: Place, stored: str, tenant: str | None, conversation: str | None) -> None:
    """Print the session key of one TOKEN (- reads it from stdin) as a JWK for JOSE readers.

    \b
    sealyard keys derive eyJ0eXAiOiJzeTEi... --tenant clinic --conversation c1
    sealyard keys derive - --tenant clinic --conversation c1 < token.txt > session.jwk

    Whoever has the key reads and forges every message of that session. The audit log is written
    before the key is printed.
    """  # noqa: D301 - see above
    keyring = keyring_file.open_keyring(place.path, place.root)
    scope = Scope(tenant, conversation)
    text = _token(stored)
    try:
        jwk = stored_token.session_jwk(keyring, text, scope)
    except OpenFailed as failure:
        raise base.Failure(f"the token does not open: {failure.reason}", base.NEGATIVE) from None
    kid: str = json.loads(jwk)["kid"]
    place.audit.write("keys.derive", keyring=str(place.path), kid=kid)
    click.echo(jwk)


def _update(
    place: Place, event: str, change: Callable[[Keyring], Keyring], **values: str
) -> Keyring:
    def audited(keyring: Keyring) -> Keyring:
        changed = _asked(partial(change, keyring))
        # Before the file changes: what cannot be written down is not done.
        known = {kek.id for kek in keyring.keks}
        added = ",".join(kek.id for kek in changed.keks if kek.id not in known)
        place.audit.write(event, keyring=str(place.path), added=added, **values)
        return changed

    return keyring_file.update_keyring(place.path, place.root, audited)


def _asked(make: Callable[[], Keyring]) -> Keyring:
    """Return the keyring asked for; where the keyring's laws forbid it, the answer is no."""
    try:
        return make()
    except KeyringError as error:
        raise base.Failure(error.reason, base.NEGATIVE) from None


def _prepare_new(place: Place) -> None:
    """Refuse an existing keyring before anything is made, then see that there is a root key."""
    if place.path.exists():
        raise KeyringError(f"{place.path}: exists already and is not overwritten")
    path = place.root.reference.file if isinstance(place.root, FileRoot) else None
    if path is not None and not path.exists():
        create_root_file(path, random=os.urandom)
        base.say(f"made the root key {path}; keep a copy of it apart from the keyring")


def _token(stored: str) -> bytes:
    return base.read_argument(stored, limit=_MAX_TOKEN_BYTES).strip()


def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
