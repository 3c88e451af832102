"""Sessions that have sealed: whether they may go on, and what they sealed be acknowledged."""

from __future__ import annotations

import pytest

from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Keys
from proxy.keys.sessions import session_control
from proxy.keys.sessions.settings import SessionMode
from proxy.process.boot_clock import since_boot

from ..builders import SCOPE, World, a_keyring, a_world, seal_need


async def sealed(world: World) -> tuple[Keys, Session]:
    keys = await world.sessions.resolve(seal_need())
    session = keys.sealing[SCOPE]
    assert keys.standing.stands(session)
    await keys.standing.confirm(session)
    return keys, session


async def refusal(keys: Keys, session: Session) -> str:
    assert not keys.standing.stands(session)
    with pytest.raises(KeyUnavailable) as refused:
        await keys.standing.confirm(session)
    return refused.value.reason


async def test_a_revoked_session_stands_no_more_and_the_one_after_it_does() -> None:
    world = a_world()
    keys, session = await sealed(world)
    session_control.know(world.sessions, world.sessions.name(SCOPE), session.created)
    assert keys.standing.stands(session)  # of before it alone
    session_control.know(world.sessions, world.sessions.name(SCOPE), session.created + 1)
    assert await refusal(keys, session) == "revoked-meanwhile"
    world.time.advance(2)
    await sealed(world)


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_a_session_under_a_kek_that_is_disabled_or_gone_stands_no_more(
    mode: SessionMode,
) -> None:
    keyring = a_keyring("k2")
    world = a_world(keyring=keyring, mode=mode)
    keys, session = await sealed(world)
    promoted = keyring.promote("k2")
    world.sessions.replace_keyring(promoted)
    assert keys.standing.stands(session)
    world.sessions.replace_keyring(promoted.disable("k1"))
    assert await refusal(keys, session) == "revoked-meanwhile"
    world.sessions.replace_keyring(promoted.disable("k1").remove("k1"))
    assert await refusal(keys, session) == "revoked-meanwhile"


async def test_without_a_lease_nobody_knows() -> None:
    world = a_world()
    keys, session = await sealed(world)
    world.sessions.sealing_until = since_boot()
    assert not keys.standing.stands(session)


async def test_after_the_lease_of_the_root_nothing_stands() -> None:
    world = a_world()
    keys, session = await sealed(world)
    world.sessions.withdraw(withdrawn=True)
    assert await refusal(keys, session) == "root-lease-ended"
