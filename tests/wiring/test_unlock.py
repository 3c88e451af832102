"""The socket where shares are handed in: real sockets, and what else may be sent there."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config.settings.roots.shares import SharesOptions
from proxy.core.errors import KeyringError, UnfitEnvironment
from proxy.keys.keyring.roots import passphrase
from proxy.keys.keyring.roots.shares import Collection, SharesRoot
from proxy.keys.keyring.share import KeyringShare
from proxy.wiring.policy import UNLOCK_LINE_BYTES
from proxy.wiring.unlock import UnlockSocket

ID = "A" * 22


class Reporter:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def report(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))


class Scene:
    """A root that waits for two of three shares, and its socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "unlock.sock"
        self.reporter = Reporter()
        self.collection = Collection()
        self.shares: list[KeyringShare] = []
        options = SharesOptions(2, 3, str(self.path))
        maker = SharesRoot(options, {}, made=self.shares.extend)
        self.members = maker.wrap(b"canary", ID)
        passphrase._TAKEN.clear()
        self.root = SharesRoot(options, {}, self.collection)
        self.socket = UnlockSocket(str(self.path), self.reporter, self.collection)

    async def send(self, line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(line)
        answer = await reader.read(UNLOCK_LINE_BYTES)
        writer.close()
        return answer

    async def ask(self, **question: object) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self.send(json.dumps(question).encode() + b"\n"))
        return answer


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    before = dict(passphrase._TAKEN)
    made = Scene(tmp_path)
    await made.socket.start()
    yield made
    await made.socket.close()
    passphrase._TAKEN.clear()
    passphrase._TAKEN.update(before)


async def test_operators_hand_in_one_share_each_and_the_keyring_opens(scene: Scene) -> None:
    with pytest.raises(KeyringError, match="0 of 2 shares"):
        scene.root.unwrap(scene.members, ID)
    for held, one in enumerate(scene.shares[1:]):
        looked = await scene.ask(do="look")
        assert (looked["held"], looked["needed"]) == (held, 2)
        taken = await scene.ask(do="hand-in", attempt=looked["attempt"], share=one.text())
        assert taken == {**looked, "held": held + 1}

    assert scene.root.unwrap(scene.members, ID) == b"canary"
    assert scene.reporter.events == [
        ("root.share_taken", {"held": held, "needed": 2, "uid": os.getuid()}) for held in (1, 2)
    ]
    assert await scene.ask(do="look") == {
        "problem": "no shares are wanted: no keyring waits for them"
    }


async def test_what_is_refused_has_a_reason_and_is_reported_without_the_share(
    scene: Scene,
) -> None:
    with pytest.raises(KeyringError):
        scene.root.unwrap(scene.members, ID)
    attempt = (await scene.ask(do="look"))["attempt"]
    text = scene.shares[0].text()
    mistyped = text.replace(text[0], "Z" if text[0] != "Z" else "Y", 1)
    for question, reason in (
        ({"share": mistyped}, "group 1 of the share is mistyped"),
        ({"share": text, "attempt": "other"}, "have expired"),
        ({"share": 7}, "a share has 20 groups"),
        ({}, "a share has 20 groups"),
    ):
        answer = await scene.ask(do="hand-in", **{"attempt": attempt, **question})
        assert reason in answer["problem"]
    assert (await scene.ask(do="look"))["held"] == 0
    assert {name for name, _ in scene.reporter.events} == {"root.share_refused"}
    for part in text.split():
        assert part not in str(scene.reporter.events)


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"{}\n", b'{"do": "open"}\n', b'"look"\n'])
async def test_other_questions_get_no_progress(scene: Scene, line: bytes) -> None:
    with pytest.raises(KeyringError):
        scene.root.unwrap(scene.members, ID)
    answer = await scene.send(line)
    assert not answer or set(json.loads(answer)) == {"problem"}
    assert scene.reporter.events == []


@pytest.mark.parametrize("sent", [b"x" * (UNLOCK_LINE_BYTES + 10) + b"\n", b"\xff\xfe\n", b""])
async def test_garbage_ends_its_connection_and_no_other(scene: Scene, sent: bytes) -> None:
    with pytest.raises(KeyringError):
        scene.root.unwrap(scene.members, ID)
    reader, writer = await asyncio.open_unix_connection(str(scene.path))
    writer.write(sent)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert (await scene.ask(do="look"))["held"] == 0


async def test_the_socket_is_of_its_owner_and_group_and_goes_away(scene: Scene) -> None:
    assert stat.S_IMODE(scene.path.stat().st_mode) == 0o660
    await scene.socket.close()
    assert not scene.path.exists()


async def test_a_socket_left_by_a_killed_process_is_replaced(scene: Scene, tmp_path: Path) -> None:
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(left))
    again = UnlockSocket(str(left), scene.reporter, scene.collection)
    await again.start()
    await again.close()

    with pytest.raises(UnfitEnvironment):
        await UnlockSocket("/no/such/folder/s", scene.reporter).start()
