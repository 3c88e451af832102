"""`sealyard keys rotate-index`: the secret by which backends search sealed fields."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ...keys.keyring import index_secrets
from ...keys.keyring.file import open_keyring
from ...keys.keyring.keyring import Keyring
from ...migration.retirement import needs_index
from ..support import console
from ..support.console import FILE, ask, yes_option
from ..support.files import read_report
from ..support.keyring_changes import asked, expect_option, fence, require_state, tell_reach, update
from ..support.keyring_options import KeyringPlace, keyring_options


@click.command("rotate-index")
@click.option("--turn", is_flag=True, help="Seal values of `form: equal` by the newer generation.")
@click.option("--drop", is_flag=True, help="Drop the former generation of two.")
@click.option(
    "--report",
    "reports",
    type=FILE,
    multiple=True,
    help="With --drop: a signed report of `migrate verify`; several may be given.",
)
@click.option("--unproven", is_flag=True, help="With --drop: drop it although values may need it.")
@click.option(
    "--anyway",
    is_flag=True,
    help="With --turn or --drop: although processes may have an older state of the keyring.",
)
@expect_option
@yes_option
@keyring_options
def rotate_index(  # noqa: PLR0913 - its options
    place: KeyringPlace,
    reports: tuple[Path, ...],
    expect: int | None,
    *,
    turn: bool,
    drop: bool,
    unproven: bool,
    anyway: bool,
    yes: bool,
) -> None:
    """Make the secret of searches, or its next generation; --drop ends the former one.

    \b
    sealyard keys rotate-index
    sealyard keys rotate-index --drop --report proof.jws

    The first run makes the secret that fields with an `index` and the form `equal` need. Another
    one makes the next generation: values get tags of both, and searches go by the former one. Once
    every process has it, --turn has values of `form: equal` sealed by it; requests that look for
    such values are refused (503) from then on. Once every process has turned, --turn again writes
    down when: only a later proof counts. Bring stored rows up to date (`sealyard migrate index`)
    and prove it (`verify`). --drop ends the former generation, and searches go by the new
    one. Values of `form: equal` of a dropped generation never open again, so it exits with 1 where
    no report shows that there are none. KEKs are not touched.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if (turn and drop) or ((reports or unproven) and not drop):
        raise click.UsageError("--report and --unproven go with --drop, and --turn without it")
    if (turn or drop) and not anyway:
        # One without it could not open what others seal, or goes on sealing what then never opens.
        require_state(place, expect, "the last state of the index secrets")
    if drop:
        changed = _dropped(place, reports, unproven=unproven, yes=yes)
    elif turn:
        # Not the time before `require_state`, which waits for processes: they may turn meanwhile.
        changed = update(place, "keys.index-turn", lambda one: one.turn_index(now=int(time.time())))
    else:
        changed = update(
            place,
            "keys.rotate-index",
            lambda one: one.rotate_index(now=int(time.time()), random=os.urandom),
        )
    first, last = changed.index[0].generation, changed.index[-1].generation
    console.say(f"searches go by generation {first} of the index; values get tags up to {last}")
    console.say(f"`form: equal` goes by generation {index_secrets.sealing(changed.index)}")
    if turn and not changed.index[-1].settled:
        console.say("distribute the keyring, and run this again once every process has turned")
    tell_reach(fence(place, changed, expect), "know of it", expect=expect)


def _dropped(place: KeyringPlace, reports: Sequence[Path], *, unproven: bool, yes: bool) -> Keyring:
    held = open_keyring(place.path, place.roots)
    asked(held.drop_index)
    number = held.index[0].generation
    if not unproven:
        needed = needs_index(held, [read_report(one, held) for one in reports])
        if needed:
            told = f"generation {number} may be needed: {needed}; --unproven drops it all the same"
            raise console.Failure(told)
    if not yes:
        ask(
            f"generation {number} of the index is removed: what lacks newer tags is not found, and"
            " values of `form: equal` that are of it never open again"
        )
    return update(place, "keys.index-drop", lambda one: one.drop_index(), index=str(number))
