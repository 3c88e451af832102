"""`sealyard keys rotate-index`: the secret by which backends search sealed fields."""

from __future__ import annotations

import os
import time

import click

from ...keys.keyring.file import open_keyring
from ..support import console
from ..support.console import ask, yes_option
from ..support.keyring_changes import asked, expect_option, fence, tell_reach, update
from ..support.keyring_options import KeyringPlace, keyring_options


@click.command("rotate-index")
@click.option("--drop", is_flag=True, help="Drop the former generation of two.")
@expect_option
@yes_option
@keyring_options
def rotate_index(place: KeyringPlace, expect: int | None, *, drop: bool, yes: bool) -> None:
    """Make the secret of searches, or its next generation; --drop ends the former one.

    \b
    sealyard keys rotate-index
    sealyard keys rotate-index --drop

    The first run makes the secret that fields with an `index` need. Another one makes the next
    generation: values get tags of both, and searches go by the former one. Distribute the keyring,
    add tags to stored rows (`sealyard migrate index`) and verify them. Then --drop ends the former
    generation, and searches go by the new one. KEKs are not touched.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    now = int(time.time())
    if drop:
        former = asked(
            lambda: (held := open_keyring(place.path, place.roots)).drop_index() and held
        )
        number = former.index[0].generation
        if not yes:
            ask(f"generation {number} of the index is removed: what lacks newer tags is not found")
        changed = update(place, "keys.index-drop", lambda one: one.drop_index(), index=str(number))
    else:
        changed = update(
            place, "keys.rotate-index", lambda one: one.rotate_index(now=now, random=os.urandom)
        )
    first, last = changed.index[0].generation, changed.index[-1].generation
    console.say(f"searches go by generation {first} of the index; values get tags up to {last}")
    tell_reach(fence(place, changed, expect), "know of it", expect=expect)
