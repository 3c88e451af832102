"""A process whose clock is far from the store's deletes no prekey of anybody."""

from __future__ import annotations

from functools import partial

import pytest

from proxy.core.errors import KeyUnavailable, OperatorError
from proxy.keys.operations import participant_operations
from proxy.keys.operations.verb import At
from proxy.keys.participants.participant import ParticipantKey
from proxy.keys.participants.pins import PinBook
from proxy.keys.participants.registry import Participants
from tests.keys.builders import SharedStore, Time
from tests.keys.desk import a_place
from tests.keys.end_to_end.builders import KEYRING, Process, a_fleet, a_held_key
from tests.keys.end_to_end.test_key_source import prekey_of_carol

DAYS = 26 * 86_400


class TimedStore(SharedStore):
    """Keeps time, as Redis does."""

    keeps_time = True

    def time(self) -> float | None:
        """Return the time of its clock."""
        return self._clock()


async def a_fleet_with_carol(off: float) -> tuple[Process, Process, ParticipantKey]:
    """Return a process, one whose clock is `off` by so many seconds, and carol's prekey."""
    right = Time()
    store = TimedStore(right)
    (one,) = await a_fleet(store=store)
    one.time.now = right.now
    await one.add("carol", a_held_key("alice-enc"), a_held_key("bob-sig"))
    key = prekey_of_carol(int(right.now))
    await one.people.change("carol", lambda carol: carol.add_prekey(key, grace=600))
    return one, await Process(store, Time(right.now + off)).open(), key


async def kids(process: Process) -> list[str]:
    return [each.public.kid for each in (await process.people.find("carol")).keys]


def a_desk(process: Process) -> At:
    async def participants() -> tuple[Participants, PinBook]:
        return process.people, PinBook(process.sessions.store, KEYRING, {})

    return a_place(process.sessions, clock=process.time, participants=participants)


async def test_a_process_that_is_weeks_ahead_deletes_no_prekey() -> None:
    one, ahead, key = await a_fleet_with_carol(DAYS)
    sealed = await one.seal(b"hello", "alice", ["carol"])
    with pytest.raises(KeyUnavailable, match="store-clock-skew"):
        await ahead.seal(b"hello", "alice", ["carol"])
    assert key.public.kid in await kids(one)
    assert await one.open_for("carol", sealed) == b"hello"


@pytest.mark.parametrize("off", [DAYS, -DAYS])
async def test_a_command_whose_clock_is_wrong_makes_no_prekey(off: float) -> None:
    one, wrong, key = await a_fleet_with_carol(off)
    add = partial(participant_operations.prekey, device="phone", ttl=60, grace=60)
    with pytest.raises(OperatorError, match="clock-skew"):
        await add(a_desk(wrong), "carol", under="keyring")
    assert key.public.kid in await kids(one)
