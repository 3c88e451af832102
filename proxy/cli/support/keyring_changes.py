"""How commands change the keyring: within its rules, recorded in the audit log first."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import click

from ...config.settings import KeySettings
from ...core.errors import KeyringError, SealyardError
from ...keys.fleet import fence_log, keyring_marker, presence
from ...keys.fleet.fence_log import FenceEvent
from ...keys.fleet.presence import FleetView, Reach
from ...keys.keyring import file
from ...keys.keyring.file import open_keyring
from ...keys.keyring.kek import FILLS
from ...keys.keyring.keyring import Keyring
from ...keys.keyring.roots import FileRoot, create_root_file
from ...keys.policy import LEASE_MARGIN_SECONDS, LEASE_SECONDS
from ...keys.stores import Store, StoreFailed, open_store
from ...process.fitness import Finding
from ..policy import MOST_COUNTED
from . import console
from .keyring_options import KeyringPlace

_Result = TypeVar("_Result")
_MISSED: Final = "not reached, and may still seal without the store"

expect_option = click.option(
    "--expect",
    type=click.IntRange(0, MOST_COUNTED),
    metavar="N",
    help="How many processes there are at least, workers counted one by one. With fewer in the"
    " store, it is not known whether all were reached. Default: 1.",
)


def update(
    place: KeyringPlace, event: str, change: Callable[[Keyring], Keyring], **values: str | int
) -> Keyring:
    """Apply `change` to the keyring's file and return the new keyring."""

    def audited(keyring: Keyring) -> Keyring:
        asked(keyring.require_signed)
        changed = asked(partial(change, keyring))
        # Before the file changes: what cannot be recorded is not done.
        known = {kek.id for kek in keyring.keks}
        added = ",".join(kek.id for kek in changed.keks if kek.id not in known)
        place.write_down(keyring, event, added=added, **values)
        return changed

    changed = file.update_keyring(place.path, place.roots, audited)
    tell(changed)
    return changed


def tell(keyring: Keyring) -> None:
    """Print the id and generation of the keyring."""
    console.say(f"keyring {keyring.id}, generation {keyring.generation}")


def asked(make: Callable[[], _Result]) -> _Result:
    """Return what `make` returns; a KeyringError becomes a negative result."""
    try:
        return make()
    except KeyringError as error:
        raise console.Failure(error.reason) from None


def prepare_new(place: KeyringPlace) -> None:
    """Refuse an existing keyring before anything is created, then create a missing root key."""
    if place.path.exists():
        raise KeyringError(
            f"{place.path} already exists and is not overwritten; give another --keyring"
        )
    local = place.roots.local
    path = local.reference.file if isinstance(local, FileRoot) else None
    if path is not None and not path.exists():
        create_root_file(path, random=os.urandom)
        console.say(f"created the root key {path}; keep a copy of it separate from the keyring")


def facts(keyring: Keyring) -> dict[str, Any]:
    """Return id and generation of the keyring, for JSON."""
    return {"id": keyring.id, "generation": keyring.generation}


def view_of(place: KeyringPlace, keyring: Keyring) -> FleetView | None:
    """Return what the configured store knows about the fleet; None if it is not shared or fails.

    A store that fails is reported: the command goes on, and its operator has to know.
    """
    keys = place.shared()
    if keys is None:
        return None
    try:
        return asyncio.run(_fleet_view(keys, keyring))
    except (StoreFailed, SealyardError) as error:
        console.say(f"warning: the store cannot say which keyring the fleet has ({error})")
        return None


def require_everywhere(place: KeyringPlace, kek_id: str, expect: int | None) -> None:
    """Exit with 1 unless each process that may seal has the KEK, and there are as many as expected.

    Each has to say so now: what a row said before, somebody may have put back.
    """
    keyring = open_keyring(place.path, place.roots)
    try:
        entry = keyring.entry(kek_id)
    except KeyringError:
        return  # the change itself refuses it
    reach = fence(place, keyring, expect)
    if reach is None:
        return
    lacking, alive = sum(not one.has(entry) for one in reach.reports), reach.processes
    if lacking:
        raise console.Failure(
            f"{lacking} of {alive} processes do not have {kek_id} yet and could not open what it"
            " seals: distribute the keyring first, or give --anyway"
        )
    _require_reached(reach, f"have {kek_id}")
    console.say(f"all {alive} processes known to the store have {kek_id}")


def require_state(place: KeyringPlace, expect: int | None, what: str) -> None:
    """Exit with 1 unless each process that may seal has the keyring of the file, or a later one."""
    keyring = open_keyring(place.path, place.roots)
    reach = fence(place, keyring, expect)
    if reach is None:
        return
    lacking = sum(one.generation < keyring.generation for one in reach.reports)
    if lacking:
        raise console.Failure(
            f"{lacking} of {reach.processes} processes do not have {what} yet: distribute the"
            " keyring first, or give --anyway"
        )
    _require_reached(reach, f"have {what}")


def _require_reached(reach: Reach, what: str) -> None:
    if reach.missed:
        raise console.Failure(f"{_MISSED}: {', '.join(reach.missed)}; end them, or give --anyway")
    if not reach.complete:
        raise console.Failure(
            f"{_known(reach, what)}; give --expect with how many there are, or --anyway"
        )


def _known(reach: Reach, what: str) -> str:
    return f"{reach.processes} processes answer in the store: it is not known whether all {what}"


def fence(place: KeyringPlace, keyring: Keyring, expect: int | None) -> Reach | None:
    """Tell all processes of a change to the keyring, and wait until they know.

    Returns None where there is no store that they share, or it does not answer, which is reported.
    """
    keys = place.shared()
    if keys is None:
        return None
    try:
        return asyncio.run(_fenced(keys, keyring, expect))
    except (StoreFailed, SealyardError) as error:
        console.say(f"warning: the store cannot tell other processes ({error})")
        return Reach()


def tell_reach(reach: Reach | None, what: str, *, expect: int | None) -> None:
    """Print whom a change has reached; exit with 1 where that is not all of those there are."""
    if reach is None:
        return
    if reach.missed:
        raise console.Failure(f"{_MISSED}: {', '.join(reach.missed)}")
    if not reach.complete and expect is not None:
        raise console.Failure(_known(reach, what))
    everyone = f"all {reach.processes} processes known to the store {what}"
    console.say(everyone if reach.complete else _known(reach, what))


def require_disabled(place: KeyringPlace, kek_id: str, expect: int | None) -> None:
    """Exit with 1 unless a KEK has been disabled in every process for longer than a lease."""
    keyring = open_keyring(place.path, place.roots)
    try:
        if keyring.entry(kek_id).state != "disabled":
            return  # the change itself refuses it
    except KeyringError:
        return
    began = time.monotonic()
    reach = fence(place, keyring, expect)
    if reach is None:
        return
    _require_reached(reach, f"have disabled {kek_id}")
    entry = keyring.entry(kek_id)
    opening = sorted(one.name for one in reach.reports if one.has(entry))
    if opening:  # it knows of the change, and an operator told it to use an older keyring
        names = ", ".join(opening)
        raise console.Failure(f"{kek_id} is in use in {names}, with another state of the keyring")
    # Whoever had no row to be seen by has no lease any more either.
    time.sleep(max(began + LEASE_SECONDS + LEASE_MARGIN_SECONDS - time.monotonic(), 0))


def findings(keys: KeySettings, keyring: Keyring) -> tuple[Finding, ...]:
    """Return how a keyring compares with that of the fleet, as far as the store knows.

    One that is nearly full of revocations is told, too.
    """
    full = (Finding("revocations", "warning", FILLS),) if keyring.nearly_full else ()
    if keys.store.address == "memory":
        return full
    try:
        view = asyncio.run(_fleet_view(keys, keyring))
    except (StoreFailed, SealyardError):
        return full  # the check of the store reports it
    return (*full, *_compared(view, keyring))


def _compared(view: FleetView, keyring: Keyring) -> list[Finding]:
    found: list[Finding] = []
    marker, check = view.marker, "fleet"
    if marker is not None and marker.generation > keyring.generation:
        lacks = keyring_marker.lacks(keyring, marker)
        text = f"the fleet has generation {marker.generation} of the keyring, this file only"
        text += f" {keyring.generation}: replace it with the current one"
        if lacks:
            text += "; what the fleet seals does not open with this file"
        found.append(Finding(check, "failed" if lacks else "warning", text))
    elif marker is not None and marker.generation == keyring.generation and not view.has(keyring):
        text = (
            "another keyring with this id and generation has other KEKs: merge it with"
            " `sealyard keys import --merge`"
        )
        found.append(Finding(check, "failed", text))
    for one in view.others:
        text = (
            f"another keyring, {one}, uses the same store: what it seals does not open here;"
            " give each fleet its own `prefix`"
        )
        found.append(Finding(check, "warning", text))
    behind = sum(report.generation < keyring.generation for report in view.reports)
    text = f"{len(view.reports)} live processes, {behind} of them with an older keyring"
    found.append(Finding(check, "warning" if behind else "ok", text))
    return found


async def _fleet_view(keys: KeySettings, keyring: Keyring) -> FleetView:
    async with opened(keys) as store:
        return await presence.asked(store, keyring, clock=time.time)


async def _fenced(keys: KeySettings, keyring: Keyring, expect: int | None) -> Reach:
    async with opened(keys) as store:
        guarded = presence.patient(store, time.time)
        await keyring_marker.put(guarded, keyring)
        events = [FenceEvent("keyring", "", keyring.generation)]
        await fence_log.append(guarded, keyring, events, now=time.time)
        return await presence.reached(guarded, keyring, events, clock=time.time, expected=expect)


@asynccontextmanager
async def opened(keys: KeySettings) -> AsyncIterator[Store]:
    """Yield the store of the settings, and close it."""
    store = open_store(keys.store.address, options=keys.store.options, environ=os.environ)
    try:
        yield store
    finally:
        await store.close()
