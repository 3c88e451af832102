"""The socket for shares follows the configuration, and says when there are enough."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from proxy.config.settings.roots.shares import SharesOptions
from proxy.core.errors import KeyringError, UnfitEnvironment
from proxy.keys.keyring.roots import passphrase
from proxy.keys.keyring.roots.shares import Collection, SharesRoot
from proxy.keys.keyring.share import KeyringShare
from proxy.wiring.reload.config_files import Source
from proxy.wiring.unlock import UnlockSocket
from proxy.wiring.unlocking import Unlocking
from tests.factories import Ear
from tests.scenarios.rig import a_configuration
from tests.wiring.sources import given


def source(folder: Path, *paths: Path) -> Source:
    """Return a configuration with shares at each of the sockets, or without any."""
    text = a_configuration(1)
    roots = [f"{{shares: {{needed: 2, of: 3, socket: {path}}}}}" for path in paths]
    if roots:
        listed = ", ".join(("{key: {file: root.key}}", *roots))
        text = text.replace("key: {file: root.key}", f"roots: [{listed}]")
    return given(text, folder / "sealyard.yaml")


async def listens(path: Path) -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    writer.write(b'{"do": "look"}\n')
    answer = json.loads(await reader.readline())
    writer.close()
    return "problem" in answer


async def test_it_follows_the_configuration(tmp_path: Path) -> None:
    one, two = tmp_path / "one.sock", tmp_path / "two.sock"
    unlocking = Unlocking(Ear())
    await unlocking.start(source(tmp_path).loaded.settings)
    assert unlocking.socket is None
    for path, others in ((one, (two,)), (one, (two,)), (two, (one,)), (None, (one, two))):
        change = await unlocking.prepare(source(tmp_path, *([path] if path else [])))
        await change.apply()
        if path is not None:
            assert await listens(path)
        for other in others:
            assert not await listens(other)


async def test_what_is_discarded_changes_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one.sock", tmp_path / "two.sock"
    unlocking = Unlocking(Ear())
    await unlocking.start(source(tmp_path, one).loaded.settings)
    for next_one in (source(tmp_path, one), source(tmp_path, two), source(tmp_path)):
        await (await unlocking.prepare(next_one)).discard()
        assert (await listens(one), await listens(two)) == (True, False)
    with pytest.raises(UnfitEnvironment):
        await unlocking.prepare(source(tmp_path, tmp_path / "none" / "s"))
    assert await listens(one)
    await unlocking.close()
    assert not await listens(one)


async def test_enough_shares_are_told_once(tmp_path: Path) -> None:
    before = dict(passphrase._TAKEN)
    shares: list[KeyringShare] = []
    complete: list[int] = []
    collection = Collection()
    options = SharesOptions(2, 3, "/unused")
    members = SharesRoot(options, {}, made=shares.extend).wrap(b"canary", "A" * 22)
    passphrase._TAKEN.clear()
    path = tmp_path / "s"
    served = UnlockSocket(str(path), Ear(), collection, complete=lambda: complete.append(1))
    await served.start()
    try:
        with pytest.raises(KeyringError):
            SharesRoot(options, {}, collection).unwrap(members, "A" * 22)
        for number, one in enumerate(shares[:2]):
            assert len(complete) == 0
            progress = collection.progress()
            assert progress is not None
            asked = {"do": "hand-in", "attempt": progress.attempt, "share": one.text()}
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(json.dumps(asked).encode() + b"\n")
            assert json.loads(await reader.readline())["held"] == number + 1
            writer.close()
        assert complete == [1]
    finally:
        await served.close()
        passphrase._TAKEN.clear()
        passphrase._TAKEN.update(before)
