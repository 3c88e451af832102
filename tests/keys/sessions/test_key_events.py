from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.core.crypto import derivation
from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import KeyId
from proxy.core.errors import KeyUnavailable, Unopened
from proxy.core.values.key_needs import Attempt, Needs
from proxy.keys.audit import Trail
from proxy.keys.sessions import session_control
from proxy.keys.sessions.key_events import KeyEvents
from proxy.keys.sessions.sessions import SessionMode, Sessions, SessionSettings
from proxy.keys.stores import MemoryStore, Store
from tests.factories import Ear

from ..audit.test_trail import a_trail
from ..builders import SCOPE, BrokenStore, SharedStore, Time, a_keyring, seal_need, some_bytes

ATTEMPT = Attempt("api", "list", "response", "r-1")
SID = b"\x00" * 12


class Scene:
    """Sessions with key events, an audit log and a log."""

    def __init__(
        self,
        folder: Path,
        *,
        block: bool = True,
        mode: SessionMode = "durable",
        store: Store | None = None,
        settings: SessionSettings | None = None,
        trail: bool = True,
    ) -> None:
        self.folder, self.log, self.time, self.keyring = folder, Ear(), Time(), a_keyring()
        self.trail: Trail | None = a_trail(folder, block=block)[0] if trail else None
        self.key_events = KeyEvents(self.log, self.trail, self.keyring.record_key, clock=self.time)
        self.sessions = Sessions(
            self.keyring,
            store or MemoryStore(self.time),
            settings or SessionSettings(),
            clock=self.time,
            random=some_bytes,
            mode=mode,
            key_events=self.key_events,
        )
        if self.trail is not None:
            self.trail.changed = self.sessions.block

    async def lines(self) -> list[dict[str, Any]]:
        assert self.trail is not None
        self.key_events.close()
        await self.trail.close()
        text = (self.folder / "audit.log").read_text()
        return [json.loads(line) for line in text.splitlines()][1:]


async def test_a_session_that_begins_is_written_down_before_it_seals(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    session = (await scene.sessions.resolve(seal_need())).sealing[SCOPE]
    before_close = (tmp_path / "audit.log").read_text()
    assert "key.session_created" in before_close
    await scene.sessions.resolve(seal_need())
    scene.time.advance(4000)
    await scene.sessions.resolve(seal_need())
    await session_control.rotate(scene.sessions, SCOPE)
    lines = await scene.lines()
    assert [(line["event"], line["cause"]) for line in lines] == [
        ("key.session_created", "first"),
        ("key.session_rotated", "age"),
        ("key.session_rotated", "admin"),
    ]
    assert "clinic" not in before_close
    assert [event for event, _ in scene.log.heard] == [line["event"] for line in lines]
    first, second, _ = (fields for _, fields in scene.log.heard)
    assert (first["mode"], first["kek"], first["ttl_s"]) == ("durable", "k1", 3600.0)
    assert second["previous"] == first["sid"]
    assert session.kek_id == "k1"


@pytest.mark.parametrize("cause", ["use", "revoked"])
async def test_why_a_session_takes_over_is_told(tmp_path: Path, cause: str) -> None:
    scene = Scene(tmp_path, settings=SessionSettings(max_messages=5))
    await scene.sessions.resolve(seal_need(values=3))
    if cause == "revoked":
        await session_control.revoke(scene.sessions, SCOPE, int(scene.time.now) + 1)
    await scene.sessions.resolve(seal_need(values=3))
    assert [line["cause"] for line in await scene.lines()] == ["first", cause]


async def test_who_takes_a_session_of_another_process_tells_nothing(tmp_path: Path) -> None:
    time = Time()
    store = SharedStore(time)
    keyring = a_keyring()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    scenes = [Scene(tmp_path / name, store=store, mode="ephemeral") for name in ("a", "b")]
    for scene in scenes:
        scene.sessions.replace_keyring(keyring)
        await scene.sessions.resolve(seal_need())
    assert [line["mode"] for line in await scenes[0].lines()] == ["ephemeral"]
    assert scenes[1].log.heard == []


async def test_without_the_store_each_tells_of_its_own(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store=BrokenStore())
    await scene.sessions.resolve(seal_need())
    assert [line["event"] for line in await scene.lines()] == ["key.session_created"]


async def test_what_cannot_be_written_down_neither_begins_nor_opens(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "gone")
    with pytest.raises(KeyUnavailable, match="audit-unavailable"):
        await scene.sessions.resolve(seal_need())
    opening = Needs({}, frozenset({(SCOPE, KeyId(SID, kek_id="k1"))}))
    with pytest.raises(KeyUnavailable, match="audit-unavailable"):
        scene.sessions.resolve_warm(opening)
    with pytest.raises(KeyUnavailable, match="audit-unavailable"):
        await scene.sessions.write_down("sessions.revoke", scope="x")
    assert scene.sessions.cached == (0, 0)
    (tmp_path / "gone").mkdir()
    await scene.sessions.resolve(seal_need())
    assert scene.sessions.resolve_warm(opening) is not None
    # Of what was refused, only that something was stands there.
    events = [line["event"] for line in await scene.lines()]
    assert events == ["audit.failed", "key.session_created"]


async def test_what_only_warns_keeps_nobody(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "gone", block=False)
    await scene.sessions.resolve(seal_need())
    await scene.sessions.write_down("sessions.revoke", scope="x")
    (tmp_path / "gone").mkdir()
    events = [line["event"] for line in await scene.lines()]
    assert events == ["key.session_created", "sessions.revoke"]


async def test_a_flood_of_conversations_is_counted(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(1100):
        await scene.sessions.resolve(seal_need(Scope("clinic", str(number))))
    lines = await scene.lines()
    assert [line["event"] for line in lines[-2:]] == [
        "key.session_created", "key.session_created_more"
    ]  # fmt: skip
    assert lines[-1]["number"] == 100
    assert len(scene.log.heard) == 1100


async def test_beyond_the_flood_a_log_that_fails_still_blocks(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "gone")
    for number in range(1001):
        with pytest.raises(KeyUnavailable):
            await scene.sessions.resolve(seal_need(Scope("clinic", str(number))))


async def test_what_did_not_open_is_told_by_reason(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    unopened = [Unopened("bad-tag", SID)] * 3 + [Unopened("revoked-session", SID)]
    assert not scene.sessions.refused(unopened, ATTEMPT)
    lines = await scene.lines()
    assert [(line["reason"], line["values"]) for line in lines] == [
        ("bad-tag", 3), ("revoked-session", 1)
    ]  # fmt: skip
    assert (lines[0]["rule"], lines[0]["request_id"]) == ("list", "r-1")
    assert scene.log.heard == []


@pytest.mark.parametrize("trail", [True, False])
async def test_a_poison_token_raises_an_alarm(tmp_path: Path, *, trail: bool) -> None:
    scene = Scene(tmp_path, trail=trail)
    key = derivation.poison_key(scene.keyring.record_key)
    poison = derivation.poison_sid(key, 1_799_999_000)
    assert scene.sessions.refused([Unopened("bad-tag", SID), Unopened("bad-tag", poison)], ATTEMPT)
    ((event, fields),) = scene.log.heard
    assert (event, fields["rule"], fields["request_id"]) == ("poison.opened", "list", "r-1")
    if trail:
        assert [line["event"] for line in await scene.lines()] == ["open.refused", "poison.opened"]
    # Of another keyring it is a token like any other.
    scene.sessions.replace_keyring(a_keyring())
    assert not scene.sessions.refused([Unopened("unknown-key", poison)], ATTEMPT)


async def test_without_key_events_nothing_is_reported() -> None:
    sessions = Sessions(
        a_keyring(), MemoryStore(Time()), SessionSettings(), clock=Time(), random=some_bytes
    )
    assert not sessions.refused([Unopened("bad-tag", SID)], ATTEMPT)
    await sessions.write_down("sessions.revoke")
