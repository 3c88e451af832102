"""A session ends at 2^22 values or 2^32 blocks of AES: a long value counts for several."""

from __future__ import annotations

import os

import pytest

from proxy.core.compiled.flat_json import Bound
from proxy.core.values.hows import Seal
from proxy.core.values.key_needs import Needs, weight
from proxy.core.values.strings import UsualTexts
from proxy.core.values.table import Values
from proxy.keys.operations import values
from proxy.keys.operations.values import ToSeal
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore

from ..builders import CONTEXT, SCOPE, Time, a_keyring, seal_need

MIB = 1 << 20


def some_sessions(max_messages: int = 1 << 22) -> Sessions:
    clock = Time()
    settings = SessionSettings(max_messages=max_messages)
    return Sessions(a_keyring(), MemoryStore(clock), settings, clock=clock, random=os.urandom)


def in_a_table(*sizes: int) -> Needs:
    """Return what a message needs that has values of these sizes."""
    table = Values()
    for size in sizes:
        table.add(Seal(None, None), CONTEXT, 0, 0, b"x" * size)  # type: ignore[arg-type]  # neither is looked at
    return table.needs()


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 100_000, 16 * MIB])
def test_a_value_counts_for_at_least_its_blocks(size: int) -> None:
    assert weight(size) * 1024 >= -(-size // 16)
    assert weight(size) <= 1 + size // 16_384


def test_a_message_counts_each_of_its_values_by_its_length() -> None:
    assert in_a_table(MIB).seals == {SCOPE: 65}
    assert in_a_table(1, 20_000, 40_000, 2).seals == {SCOPE: 1 + 2 + 3 + 1}


async def test_values_of_16_mib_rotate_the_session_after_2_to_the_32_blocks() -> None:
    sessions = some_sessions()
    needs = in_a_table(16 * MIB)
    first = (await sessions.resolve(needs)).sealing[SCOPE].sid
    sealed = 1
    while (await sessions.resolve(needs)).sealing[SCOPE].sid == first:
        sealed += 1
    assert sealed == (1 << 22) // 1025
    assert sealed * 16 * MIB // 16 <= 1 << 32


async def test_a_value_that_an_operator_seals_counts_by_its_length() -> None:
    sessions = some_sessions(max_messages=5)
    await values.seal(sessions, [ToSeal(b"x" * 60_000, CONTEXT)])
    sealing = sessions.sealing.get(SCOPE)
    assert sealing is not None
    assert sealing.used == 4
    first = sealing.session.sid
    assert (await sessions.resolve(seal_need(SCOPE, 2))).sealing[SCOPE].sid != first


@pytest.mark.parametrize(("size", "counts"), [(100, 1), (40_000, 3)])
def test_values_at_plain_paths_count_by_the_length_of_the_body(size: int, counts: int) -> None:
    usual = UsualTexts([], (CONTEXT,), [b"x" * size])
    assert Bound((CONTEXT,), 1).needs_of(usual, size + 10).seals == {SCOPE: counts}
