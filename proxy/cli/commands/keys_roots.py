"""`sealyard keys roots`: what opens the keyring, and how that is changed without a stop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from ...keys.keyring import wrapping_changes
from ...keys.keyring.file import read_form
from ...keys.keyring.keyring import Keyring
from ...keys.keyring.roots.opening import name_of
from ...keys.keyring.roots.provider import RootName
from ..policy import ExitCode
from ..support import console
from ..support.console import ask, utc, yes_option
from ..support.keyring_changes import asked, tell
from ..support.keyring_options import KeyringPlace, keyring_options


@click.group()
def roots() -> None:
    """Show and change the roots that open the keyring; any one of them does.

    \b
    sealyard keys roots list
    sealyard keys roots check --json
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


@roots.command("list")
@console.as_json
@keyring_options
def list_roots(place: KeyringPlace, *, as_json: bool) -> None:
    """List the wrappings of the keyring's file. No root is asked, and nothing is verified.

    \b
    sealyard keys roots list
    sealyard keys roots list --json
    """  # noqa: D301 - see above
    form = read_form(place.path)
    configured = {name_of(one) for one in place.roots.listed}
    rows = [
        {
            "kind": one.kind,
            "key": one.key or None,
            "made": utc(one.made),
            "configured": one.root in configured,
        }
        for one in form.wrappings
    ]
    if as_json:
        console.print_json({"id": form.id, "wrappings": rows})
        return
    console.say(f"keyring {form.id}")
    for row in rows:
        mark = "" if row["configured"] else "  (not configured)"
        click.echo(f"{row['kind']:<12} {row['made']:<20} {row['key'] or '-'}{mark}")


@roots.command()
@console.as_json
@keyring_options
def add(place: KeyringPlace, *, as_json: bool) -> None:
    """Add a wrapping for each configured root that has none.

    \b
    sealyard keys roots add --config new.yaml
    sealyard keys roots add --json

    The configuration lists the old and the new roots in `keys.keyring.roots`; one of the old ones
    opens the file. Then distribute the file, and after it the configuration.
    """  # noqa: D301 - see above
    note = _note(place, "roots.add")
    added = asked(lambda: wrapping_changes.add(place.path, place.roots, note, now=_now()))
    _report(added, "added", as_json=as_json)


@roots.command()
@click.argument("kind")
@click.option("--key", default="", help="The key of the wrapping, as `keys roots list` shows it.")
@console.as_json
@yes_option
@keyring_options
def remove(place: KeyringPlace, *, kind: str, key: str, as_json: bool, yes: bool) -> None:
    """Remove the wrapping of a root, and make a new root key that it cannot know.

    \b
    sealyard keys roots remove passphrase
    sealyard keys roots remove aws-kms --key eu-west-1/alias/sealyard --yes

    First take the root out of the configuration of every process. The last wrapping is never
    removed. Shows what it means and asks for confirmation.
    """  # noqa: D301 - see above
    gone = RootName(kind, key)
    if not yes:
        ask(*_meaning(place, gone))
    note = _note(place, "roots.remove")
    keyring = asked(
        lambda: wrapping_changes.remove(place.path, place.roots, gone, note, now=_now())
    )
    _report((gone,), "removed", as_json=as_json)
    if not as_json:
        tell(keyring)


@roots.command()
@console.as_json
@keyring_options
def rewrap(place: KeyringPlace, *, as_json: bool) -> None:
    """Make a new root key, and wrap it anew by each root of the file.

    \b
    sealyard keys roots rewrap
    sealyard keys roots rewrap --json

    Run it when somebody who could open the file leaves, and after the key of a key service was
    rotated. Shares of an earlier split, a former passphrase and the former root key open nothing of
    the new file. Each root of the file must be configured.
    """  # noqa: D301 - see above
    note = _note(place, "roots.rewrap")
    keyring, renewed = asked(
        lambda: wrapping_changes.rewrap(place.path, place.roots, note, now=_now())
    )
    _report(renewed, "rewrapped", as_json=as_json)
    if not as_json:
        tell(keyring)
        if keyring.index:
            number = keyring.index[-1].generation
            console.say(
                f"to do: whoever could open the file has generation {number} of the index, and can"
                " try words against tags: `sealyard keys rotate-index`, then migrate, and --drop"
            )


@roots.command()
@console.as_json
@keyring_options
def check(place: KeyringPlace, *, as_json: bool) -> None:
    """Ask every configured root whether it opens the keyring; exits with 1 if one does not.

    \b
    sealyard keys roots check
    sealyard keys roots check --json
    """  # noqa: D301 - see above
    found = wrapping_changes.check(place.path, place.roots)
    rows = [{**_row(one.root), "opens": not one.reason, "reason": one.reason} for one in found]
    lines = (f"{one.root}: {one.reason or 'opens'}" for one in found)
    console.answer({"roots": rows}, lines, as_json=as_json)
    sys.exit(ExitCode.NEGATIVE if any(one.reason for one in found) else ExitCode.OK)


def _note(place: KeyringPlace, event: str) -> Callable[[Keyring, tuple[RootName, ...]], None]:
    """Return what records a change of the wrappings in the audit log, before it happens."""

    def note(keyring: Keyring, changed: tuple[RootName, ...]) -> None:
        for one in changed:
            place.write_down(keyring, f"keys.{event}", kind=one.kind, name=one.key)

    return note


def _report(changed: tuple[RootName, ...], done: str, *, as_json: bool) -> None:
    if as_json:
        console.print_json({done: [_row(one) for one in changed]})
        return
    for one in changed:
        console.say(f"{done} {one}; distribute the file, then reload Sealyard")


def _row(name: RootName) -> dict[str, Any]:
    return {"kind": name.kind, "key": name.key or None}


def _meaning(place: KeyringPlace, gone: RootName) -> Iterator[str]:
    """Yield what the removal of a wrapping means."""
    present = [one.root for one in read_form(place.path).wrappings]
    if gone not in present:
        raise console.Failure(
            f"the keyring has no wrapping for {gone}; it has: {', '.join(map(str, present))}"
        )
    stay = [one for one in present if one != gone]
    yield f"{gone} no longer opens {place.path}; these do: {', '.join(map(str, stay)) or 'none'}"
    yield "every process needs the new file; one whose configuration names that root refuses it"
    yield (
        "older copies of the file still open with it: where it was stolen, rotate the KEK and seal"
        " what is stored anew"
    )


def _now() -> int:
    return int(time.time())
