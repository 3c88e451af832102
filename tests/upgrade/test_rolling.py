"""Rolling from an earlier release to this tree and back, over one store and an old keyring."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from proxy.core.crypto import token
from proxy.keys.fleet.watch import STATES
from tests.upgrade.earlier import NOW, Code
from tests.upgrade.fleet import Fleet, Message, a_fleet, sent

REVOCATION_SECONDS = 30.0
"""Ten times `revocation_max_age`, after which others ask where they hear nothing."""

FORKED = "another keyring has this generation and differs"


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_no_acknowledged_message_is_lost_forwards_or_back(
    old: Code, store: str, mode: str, tmp_path: Path
) -> None:
    async with a_fleet(tmp_path, store, mode, old) as fleet:
        for code in (NOW, old):
            for place in range(3):
                before = len(fleet.acknowledged)
                async with fleet.load():
                    await fleet.run(fleet.sidecars[place], code)
                assert not await fleet.lost(fleet.acknowledged[before:])
        assert not await fleet.lost(fleet.acknowledged)
        assert len(fleet.acknowledged) > 100
        refused = {kind for kind in fleet.refused if kind[0].isdigit() and kind[:3] != "503"}
        assert not refused
    assert not fleet.leaks()


async def test_a_revocation_by_either_version_binds_both(
    old: Code, store: str, tmp_path: Path
) -> None:
    async with a_fleet(tmp_path, store, "durable", old, ("one", "two")) as fleet:
        await fleet.run(fleet.sidecars[1], NOW)
        for number, code in enumerate((old, NOW)):
            message = await sent(fleet, f"/rooms/revoked{number}/1")
            assert not await fleet.lost([message])
            await asyncio.sleep(1.1)  # a session of the second of the revocation stays
            named = ("--tenant", "clinic", "--conversation", f"revoked{number}")
            yes = ("--yes",) if code is NOW else ()
            code.run(tmp_path, "sessions", "revoke", *named, *yes, "--config", "one.yaml")
            await refused_everywhere(fleet, message)
        for code in (old, NOW):  # a log that both have written
            code.run(tmp_path, "audit", "verify", "--config", "one.yaml")
    assert not fleet.leaks()


async def refused_everywhere(fleet: Fleet, message: Message) -> None:
    """Wait until no sidecar opens a message, and each says that it does not."""
    deadline = time.monotonic() + REVOCATION_SECONDS
    while True:
        answers = [await fleet.opened(one, message) for one in fleet.sidecars]
        if all(": 502 " in one for one in answers):
            return
        assert time.monotonic() < deadline, answers
        await asyncio.sleep(0.3)


async def test_a_new_kek_of_this_version_is_used_by_both(
    old: Code, store: str, tmp_path: Path
) -> None:
    async with a_fleet(tmp_path, store, "durable", old, ("one", "two")) as fleet:
        await fleet.run(fleet.sidecars[1], NOW)
        before = await sent(fleet, "/rooms/before/1")
        added = NOW.run(tmp_path, "keys", "add", "--config", "one.yaml").split()[0]
        await fleet.loaded()
        await fleet.promote(added)
        messages = [before]
        for place in (0, 1):
            messages.append(await sent(fleet, f"/rooms/after{place}/1", place))
            assert added in header_of(fleet, messages[-1])
        assert not await fleet.lost(messages)
        assert not findings(fleet)


async def test_a_change_by_the_old_version_is_reported_as_a_fork_and_opens_all_the_same(
    old: Code, store: str, tmp_path: Path
) -> None:
    async with a_fleet(tmp_path, store, "durable", old, ("one", "two")) as fleet:
        await fleet.run(fleet.sidecars[1], NOW)
        NOW.run(tmp_path, "keys", "add", "--config", "one.yaml")
        await fleet.loaded()
        old.run(tmp_path, "keys", "add", "--id", "k9", "--config", "one.yaml")
        await fleet.loaded()
        old.run(tmp_path, "keys", "promote", "k9", "--config", "one.yaml")
        await fleet.loaded()
        messages = [await sent(fleet, f"/rooms/after{place}/1", place) for place in (0, 1)]
        assert "k9" in header_of(fleet, messages[0])
        assert "k9" in header_of(fleet, messages[1])
        assert not await fleet.lost(messages)
        await fleet.logged(fleet.sidecars[1], "keyring.forked")
        assert findings(fleet) == {"keyring.forked"}
        assert FORKED in await fleet.verbose(fleet.sidecars[1])
        NOW.run(tmp_path, "keys", "add", "--config", "one.yaml")
        await fleet.loaded()
        assert FORKED not in await fleet.verbose(fleet.sidecars[1])


def findings(fleet: Fleet) -> set[str]:
    """Return what the sidecar of this version found about the keyring."""
    events = {line["event"] for line in fleet.lines(fleet.sidecars[1])}
    return events & set(STATES.values())


def header_of(fleet: Fleet, message: Message) -> str:
    """Return the key id of a token that the backend has."""
    sealed = json.loads(fleet.stored[message.path][0])["content"]
    return str(token.decode(sealed.encode()).key_id.kek_id)
