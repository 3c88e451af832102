"""The keys of one process over a reload, while the root does not answer."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.config.settings import Settings
from proxy.core.crypto.context import Scope
from proxy.core.errors import RootUnavailable
from proxy.core.values.key_needs import Needs
from proxy.keys.fleet import fence_log, keyring_marker, presence
from proxy.keys.fleet.fence_log import FenceEvent
from proxy.keys.fleet.lease import Lease
from proxy.keys.keyring.file import update_keyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import serving
from proxy.keys.stores import StoreFailed
from proxy.process.boot_clock import since_boot
from proxy.wiring.reload import material as material_of
from proxy.wiring.reload.material import RootAnswer, ask_root, gather
from proxy.wiring.sidecar import root_lease
from proxy.wiring.sidecar.keys import SidecarKeys
from proxy.wiring.sidecar.sidecar import Sidecar
from tests.factories import Ear
from tests.scenarios.rig import a_configuration, write_keys
from tests.wiring.reload.test_material import gathered

LEASE = 3600.0


async def seals(keys: SidecarKeys) -> bool:
    scope = Scope("t", os.urandom(4).hex())
    return scope in (await keys.sessions.resolve(Needs({scope: 1}))).sealing


async def under_a_lease(folder: Path) -> tuple[SidecarKeys, Lease]:
    """Return the keys of a process that shares its store, and the lease that it has."""
    text = a_configuration(3000, admin=9901, health=15021)
    text = text.replace("keys:\n", f"keys:\n  store: sqlite:{folder}/store\n", 1)
    write_keys(folder)
    (folder / "sealyard.yaml").write_text(text)
    material = gather(load(folder / "sealyard.yaml", {}).settings, {})
    keys = SidecarKeys(material, Ear(), time.time, environ={})
    assert keys.lease is not None
    await keys.sessions.open()
    await keys.lease.renew()
    return keys, keys.lease


async def test_a_disabled_kek_is_not_learned_while_the_marker_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a verb would say that this process seals under it no more."""
    keys, lease = await under_a_lease(tmp_path)
    store, keyring = keys.sessions.store, keys.sessions.keyring
    later = keyring.add("k9", now=1, random=os.urandom).promote("k9")
    later = later.disable(keyring.primary.id)
    await keyring_marker.put(store, later)
    note = store.note

    async def fails(*_: object, **__: object) -> bytes | None:
        raise StoreFailed

    monkeypatch.setattr(store, "note", fails)
    event = FenceEvent("keyring", "", later.generation)
    await fence_log.append(store, keyring, [event], now=time.time)
    await lease.renew()
    (row,) = await presence.rows(store, keyring)
    assert event.id not in row.learned
    monkeypatch.setattr(store, "note", note)
    await lease.renew()
    (row,) = await presence.rows(store, keyring)
    assert event.id in row.learned
    assert not lease.held
    await keys.close()


async def test_a_process_that_takes_another_keyring_stands_among_its_processes_first(
    tmp_path: Path,
) -> None:
    keys, lease = await under_a_lease(tmp_path)
    assert lease.held
    another = create("k2", now=int(time.time()), random=os.urandom)
    keys.watch.take(another)
    assert not lease.held
    assert await seals(keys)
    assert len(await presence.rows(keys.sessions.store, another)) == 1
    await keys.close()


async def test_a_reload_in_an_outage_takes_no_keys_that_were_given_up_while_it_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload asks a root that hangs; meanwhile the one that ended the lease is back."""
    late, asked, gives_up = 0.0, threading.Event(), threading.Event()
    away = True

    def root(settings: Settings, environ: Mapping[str, str]) -> tuple[Keyring, RootAnswer]:
        if away:
            raise RootUnavailable("service-unavailable")
        keyring, answer = ask_root(settings, environ)
        return keyring, replace(answer, at=answer.at + late)

    def hangs(settings: Settings, environ: Mapping[str, str]) -> tuple[Keyring, RootAnswer]:
        asked.set()
        gives_up.wait(20)
        raise RootUnavailable("no answer in time")

    monkeypatch.setattr(root_lease, "since_boot", lambda: since_boot() + late)
    monkeypatch.setattr(root_lease, "ask_root", root)
    before = gathered(tmp_path, ", lease: 1h")
    monkeypatch.setattr(material_of, "ask_root", hangs)
    keys = SidecarKeys(before, Ear(), time.time, environ={})
    await keys.open()
    try:
        assert await seals(keys)
        late = LEASE + 1
        keys.root.take(before)  # so that it looks what is left of the lease
        async with asyncio.timeout(20):
            while not keys.sessions.withdrawn:  # noqa: ASYNC110 - a lease sets no event
                await asyncio.sleep(0.01)
            held = replace(before, keyring=keys.watch.lineage.held)
            loop = asyncio.get_running_loop()
            reload = loop.run_in_executor(None, gather, before.settings, {}, held)
            assert await asyncio.to_thread(asked.wait, 20)
            away = False
            while keys.sessions.withdrawn:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)
            gives_up.set()
            keys.take(await reload)

            assert await seals(keys)
    finally:
        gives_up.set()
        await keys.close()


async def test_a_revocation_in_the_file_is_taken_though_the_reload_is_refused(
    tmp_path: Path,
) -> None:
    before = gathered(tmp_path)
    sidecar = Sidecar(before, Ear(), time.time, environ={})
    name = sidecar.keys.sessions.name(Scope("t", "c"))
    path, root = before.settings.keys.keyring.file, serving(before.settings.keys, {})
    update_keyring(path, root, lambda keyring: keyring.revoke(name, 5, now=6))
    update_keyring(path, root, lambda keyring: keyring.add("k9", now=6, random=os.urandom))
    await sidecar.lessen()
    assert sidecar.keys.sessions.view(Scope("t", "c")).not_before == 5
    assert len(sidecar.keys.sessions.keyring.keks) == len(before.keyring.keks)
    path.unlink()
    await sidecar.lessen()  # the refusal of the reload says so
    await sidecar.keys.close()
