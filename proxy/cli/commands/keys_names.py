"""`sealyard keys names` and `rotate-names`: the keys that name conversations in stores."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import click

from ...keys.keyring import name_keys
from ...keys.keyring.file import open_keyring
from ...keys.keyring.keyring import Keyring
from ..support import console
from ..support.console import ask, utc, yes_option
from ..support.keyring_changes import asked, expect_option, fence, require_state, tell_reach, update
from ..support.keyring_options import KeyringPlace, keyring_options


@click.command("rotate-names")
@click.option("--anyway", is_flag=True, help="Use the next key even if not every process has it.")
@expect_option
@keyring_options
def rotate_names(place: KeyringPlace, expect: int | None, *, anyway: bool) -> None:
    """Rotate the key by which conversations have names in stores, in two runs.

    \b
    sealyard keys rotate-names
    sealyard keys rotate-names --expect 4

    The first run adds a key that is next. Distribute the keyring, and run it again: where every
    process has the next key, all that is new is kept under it. What was kept under the former key
    is found there as long as it lasts, and what was revoked under it stays revoked: it stays in the
    keyring until nothing can be revoked under it (`sealyard keys names list`).
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    now = int(time.time())
    if open_keyring(place.path, place.roots).next_names is None:
        changed = update(
            place, "keys.names-next", lambda one: one.begin_names(now=now, random=os.urandom)
        )
        tell_reach(fence(place, changed, expect), "know of it", expect=expect)
        console.say("a name key is next; distribute the keyring, and run this command again")
        return
    if not anyway:
        require_state(place, expect, "the next name key")
    changed = update(place, "keys.rotate-names", lambda one: one.turn_names(now=now))
    console.say(f"{name_keys.id_of(changed.name_key)} is the name key; reload Sealyard to use it")
    tell_reach(fence(place, changed, expect), "know of it", expect=expect)


@click.group()
def names() -> None:
    """List the keys by which conversations have names in stores, and drop a former one.

    \b
    sealyard keys names list
    sealyard keys names drop n4fa
    """  # noqa: D301 - see above


@names.command("list")
@console.as_json
@keyring_options
def list_names(place: KeyringPlace, *, as_json: bool) -> None:
    """List the name keys: id, state, since when, and why a former one stays.

    \b
    sealyard keys names list
    sealyard keys names list --json

    Those of adopted keyrings are listed, too. Nothing new is kept under any but the one in use.
    """  # noqa: D301 - see above
    rows = list(_rows(open_keyring(place.path, place.roots), int(time.time())))
    lines = ("{id:<6} {state:<8} {since:<20}  {stays}".format(**row).rstrip() for row in rows)
    console.answer({"names": rows}, lines, as_json=as_json)


@names.command("drop")
@click.argument("name_id")
@yes_option
@keyring_options
def drop_names(place: KeyringPlace, name_id: str, *, yes: bool) -> None:
    """Drop a former name key under which nothing can be revoked any more.

    \b
    sealyard keys names drop n4fa
    sealyard keys names drop n4fa --yes

    That is 368 days after its rotation, once each KEK is younger than that; before, it exits with 1
    and says how many revocations may be under it. Lines of the audit log that name conversations by
    it are no longer found by a conversation.
    """  # noqa: D301 - see above
    now = int(time.time())
    asked(lambda: open_keyring(place.path, place.roots).drop_names(name_id, now=now))
    if not yes:
        ask(f"{name_id} is removed from {place.path}: what has a name by it is no longer found")
    update(place, "keys.names-drop", lambda one: one.drop_names(name_id, now=now), name=name_id)


def _rows(keyring: Keyring, now: int) -> Iterator[dict[str, Any]]:
    yield {
        "id": name_keys.id_of(keyring.name_key),
        "state": "in-use",
        "since": "",
        "stays": "",
        "adopted": None,
    }
    for one in keyring.names:
        why = name_keys.needed_by(one, keyring.idle_until(now)) or "nothing needs it: drop it"
        row = {"id": one.id, "state": one.state, "since": utc(one.since), "stays": why}
        yield row | {"adopted": None}
    for adopted in keyring.adopted:
        for key in adopted.name_keys:
            row = {"id": name_keys.id_of(key), "state": "adopted", "since": utc(adopted.since)}
            why = f"keyring {adopted.id} is adopted: `sealyard keys adopt --end`"
            yield row | {"stays": why, "adopted": adopted.id}
