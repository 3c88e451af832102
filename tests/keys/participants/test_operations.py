from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from proxy.core.errors import ParticipantError, UnfitEnvironment, UnknownParticipantKey
from proxy.keys.participants import private_key
from proxy.keys.participants.calls import ParticipantAction, ParticipantCall
from proxy.keys.participants.key_generation import KeyMaker
from proxy.keys.participants.operations import ParticipantOperations, ParticipantResult
from proxy.keys.participants.pins import PinBook
from proxy.keys.participants.registry import Participants
from tests.keys.builders import NOW, a_keyring

from .builders import a_public_jwk, a_public_key, guarded

ALICE = a_public_key("alice-enc").kid


class Rig:
    """A desk over a store of its own, and what it wrote down."""

    def __init__(self, *, full: bool = False) -> None:
        self.written: list[tuple[str, Mapping[str, str]]] = []
        self.full = full
        store, keyring = guarded(), a_keyring()
        self.participants = Participants(store, keyring)
        self.pins = PinBook(store, keyring, {"carol": [ALICE]})
        self.desk = ParticipantOperations(
            self.participants, self.pins, KeyMaker(), self._write, clock=lambda: NOW
        )

    async def _write(self, event: str, values: Mapping[str, str]) -> None:
        if self.full:
            raise UnfitEnvironment("full")
        self.written.append((event, values))

    async def ask(self, action: Any, **more: Any) -> ParticipantResult:  # noqa: ANN401 - values of any field
        return await self.desk.run(ParticipantCall(action, "alice", **more))


def imported(name: str = "alice-enc") -> dict[str, Any]:
    return {"jwk": a_public_jwk(name), "use": a_public_key(name).use}


async def test_what_is_done_is_written_down_under_a_name_that_tells_nothing() -> None:
    rig = Rig()
    added = await rig.ask("add", **imported())
    await rig.ask("expire", kid=ALICE, seconds=NOW + 9)
    await rig.ask("revoke", kid=ALICE, reason="phone lost")
    found = await rig.ask("find")

    assert added.kid == ALICE
    assert found.participant.find(ALICE).status(NOW) == "revoked"
    assert [event for event, _ in rig.written] == [
        f"participants.{one}" for one in ("add", "expire", "revoke")
    ]
    assert {values["participant"] for _, values in rig.written} == {added.name}
    assert "alice" not in added.name


async def test_what_cannot_be_written_down_is_not_done() -> None:
    rig = Rig(full=True)
    with pytest.raises(UnfitEnvironment):
        await rig.ask("add", **imported())

    assert (await rig.ask("find")).participant.keys == ()


@pytest.mark.parametrize(
    "action", [one for one in get_args(ParticipantAction) if one not in {"find", "add"}]
)
async def test_a_key_that_is_not_there_is_no_event(action: str) -> None:
    rig = Rig()
    more = imported() if action == "rotate" else {"kid": ALICE, "reason": "lost"}
    with pytest.raises(ParticipantError):
        await rig.ask(action, **more)

    assert rig.written == []


async def test_a_public_key_alone_cannot_be_handed_out() -> None:
    rig = Rig()
    await rig.ask("add", **imported())
    with pytest.raises(UnknownParticipantKey):
        await rig.ask("private", kid=ALICE)


@pytest.mark.parametrize("passphrase", [None, "", "short", "x" * 1025, "\ud800" * 12])
async def test_a_pair_needs_a_passphrase_that_guards_it(passphrase: str | None) -> None:
    rig = Rig()
    with pytest.raises(ParticipantError) as caught:
        await rig.ask("add", passphrase=passphrase)

    assert not passphrase or passphrase not in str(caught.value)


async def test_a_pair_may_be_under_the_keyring() -> None:
    rig = Rig()
    answer = await rig.ask("add", use="sig", keyring=True)
    key = answer.participant.find(answer.kid)
    opener = private_key.keyring_opener(rig.participants.keyring)

    assert private_key.unseal(key.private, opener, key.public)["kty"] == "OKP"


async def test_calls_and_answers_survive_the_channel_between_processes() -> None:
    rig = Rig()
    call = ParticipantCall("add", "alice", device="phone", **imported(), expires=NOW + 9)
    answer = await rig.desk.run(ParticipantCall.from_json(call.to_json()))

    assert ParticipantCall.from_json(call.to_json()) == call
    assert ParticipantResult.from_json(answer.to_json()) == answer
    assert "hunter2" not in repr(ParticipantCall("add", "a", passphrase="hunter2"))


async def test_a_key_is_accepted_and_shown_so_once_it_stands_in_the_audit_log() -> None:
    rig = Rig()
    await rig.ask("add", **imported())
    await rig.ask("add", **imported("bob-enc"))
    found = await rig.ask("find")
    assert [found.pins.facts(one) for one in found.participant.keys] == [{}, {}]

    accepted = await rig.ask("accept", kid=ALICE)
    again = ParticipantResult.from_json(accepted.to_json())
    for answer in (accepted, again, await rig.ask("find")):
        shown = [answer.pins.facts(one) for one in answer.participant.keys]
        assert shown == [{"accepted": True}, {"accepted": False}]
    assert rig.written[-1] == ("participants.accept", {"participant": found.name, "kid": ALICE})


async def test_what_the_configuration_pins_is_accepted_nowhere_else() -> None:
    rig = Rig()
    add = ParticipantCall("add", "carol", **imported("bob-enc"))
    answer = await rig.desk.run(add)
    with pytest.raises(ParticipantError, match="configuration"):
        await rig.desk.run(ParticipantCall("accept", "carol", kid=answer.kid))

    assert [event for event, _ in rig.written] == ["participants.add"]
