"""The `keys` commands: make, change, check, back up and restore the keyring."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec

import click

from ..core.context import Context, Scope
from ..core.errors import KeyringError, OpenFailed, OperatorError
from ..keys import keyring_file, stored_token
from ..keys.audit import AuditLog
from ..keys.keyring import Keyring, create
from ..keys.roots import (
    FileRoot,
    PassphraseRoot,
    RootProvider,
    SecretReference,
    create_root_file,
)

_P = ParamSpec("_P")
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_MAX_TOKEN_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where the keyring is, what opens it, and where key operations are written down."""

    path: Path
    root: RootProvider
    audit: AuditLog


class Negative(click.ClickException):
    """The command ran, and its answer is no."""

    exit_code = 1


class Unfit(click.ClickException):
    """A file, a secret or the machine is not as it must be."""

    exit_code = 3


def find_place(
    keyring: Path,
    passphrase_env: str,
    passphrase_file: Path | None,
    root_file: Path | None,
    audit_file: Path | None,
) -> Place:
    """Return where the keyring is and how it is opened; nothing is read yet."""
    if passphrase_file is not None and root_file is not None:
        raise click.UsageError("--passphrase-file and --root-file exclude each other")
    root: RootProvider
    if root_file is not None:
        root = FileRoot(SecretReference(file=root_file))
    else:
        root = _passphrase(passphrase_env, passphrase_file)
    audit = audit_file or keyring.with_name(keyring.name + ".audit")
    return Place(keyring, root, AuditLog(audit, time.time))


def keyring_options(
    command: Callable[Concatenate[Place, _P], None],
) -> Callable[..., None]:
    """Give a command the options that say where the keyring is, and hand it the Place."""

    @click.option("--keyring", type=_FILE, default=Path("keyring.jwe"), show_default=True)
    @click.option(
        "--passphrase-env", default="SEALYARD_PASSPHRASE", show_default=True, metavar="NAME"
    )
    @click.option("--passphrase-file", type=_FILE, help="Read the passphrase from this file.")
    @click.option("--root-file", type=_FILE, help="Use the root key in this file instead.")
    @click.option("--audit-file", type=_FILE, help="Default: the keyring's path and .audit.")
    @wraps(command)
    def with_place(
        keyring: Path,
        passphrase_env: str,
        passphrase_file: Path | None,
        root_file: Path | None,
        audit_file: Path | None,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None:
        with _translated():
            place = find_place(keyring, passphrase_env, passphrase_file, root_file, audit_file)
            command(place, *args, **kwargs)

    return with_place


def context_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the scope of a token."""
    tenant = click.option("--tenant", help="The tenant that the token is bound to.")
    conversation = click.option("--conversation", help="The conversation that it is bound to.")
    return tenant(conversation(command))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
backup_options: Final = (
    click.option(
        "--backup-passphrase-env",
        default="SEALYARD_BACKUP_PASSPHRASE",
        show_default=True,
        metavar="NAME",
    ),
    click.option("--backup-passphrase-file", type=_FILE),
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
    _say(f"made {place.path} with KEK {kek_id}; back it up now: sealyard keys export")


@keys.command("list")
@as_json
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
    _say(f"{kek_id} is the primary KEK; reload Sealyard to seal with it")


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
    _say(f"{kek_id} is disabled; reload Sealyard")


@keys.command()
@click.argument("stored", metavar="[TOKEN]", required=False)
@context_options
@click.option("--field", help="The field that the token is bound to.")
@click.option("--message", help="The message id that it is bound to.")
@click.option("--purpose", help="The purpose that it is bound to.")
@click.option("--kind", type=click.Choice(["body", "stream"]), help="For tokens of whole bodies.")
@as_json
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
@click.argument("backup", type=_FILE)
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
    root = _passphrase(backup_passphrase_env, backup_passphrase_file)
    keyring_file.create_keyring(backup, keyring, root)
    _say(f"wrote {backup}; keep it and its passphrase in different places")


@keys.command("import")
@click.argument("backup", type=_FILE)
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
    root = _passphrase(backup_passphrase_env, backup_passphrase_file)
    restored = keyring_file.open_keyring(backup, root)
    if merge:
        _update(place, "keys.import", lambda keyring: keyring.merge(restored), backup=str(backup))
    else:
        _prepare_new(place)
        place.audit.write("keys.import", keyring=str(place.path), backup=str(backup))
        keyring_file.create_keyring(place.path, restored, place.root)
    _say(f"restored {place.path}; check it: sealyard keys verify TOKEN")


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
        raise Negative(f"the token does not open: {failure.reason}") from None
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
        raise Negative(error.reason) from None


def _prepare_new(place: Place) -> None:
    """Refuse an existing keyring before anything is made, then see that there is a root key."""
    if place.path.exists():
        raise Unfit(f"{place.path}: exists already and is not overwritten")
    path = place.root.reference.file if isinstance(place.root, FileRoot) else None
    if path is not None and not path.exists():
        create_root_file(path, random=os.urandom)
        _say(f"made the root key {path}; keep a copy of it apart from the keyring")


def _passphrase(env: str, file: Path | None) -> PassphraseRoot:
    reference = SecretReference(file=file) if file is not None else SecretReference(env=env)
    return PassphraseRoot(reference, os.environ)


def _token(stored: str) -> bytes:
    if stored == "-":
        return sys.stdin.buffer.read(_MAX_TOKEN_BYTES).strip()
    return stored.encode()


def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _say(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperatorError as error:
        raise Unfit(error.reason) from None
