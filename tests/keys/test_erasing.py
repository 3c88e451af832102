"""Erasing the ephemeral session keys of a conversation, in the store and in every process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.core.crypto import token
from proxy.core.crypto.context import Scope
from proxy.core.crypto.joined_names import Joined
from proxy.core.errors import KeyringError, KeyUnavailable, NotErasable
from proxy.core.values.key_needs import Keys, Needs
from proxy.keys.operations import erase_receipt
from proxy.keys.sessions import session_control
from proxy.keys.stores import Store, open_store
from tests.keys.desk import Desk

from .builders import CONTEXT, SCOPE, BrokenStore, SharedStore, Time, World, a_world, seal_need

OTHER = Scope("clinic", "c2")


@pytest.fixture(params=["memory", "shared", "sqlite"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Store, Time]]:
    time = Time()
    if request.param == "shared":
        yield SharedStore(time), time
        return
    address = "memory" if request.param == "memory" else f"sqlite:{tmp_path}/keys.db"
    opened = open_store(address, time, wall=time)
    yield opened, time
    await opened.close()


def a_desk(world: World) -> Desk:
    return Desk(world.sessions)


async def sealed(world: World, scope: Scope = SCOPE) -> bytes:
    session = (await world.sessions.resolve(seal_need(scope))).sealing[scope]
    return session.seal(b"hello", CONTEXT)


async def opens(world: World, text: bytes, scope: Scope = SCOPE) -> bool:
    need = scope, token.decode(text).key_id
    return need in (await world.sessions.resolve(Needs({}, frozenset({need})))).opening


async def test_what_was_erased_opens_never_again_and_nothing_else_is_lost(
    store: tuple[Store, Time],
) -> None:
    world = a_world(store=store[0], time=store[1], mode="ephemeral")
    first, other = await sealed(world), await sealed(world, OTHER)
    await session_control.rotate(world.sessions, SCOPE)
    assert await opens(world, first)
    answer = await a_desk(world).run("erase", SCOPE)
    assert not await opens(world, first)
    assert await opens(world, other, OTHER)
    places = [place for place in await store[0].dump() if place.startswith(answer.scope)]
    assert sorted(places) == [f"{answer.scope}:fence", f"{answer.scope}:rev"]
    world.time.advance(2)
    again = await sealed(world)
    assert await opens(world, again)
    found = erase_receipt.verified(answer.receipt.encode(), answer.key or {})
    assert found is not None
    assert {one["sid"] for one in found["sids"]} == set(answer.erased or ())
    assert erase_receipt.is_about(found, SCOPE)


async def test_another_process_lets_go_as_soon_as_it_hears() -> None:
    time = Time()
    shared = SharedStore(time)
    one = a_world(store=shared, time=time, mode="ephemeral")
    other = one.another_process()
    for world in (one, other):
        await world.sessions.open()
    text = await sealed(one)
    await sealed(other, OTHER)
    assert await opens(other, text)
    await sealed(other)
    await a_desk(one).run("erase", SCOPE)
    assert SCOPE not in [scope for scope, _ in other.sessions._ephemeral._known._entries]
    assert other.sessions.sealing.get(SCOPE) is None
    assert other.sessions.sealing.get(OTHER) is not None
    assert not await opens(other, text)


async def test_a_worker_lets_go_when_it_is_told() -> None:
    time = Time()
    one = a_world(store=SharedStore(time), time=time, mode="ephemeral")
    other = one.another_process()
    text = await sealed(one)
    assert await opens(other, text)
    await a_desk(other).run("erase", SCOPE, after=int(other.time()) + 1)
    assert len(other.sessions._ephemeral) == 0
    assert not await opens(other, text)


async def test_a_copy_that_comes_back_is_refused(tmp_path: Path) -> None:
    time = Time()
    shared = SharedStore(time)
    world = a_world(store=shared, time=time, mode="ephemeral")
    text = await sealed(world)
    backup = {name: dict(keys) for name, keys in shared._keys.items()}
    await a_desk(world).run("erase", SCOPE)
    shared._keys.update(backup)
    assert not await opens(world, text)
    assert not await opens(world.another_process(), text)


def holding(folder: Path, data: bytes) -> list[Path]:
    """Return the files that hold these bytes."""
    return [path for path in folder.iterdir() if data in path.read_bytes()]


async def test_the_bytes_of_a_key_are_gone_from_the_file(tmp_path: Path) -> None:
    time = Time()
    store = open_store(f"sqlite:{tmp_path}/keys.db", time, wall=time)
    world = a_world(store=store, time=time, mode="ephemeral")
    await sealed(world)
    name = world.sessions.view(SCOPE).name
    (record,) = [v for k, v in (await store.dump()).items() if k.startswith(f"{name}:k:")]
    wrapped = record[-92:-32]
    assert holding(tmp_path, wrapped)
    await a_desk(world).run("erase", SCOPE)
    assert not holding(tmp_path, wrapped)
    await store.close()


async def test_durable_sessions_cannot_be_erased() -> None:
    world = a_world()
    text = await sealed(world)
    with pytest.raises(NotErasable):
        await a_desk(world).run("erase", SCOPE)
    assert await opens(world, text)


async def test_without_an_answer_of_the_store_there_is_no_receipt() -> None:
    world = a_world(store=BrokenStore(shared=True), mode="ephemeral")
    with pytest.raises(KeyUnavailable):
        await a_desk(world).run("erase", SCOPE)


async def test_what_the_keyring_did_not_take_stands_in_the_receipt() -> None:
    def refuse(name: str, not_before: int) -> None:
        raise KeyringError("read-only")

    world = a_world(mode="ephemeral")
    await sealed(world)
    answer = await Desk(world.sessions, refuse).run("erase", SCOPE)
    found = erase_receipt.verified(answer.receipt.encode(), answer.key or {})
    assert found is not None
    assert (answer.problem, found["revoked"]["keyring"]) == ("read-only", False)


@pytest.mark.parametrize(
    "spelled", ["5:alice3:bob", "alice\x00bob", "alice,bob", '["alice","bob"]']
)
async def test_an_erasure_of_joined_members_leaves_what_is_spelled_like_their_joining(
    store: tuple[Store, Time], spelled: str
) -> None:
    world = a_world(store=store[0], time=store[1], mode="ephemeral")
    members = Scope("clinic", Joined("members", ("alice", "bob")))
    encoded = Joined("members", ("alice", "bob")).encode().decode()
    others = [Scope("clinic", spelled), Scope("clinic", encoded)]
    others.append(Scope("clinic", Joined("list", ("alice", "bob"))))
    texts = [await sealed(world, scope) for scope in (members, *others)]
    await a_desk(world).run("erase", members)
    scopes = zip(texts, (members, *others), strict=True)
    assert [await opens(world, *one) for one in scopes] == [False, True, True, True]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_what_is_sealed_between_revocation_and_destruction_is_not_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    time = Time()
    store = SharedStore(time)
    world = a_world(store=store, time=time, mode="ephemeral")
    other = world.another_process()
    for one in (world, other):
        await one.sessions.open()
    await sealed(world)
    met: list[Keys] = []
    erase = session_control.erase

    async def late(*given: Any) -> tuple[str, ...]:  # noqa: ANN401 - passed on
        who = other if elsewhere else world
        await who.sessions.ask(SCOPE)
        met.append(await who.sessions.resolve(seal_need()))
        return await erase(*given)

    monkeypatch.setattr(session_control, "erase", late)
    answer = await a_desk(world).run("erase", SCOPE)
    (session,) = met[0].sealing.values()
    assert len(answer.erased or ()) == 2
    assert session.created < answer.not_before
    await other.sessions.ask(SCOPE)
    assert not met[0].standing.stands(session)
    time.advance(3)
    assert await opens(other, await sealed(world))
