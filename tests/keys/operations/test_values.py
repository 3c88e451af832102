"""Values sealed and opened by hand: as those of messages, and as the command line does."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import Form
from proxy.core.errors import KeyUnavailable, OpenFailed, UnfitValue
from proxy.keys.keyring import poison
from proxy.keys.keyring.poison import Looks
from proxy.keys.operations import values
from proxy.keys.operations import values as value_desk
from proxy.keys.operations.values import (
    ToOpen,
    ToSeal,
    ValueBinding,
    ValueCall,
    ValueOperations,
    ValueResult,
)
from proxy.keys.sessions import session_control
from proxy.keys.sessions.settings import SessionMode

from ..builders import CONTEXT, NOW, SCOPE, a_world, seal_need
from ..sessions.test_key_events import Scene

NAMES = st.none() | st.text(max_size=20)
TEXTS = st.builds(ValueResult, st.text(max_size=200), st.just(value=False))
JSONS = st.builds(
    ValueResult, st.sampled_from(["1.10", "[]", '{"a": 1e400}', '"x"', "null"]), st.just(value=True)
)
SCOPES = st.builds(Scope, NAMES, NAMES, st.none())
CONTEXTS = st.builds(Context, SCOPES, NAMES, NAMES, NAMES, st.none())
BASE64 = st.builds(
    ValueResult,
    st.binary(max_size=90).map(lambda one: b64encode(one).decode()),
    st.just(value=False),
)
BOUNDS = st.builds(
    ValueBinding,
    TEXTS | JSONS,
    CONTEXTS,
    st.sampled_from(["jwe", "short"]),
) | st.builds(ValueBinding, BASE64, CONTEXTS, st.just("base64"))


def of_tokens(tokens: list[ValueResult], sealed: ValueCall) -> ValueCall:
    """Return the call that opens what another one sealed."""
    asked = (ValueBinding(one, by.context) for one, by in zip(tokens, sealed.values, strict=True))
    return ValueCall("open", tuple(asked), "r1")


@given(st.lists(BOUNDS, min_size=1, max_size=5), st.sampled_from(["durable", "ephemeral"]))
def test_what_was_sealed_opens_for_its_context_whatever_the_way(
    asked: list[ValueBinding], mode: SessionMode
) -> None:
    async def run() -> None:
        world = a_world(mode=mode)
        desk = ValueOperations(world.sessions)
        call = ValueCall("seal", tuple(asked), "r0")
        tokens = await desk.run(call)
        assert await desk.run(of_tokens(tokens, call)) == [one.value for one in asked]
        by_hand = [
            ToOpen(one.text.encode(), by.context) for one, by in zip(tokens, asked, strict=True)
        ]
        opened = await values.open_tokens(world.sessions, by_hand)
        assert [one.plaintext.decode() for one in opened] == [one.value.text for one in asked]

    asyncio.run(run())


@given(st.lists(BOUNDS, min_size=1, max_size=5), st.sampled_from(["seal", "open"]))
def test_a_call_reaches_another_process_as_it_is(asked: list[ValueBinding], action: str) -> None:
    call = ValueCall(action, tuple(asked), "r1")  # type: ignore[arg-type]  # one of the two
    assert ValueCall.from_json(json.loads(json.dumps(call.to_json()))) == call


@given(BOUNDS, CONTEXTS)
def test_it_opens_for_no_other_context(one: ValueBinding, other: Context) -> None:
    async def run() -> None:
        desk = ValueOperations(a_world().sessions)
        (token,) = await desk.run(ValueCall("seal", (one,)))
        call = ValueCall("open", (ValueBinding(token, other),))
        if other.encode() == one.context.encode():
            assert await desk.run(call) == [one.value]
        else:
            with pytest.raises(OpenFailed):
                await desk.run(call)

    asyncio.run(run())


@pytest.mark.parametrize("form", ["jwe", "short"])
async def test_what_does_not_open_is_told_once_the_answer_is_out(
    tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(value_desk, "_REPORT_AFTER_SECONDS", 0.01)
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
        both = (
            ValueBinding(ValueResult(good[0].decode()), CONTEXT),
            ValueBinding(ValueResult(text), CONTEXT),
        )
        with pytest.raises(OpenFailed):
            await desk.run(ValueCall("open", both, name))
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
    call = ValueCall("seal", (ValueBinding(ValueResult("hello"), CONTEXT),))
    old = await desk.run(call)
    world.time.advance(5)
    await session_control.revoke(world.sessions, SCOPE, int(world.time()))
    with pytest.raises(OpenFailed):
        await desk.run(of_tokens(old, call))
    assert await desk.run(of_tokens(await desk.run(call), call)) == [ValueResult("hello")]


async def test_while_nothing_can_be_written_down_nothing_is_opened() -> None:
    world = a_world()
    desk = ValueOperations(world.sessions)
    call = ValueCall("seal", (ValueBinding(ValueResult("hello"), CONTEXT),))
    tokens = await desk.run(call)
    world.sessions.block(blocked=True)
    with pytest.raises(KeyUnavailable):
        await desk.run(of_tokens(tokens, call))


async def test_what_is_neither_text_nor_json_does_not_open() -> None:
    world = a_world()
    (text, media) = await values.seal(world.sessions, [ToSeal(b"\xff", CONTEXT)] * 2)
    session = (await world.sessions.resolve(seal_need())).sealing[SCOPE]
    media = session.seal(b"hello", CONTEXT, cty="text/plain")
    for token in (text, media):
        call = ValueCall("open", (ValueBinding(ValueResult(token.decode()), CONTEXT),))
        with pytest.raises(OpenFailed):
            await ValueOperations(world.sessions).run(call)
