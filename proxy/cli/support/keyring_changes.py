"""How commands change the keyring: within its rules, recorded in the audit log first."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ...config.settings import KeySettings
from ...core.errors import KeyringError, SealyardError
from ...keys.fleet import keyring_marker, presence
from ...keys.fleet.presence import FleetView
from ...keys.keyring import file
from ...keys.keyring.file import open_keyring
from ...keys.keyring.keyring import Keyring
from ...keys.keyring.roots import FileRoot, create_root_file
from ...keys.stores import StoreFailed, open_store
from ...process.fitness import Finding
from ..policy import ExitCode
from . import console
from .configuration import configuration_if_any
from .keyring_options import KeyringPlace

_Result = TypeVar("_Result")


def update(
    place: KeyringPlace, event: str, change: Callable[[Keyring], Keyring], **values: str
) -> Keyring:
    """Apply `change` to the keyring's file and return the new keyring."""

    def audited(keyring: Keyring) -> Keyring:
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
        raise console.Failure(error.reason, ExitCode.NEGATIVE) from None


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
    loaded = configuration_if_any(place.config)
    if loaded is None or loaded.settings.keys.store.address == "memory":
        return None
    try:
        return asyncio.run(_fleet_view(loaded.settings.keys, keyring))
    except (StoreFailed, SealyardError) as error:
        console.say(f"warning: the store cannot say which keyring the fleet has ({error})")
        return None


def require_everywhere(place: KeyringPlace, kek_id: str) -> None:
    """Exit with 1 unless every live process has the KEK."""
    keyring = open_keyring(place.path, place.roots)
    view = view_of(place, keyring)
    if view is None:
        return
    try:
        entry = keyring.entry(kek_id)
    except KeyringError:
        return  # the change itself refuses it
    lacking, alive = view.lacking(entry), len(view.reports)
    if lacking:
        raise console.Failure(
            f"{lacking} of {alive} processes do not have {kek_id} yet and could not open what it"
            " seals: distribute the keyring first, or give --anyway",
            ExitCode.NEGATIVE,
        )
    console.say(f"all {alive} processes known to the store have {kek_id}")


def findings(keys: KeySettings, keyring: Keyring) -> tuple[Finding, ...]:
    """Return how a keyring compares with that of the fleet, as far as the store knows."""
    if keys.store.address == "memory":
        return ()
    try:
        view = asyncio.run(_fleet_view(keys, keyring))
    except (StoreFailed, SealyardError):
        return ()  # the check of the store reports it
    return tuple(_compared(view, keyring))


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
    store = open_store(keys.store.address, options=keys.store.options, environ=os.environ)
    try:
        return await presence.asked(store, keyring, clock=time.time)
    finally:
        await store.close()
