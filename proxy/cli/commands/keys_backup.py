"""`sealyard keys export` and `sealyard keys import`: the backup of the keyring."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from ...core.crypto.derivation import audit_key
from ...core.errors import UnfitEnvironment
from ...keys.audit import verification
from ...keys.fleet import presence
from ...keys.fleet.presence import FleetView
from ...keys.keyring import file, kek, merging
from ...keys.keyring.keyring import Keyring
from ..support import console
from ..support.console import FILE, ask, yes_option
from ..support.keyring_changes import asked, prepare_new, tell, update, view_of
from ..support.keyring_options import KeyringPlace, keyring_options, passphrase_root

_passphrase_env = click.option(
    "--backup-passphrase-env",
    default="SEALYARD_BACKUP_PASSPHRASE",
    show_default=True,
    metavar="NAME",
    help="Read the passphrase of the backup from $NAME.",
)
_passphrase_file = click.option(
    "--backup-passphrase-file", type=FILE, help="Read the passphrase of the backup from this file."
)

_LEAVES_INDEX: Final = (
    "its index secret stays there: tags are made anew by `sealyard migrate index`, and values of"
    " `form: equal` need another form first, by `migrate reseal` with that keyring"
)


@click.command()
@click.argument("backup", type=FILE)
@_passphrase_env
@_passphrase_file
@keyring_options
def export(
    place: KeyringPlace,
    backup: Path,
    backup_passphrase_env: str,
    backup_passphrase_file: Path | None,
) -> None:
    """Write the keyring to BACKUP, encrypted under a separate passphrase.

    \b
    sealyard keys export backup.jwe
    sealyard keys export backup.jwe --backup-passphrase-file backup.pass
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    root = passphrase_root(backup_passphrase_env, backup_passphrase_file)
    root.fetch().require_strength()
    keyring = file.open_keyring(place.path, place.roots)
    asked(keyring.require_signed)
    place.write_down(keyring, "keys.export", backup=str(backup))
    file.create_keyring(backup, keyring, root, backup=True)
    console.say(f"wrote {backup}; keep it and its passphrase in separate places")
    tell(keyring)


@click.command("import")
@click.argument("backup", type=FILE)
@click.option(
    "--merge",
    is_flag=True,
    help="Add the KEKs and revocations that another state of this keyring lacks.",
)
@_passphrase_env
@_passphrase_file
@yes_option
@keyring_options
def import_backup(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    backup: Path,
    backup_passphrase_env: str,
    backup_passphrase_file: Path | None,
    *,
    merge: bool,
    yes: bool,
) -> None:
    """Restore the keyring from BACKUP; an existing keyring is never overwritten.

    \b
    sealyard keys import backup.jwe
    sealyard keys import backup.jwe --merge --yes

    Shows what the backup contains and asks for confirmation. `--merge` takes an older state of the
    same keyring, or one that was changed beside it; a keyring with another id is refused. It names
    the KEKs that the backup lacks: those of processes that share a store, else the last one that
    was promoted, by the audit log.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    root = passphrase_root(backup_passphrase_env, backup_passphrase_file)
    restored = file.open_keyring(backup, root)
    _require_signed(place, backup, restored)
    view = None if merge else view_of(place, restored)
    lost = () if view is None else tuple(_lost(view, backup, restored))
    if not merge and not lost:
        lost = tuple(_promoted_since(place, backup, restored))
    if not yes:
        ask(*_held(place, backup, restored, merge=merge), *lost)
    else:
        for one in lost:
            console.say(f"warning: {one}")
    if merge:

        def change(keyring: Keyring) -> Keyring:
            return merging.merge(keyring, restored, now=int(time.time()))

        update(place, "keys.import", change, backup=str(backup))
    else:
        prepare_new(place)
        if view is None or not view.has(restored):
            # The next changes branch off here: later generations than the backup are not known.
            restored = restored.after(0 if view is None else view.generation)
        if view is not None and view.marker is not None:
            restored = restored.following(view.marker.state)
        place.write_down(restored, "keys.import", backup=str(backup))
        file.create_keyring(place.path, restored, place.roots)
        tell(restored)
    console.say(f"restored {place.path}; check it with a stored token: sealyard keys verify TOKEN")


@click.command()
@click.argument("theirs", type=FILE, required=False)
@click.option("--end", metavar="ID", help="End the adoption of the keyring with this id.")
@_passphrase_env
@_passphrase_file
@yes_option
@keyring_options
def adopt(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    theirs: Path | None,
    end: str | None,
    backup_passphrase_env: str,
    backup_passphrase_file: Path | None,
    *,
    yes: bool,
) -> None:
    """Adopt another deployment's keyring from a backup of it: what it sealed opens here, too.

    \b
    sealyard keys adopt theirs.jwe
    sealyard keys adopt --end lXJ6nQm9bTq0x3VfYkR2dA --yes

    Nothing is sealed under it, and its revocations count. Adopt it again to take what it has got
    since. Seal anew what it has sealed (`sealyard migrate reseal`), disable its KEKs when nothing
    needs them (`sealyard keys usage --report`), and end the adoption: that destroys them.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if (theirs is None) == (end is None):
        raise click.UsageError("give a backup of the keyring to adopt, or --end ID")
    if end is not None:
        if not yes:
            ask(f"the KEKs of {end} are destroyed here: what they sealed never opens here again")
        update(place, "keys.adopt-end", lambda keyring: keyring.end_adoption(end), adopted=end)
        console.say(f"{end} is no longer adopted; reload Sealyard, and destroy the backups")
        return
    root = passphrase_root(backup_passphrase_env, backup_passphrase_file)
    other = file.open_keyring(theirs or Path(), root)
    if not yes:
        ask(
            f"{theirs}: keyring {other.id}, generation {other.generation}, {len(other.keks)} KEK,"
            f" {len(other.revocations)} revocations",
            "what it sealed opens here, and nothing is sealed under it; what was revoked only in"
            " its store, and ephemeral sessions there, count if this is the same store; key"
            " packages open nowhere but there",
            *((_LEAVES_INDEX,) if other.index else ()),
        )

    def change(keyring: Keyring) -> Keyring:
        return merging.adopt(keyring, other, now=int(time.time()))

    update(place, "keys.adopt", change, adopted=other.id)
    console.say(f"adopted {other.id}; distribute the keyring, then reseal: sealyard migrate")


def _require_signed(place: KeyringPlace, backup: Path, restored: Keyring) -> None:
    """Refuse a backup of a file that nobody signed: whoever has old keys can make such a one."""
    keys, origin = place.roots.signed_by, restored.origin
    if not keys or origin is None:
        return
    from ...keys.keyring import signatures  # noqa: PLC0415 - only where keys are configured

    if not signatures.signed(origin, keys):
        raise console.Failure(
            f"{backup}: no key of keys.keyring.signed_by signed the keyring that it was made of"
        )


def _lost(view: FleetView, backup: Path, restored: Keyring) -> Iterator[str]:
    """Yield what the fleet seals under and has, and the backup lacks."""
    marker = view.marker
    known = {kek.thumbprint for kek in restored.keks}
    if marker is not None and marker.primary not in known:
        yield f"the fleet seals under a KEK that {backup} lacks (…{kek.mark_of(marker.primary)})"
    unknown, processes = view.unknown(restored)
    if unknown:
        ends = ", ".join(f"…{one}" for one in sorted(map(kek.mark_of, unknown)))
        yield f"{processes} running processes have KEKs that {backup} lacks ({ends})"
        yield (
            "they keep them until they end; what these sealed opens nowhere after that: look for a"
            " later backup, or for the file of a process"
        )
    if any(one.names - presence.names_of(restored) for one in view.reports):
        yield (
            f"running processes have a name key that {backup} lacks: once they end, what was"
            " revoked under it opens again: look for a later backup, or for the file of a process"
        )
    if view.strange:
        yield (
            f"the store has records of another record key than {backup}: it was rotated since, and"
            " whoever has the one of the backup may forge what it believes: look for a later backup"
        )


def _promoted_since(place: KeyringPlace, backup: Path, restored: Keyring) -> Iterator[str]:
    """Yield what the audit log says was sealed under, and the backup lacks.

    Where no store is shared, nobody else knows. A line that is not authentic is told, too: the
    record key may have been rotated since.
    """
    key = audit_key(restored.record_key)
    try:
        lines, _ = verification.select(
            (place.audit.path,), key, lambda one: one.event == "keys.promote", last=1
        )
    except UnfitEnvironment:
        return
    known = {one.id for one in restored.keks}
    for promoted in (str(line.members.get("kek")) for line in lines):
        if promoted not in known:
            yield (
                f"the audit log has that {console.printable(promoted)} was promoted, which {backup}"
                " lacks: a process that runs keeps it until it ends, and what it sealed opens"
                " nowhere after that: look for a later backup"
            )


def _held(place: KeyringPlace, backup: Path, restored: Keyring, *, merge: bool) -> Iterator[str]:
    """Yield what a backup contains, and how the keyring changes."""
    yield (
        f"{backup}: keyring {restored.id}, generation {restored.generation},"
        f" {len(restored.keks)} KEK, primary {restored.primary.id}"
    )
    if merge:
        yield f"{place.path} gets the missing KEKs and revocations; this cannot be undone"
    else:
        yield f"{place.path} is created, one generation after the highest that the store knows"
