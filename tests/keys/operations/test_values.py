"""Values sealed and opened by hand: as those of messages, and as the command line does."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import to_json
from proxy.core.crypto.token import Form
from proxy.core.errors import KeyUnavailable, OpenFailed, UnfitValue
from proxy.keys.keyring import poison
from proxy.keys.keyring.poison import Looks
from proxy.keys.operations import values
from proxy.keys.operations import values as value_desk
from proxy.keys.operations.values import (
    OnBehalf,
    ToOpen,
    ToSeal,
    ValueOperations,
)
from proxy.keys.operations.verb import Call
from proxy.keys.operations.verbs import VERBS
from proxy.keys.sessions import session_control
from proxy.keys.sessions.open_lines import OpenLines
from proxy.keys.sessions.settings import SessionMode
from tests.keys.desk import a_place

from ..audit.test_trail import a_trail
from ..builders import CONTEXT, NOW, SCOPE, a_world, seal_need
from ..sessions.test_key_events import Scene

NAMES = st.none() | st.text(max_size=20)
SCOPES = st.builds(Scope, NAMES, NAMES, st.none())
CONTEXTS = st.builds(Context, SCOPES, NAMES, NAMES, NAMES, st.none())
FORMS = st.sampled_from(["jwe", "short"])
TEXTS = st.text(max_size=200).map(str.encode)
JSONS = st.sampled_from([b"1.10", b"[]", b'{"a": 1e400}', b'"x"', b"null"])
BASE64 = st.binary(max_size=90).map(b64encode)
BOUNDS = (
    st.builds(ToSeal, TEXTS, CONTEXTS, st.just(value=False), FORMS)
    | st.builds(ToSeal, JSONS, CONTEXTS, st.just(value=True), FORMS)
    | st.builds(ToSeal, BASE64, CONTEXTS, st.just(value=False), st.just("base64"))
)


def of_tokens(tokens: list[bytes], sealed: list[ToSeal]) -> list[ToOpen]:
    """Return what opens the tokens that were sealed so."""
    return [ToOpen(one, by.context) for one, by in zip(tokens, sealed, strict=True)]


@given(st.lists(BOUNDS, min_size=1, max_size=5), st.sampled_from(["durable", "ephemeral"]))
def test_what_was_sealed_opens_for_its_context_whatever_the_way(
    asked: list[ToSeal], mode: SessionMode
) -> None:
    async def run() -> None:
        world = a_world(mode=mode)
        desk = ValueOperations(world.sessions)
        tokens = of_tokens(await desk.seal(asked), asked)
        texts = [(one.plaintext.decode(), one.json_value) for one in asked]
        assert await desk.open(tokens, "r1") == texts
        opened = await values.open_tokens(world.sessions, tokens)
        assert [one.plaintext for one in opened] == [one.plaintext for one in asked]

    asyncio.run(run())


class Asked:
    """Takes note of what is asked of values, and does nothing."""

    def __init__(self) -> None:
        self.asked: list[ToSeal | ToOpen] = []
        self.request_id = ""
        self.by = OnBehalf()

    async def seal(self, asked: list[ToSeal], by: OnBehalf) -> list[bytes]:
        self.by = by
        self.asked += asked
        return []

    async def open(
        self, asked: list[ToOpen], request_id: str, by: OnBehalf
    ) -> list[tuple[str, bool]]:
        self.by = by
        self.asked += asked
        self.request_id = request_id
        return []


@given(st.lists(BOUNDS, min_size=1, max_size=5), st.sampled_from(["seal", "open"]))
def test_a_call_reaches_another_process_as_it_is(asked: list[ToSeal], action: str) -> None:
    def as_json(one: ToSeal) -> dict[str, Any]:
        scope, field, message, purpose = one.context[:4]
        names = {"tenant": scope.tenant, "conversation": scope.conversation, "message": message}
        named = {part: None if name is None else to_json(name) for part, name in names.items()}
        text = one.plaintext.decode()
        value = {"value": text, "json": one.json_value, "form": one.form}
        return {
            **named,
            "field": field,
            "purpose": purpose,
            **(value if seals else {"token": text}),
        }

    seals, desk = action == "seal", Asked()
    said = {"values" if seals else "tokens": [as_json(one) for one in asked]}
    sent = Call(f"values.{action}", said, request_id="r1").to_json()
    call = Call.from_json(json.loads(json.dumps(sent)))
    place = a_place(values=lambda: desk).of(call)
    asyncio.run(cast("Any", VERBS[call.verb].does(place, **call.given)))

    of_texts = [ToOpen(one.plaintext, one.context) for one in asked]
    assert (desk.asked, desk.request_id) == ((asked, "") if seals else (of_texts, "r1"))


@given(BOUNDS, CONTEXTS)
def test_it_opens_for_no_other_context(one: ToSeal, other: Context) -> None:
    async def run() -> None:
        desk = ValueOperations(a_world().sessions)
        (token,) = await desk.seal([one])
        asked = [ToOpen(token, other)]
        if other.encode() == one.context.encode():
            assert await desk.open(asked, "") == [(one.plaintext.decode(), one.json_value)]
        else:
            with pytest.raises(OpenFailed):
                await desk.open(asked, "")

    asyncio.run(run())


@pytest.mark.parametrize("form", ["jwe", "short"])
async def test_what_does_not_open_is_told_once_the_answer_is_out(
    tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(value_desk, "REPORT_AFTER_SECONDS", 0.01)
    scene = Scene(tmp_path)
    desk = ValueOperations(scene.sessions)
    good = await values.seal(scene.sessions, [ToSeal(b"hello", CONTEXT, form=form)])
    looks = Looks(form, 5)
    planted, sid = poison.make(scene.keyring, NOW - 60, looks, random=os.urandom)
    strange = (await a_world().sessions.resolve(seal_need())).sealing[SCOPE]
    tampered = good[0].decode()
    tried = {
        "tampered": tampered[:-4] + ("AAAA" if not tampered.endswith("AAAA") else "BBBB"),
        "poison": planted,
        "unknown": strange.seal(b"hello", CONTEXT, form=form).decode(),
        "text": "hello",
        "not-ascii": "é",
    }
    for name, text in tried.items():
        both = [ToOpen(good[0], CONTEXT), ToOpen(text.encode(), CONTEXT)]
        with pytest.raises(OpenFailed):
            await desk.open(both, name)
    heard = [event for event, _ in scene.log.heard]
    assert "poison.opened" not in heard
    await asyncio.sleep(0.05)

    alarms = [told for event, told in scene.log.heard if event == "poison.opened"]
    assert [(one["sid"], one["listener"], one["request_id"]) for one in alarms] == [
        (sid, "admin", "poison")
    ]
    refused = [one for one in await scene.lines() if one["event"] == "open.refused"]
    assert [(one["request_id"], one["listener"]) for one in refused] == [
        (name, "admin") for name in tried
    ]


async def test_the_bytes_that_a_backend_decoded_open_to_bytes() -> None:
    world = a_world()
    content = b"\xff\x00 scan \n"
    asked = [ToSeal(b64encode(content), CONTEXT, form="base64")]
    (text,) = await values.seal(world.sessions, asked)
    both = [ToOpen(text, CONTEXT), ToOpen(b64decode(text), CONTEXT)]
    opened = await values.open_tokens(world.sessions, both)
    assert [one.plaintext for one in opened] == [b64encode(content), content]


@pytest.mark.parametrize("value", [b"c2Nhbg", b"c2Nhbh==", b" c2Nhbg==", b"\xff"])
async def test_what_is_no_base64_has_no_token_in_that_form(value: bytes) -> None:
    world = a_world()
    with pytest.raises(UnfitValue):
        await values.seal(world.sessions, [ToSeal(value, CONTEXT, form="base64")])
    with pytest.raises(UnfitValue):
        await values.seal(
            world.sessions, [ToSeal(b"1234", CONTEXT, json_value=True, form="base64")]
        )


async def test_a_revoked_session_opens_nothing_and_a_new_one_seals() -> None:
    world = a_world()
    desk = ValueOperations(world.sessions)
    asked = [ToSeal(b"hello", CONTEXT)]
    old = await desk.seal(asked)
    world.time.advance(5)
    await session_control.revoke(world.sessions, SCOPE, int(world.time()))
    with pytest.raises(OpenFailed):
        await desk.open(of_tokens(old, asked), "")
    new = of_tokens(await desk.seal(asked), asked)
    assert await desk.open(new, "") == [("hello", False)]


async def test_while_nothing_can_be_written_down_nothing_is_opened() -> None:
    world = a_world()
    desk = ValueOperations(world.sessions)
    asked = [ToSeal(b"hello", CONTEXT)]
    tokens = of_tokens(await desk.seal(asked), asked)
    world.sessions.block(blocked=True)
    with pytest.raises(KeyUnavailable):
        await desk.open(tokens, "")


async def test_what_is_neither_text_nor_json_does_not_open() -> None:
    world = a_world()
    (text, media) = await values.seal(world.sessions, [ToSeal(b"\xff", CONTEXT)] * 2)
    session = (await world.sessions.resolve(seal_need())).sealing[SCOPE]
    media = session.seal(b"hello", CONTEXT, cty="text/plain")
    for token in (text, media):
        with pytest.raises(OpenFailed):
            await ValueOperations(world.sessions).open([ToOpen(token, CONTEXT)], "")


async def test_what_is_opened_is_written_down_before_it_is_told(tmp_path: Path) -> None:
    world = a_world()
    trail, log, _ = a_trail(tmp_path)
    keyring = world.keyring
    lines = OpenLines(
        trail, world.sessions.name, lambda: keyring.record_key, withheld=True, clear=False
    )
    desk = ValueOperations(world.sessions, lines)
    other = CONTEXT._replace(field="note")
    asked = [ToSeal(b"canary-31b0", one) for one in (CONTEXT, CONTEXT, other)]
    tokens = of_tokens(await desk.seal(asked), asked)
    await desk.open(tokens, "r-7")
    text = log.path.read_text()
    told = json.loads(text.splitlines()[-1])
    assert (told["event"], told["listener"], told["request_id"]) == (
        "open.attempted",
        "admin",
        "r-7",
    )
    assert told["fields"] == ["content:value:2", "note:value:1"]
    assert told["scopes"] == [world.sessions.name(SCOPE)]
    assert "canary" not in text
    with pytest.raises(OpenFailed):
        await desk.open([tokens[0]._replace(context=other)], "r-8")
    log.path.rename(tmp_path / "away")
    log.path.mkdir()
    with pytest.raises(KeyUnavailable):
        await desk.open(tokens, "r-9")
    await trail.close()
