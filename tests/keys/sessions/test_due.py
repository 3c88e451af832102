from __future__ import annotations

import gc

from proxy.core.crypto.context import Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.values.key_needs import Needs
from proxy.keys.policy import SHOWN_DUE
from proxy.keys.sessions.sealing_cache import Due
from tests.keys.builders import NOW, SCOPE, a_world


async def test_without_sessions_nothing_is_due() -> None:
    assert a_world().sessions.due() == Due()


async def test_the_session_that_is_due_first_comes_first() -> None:
    world = a_world()
    for number in range(SHOWN_DUE + 3):
        scope = Scope("clinic", f"c{number}")
        await world.sessions.resolve(Needs(seals={scope: 2}))
        world.time.advance(10)
    due = world.sessions.due()

    assert due.created == int(NOW)
    assert due.due == due.first[0].soft_end == min(one.soft_end for one in due.first)
    assert len(due.first) == SHOWN_DUE
    assert [one.soft_end for one in due.first] == sorted(one.soft_end for one in due.first)
    assert due.first[0].sealed == 2


async def test_what_is_over_is_not_due() -> None:
    world = a_world()
    await world.sessions.resolve(Needs(seals={SCOPE: 1}))
    world.time.advance(24 * 3600 + 1)

    assert world.sessions.due() == Due()


async def test_what_is_told_of_a_session_keeps_none_of_it_in_memory() -> None:
    world = a_world()
    keys = await world.sessions.resolve(Needs(seals={SCOPE: 1}))
    sid = keys.sealing[SCOPE].sid
    told = world.sessions.due()
    del keys
    world.sessions.replace_keyring(a_world().sessions.keyring)
    gc.collect()

    assert told.first
    alive = [one for one in gc.get_objects() if isinstance(one, Session) and one.sid == sid]
    assert alive == []
