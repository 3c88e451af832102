from __future__ import annotations

import os

import pytest

from proxy.core.crypto import derivation, token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import Form
from proxy.core.errors import OpenFailed
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring import poison
from proxy.keys.keyring.poison import Looks

from ..builders import CONTEXT, NOW, SCOPE, a_keyring, a_world, seal_need


@pytest.mark.parametrize("form", ["jwe", "short"])
@pytest.mark.parametrize("ephemeral", [True, False])
async def test_a_poison_token_looks_like_any_and_opens_nowhere(
    form: Form, *, ephemeral: bool
) -> None:
    world = a_world(mode="ephemeral" if ephemeral else "durable")
    genuine = (await world.sessions.resolve(seal_need())).sealing[SCOPE]
    planted, sid = poison.make(
        world.keyring, NOW - 5, Looks(form, 5, ephemeral=ephemeral), random=os.urandom
    )
    like = genuine.seal(b"hello", CONTEXT, form=form)
    assert len(planted) == len(like)
    ours, theirs = token.decode(planted.encode()), token.decode(like)
    assert ours.key_id.kek_id == theirs.key_id.kek_id
    assert ours.key_id.kek_number == theirs.key_id.kek_number
    assert poison.planted(world.keyring, planted.encode()) == sid
    assert poison.planted(a_keyring(), planted.encode()) is None
    assert poison.planted(world.keyring, like) is None
    for context in (CONTEXT, Context(Scope())):
        need = (context.scope, ours.key_id)
        keys = await world.sessions.resolve(Needs({}, frozenset({need})))
        session = keys.opening.get(need) or keys.decoys[need]
        with pytest.raises(OpenFailed):
            session.open(ours, context, NOW, refusal=keys.refusals[need])


def test_a_value_that_is_no_string_looks_like_one() -> None:
    planted, _ = poison.make(a_keyring(), NOW, Looks("jwe", 5, json_value=True), random=os.urandom)
    assert token.decode(planted.encode()).cty == "json"


def test_what_is_no_token_is_no_poison() -> None:
    assert poison.planted(a_keyring(), b"hello") is None


def test_no_session_id_that_is_drawn_is_taken_for_poison() -> None:
    key = derivation.poison_key(a_keyring().record_key)
    assert not any(poison.is_poison(key, os.urandom(12)) for _ in range(10_000))
