from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.core.errors import ParticipantError, UnfitEnvironment
from proxy.keys.operations.verb import Done
from proxy.keys.operations.verbs import VERBS
from proxy.keys.participants import private_key
from proxy.keys.participants.key_generation import KeyMaker
from proxy.keys.participants.pins import PinBook
from proxy.keys.participants.registry import Participants
from tests.keys.builders import NOW, a_keyring
from tests.keys.desk import a_place
from tests.keys.participants.builders import a_public_jwk, a_public_key, guarded

ALICE = a_public_key("alice-enc").kid


class Rig:
    """A place with a store of its own, and what it wrote down."""

    def __init__(self, *, full: bool = False) -> None:
        self.written: list[tuple[str, Mapping[str, str]]] = []
        self.kept: list[tuple[str, int, bool]] = []
        self.full = full
        store, self.keyring = guarded(), a_keyring()
        self.people = Participants(store, self.keyring)
        self.pins = PinBook(store, self.keyring, {"carol": [ALICE]})
        self.place = a_place(
            cast("Any", SimpleNamespace(keyring=self.keyring)),
            write_down=self._write,
            participants=self._participants,
            make=KeyMaker().make,
            keep=lambda *one, of_record: self.kept.append((*one, of_record)),
            clock=lambda: NOW,
        )

    async def _write(self, event: str, **values: str) -> None:
        if self.full:
            raise UnfitEnvironment("full")
        self.written.append((event, values))

    async def _participants(self) -> tuple[Participants, PinBook]:
        return self.people, self.pins

    async def ask(self, action: str, who: str = "alice", **more: Any) -> Done:  # noqa: ANN401 - values of any argument
        verb = VERBS[f"participants.{action}"]
        defaults = {one.name: one.default for one in verb.arguments if one.default is not None}
        given = {**defaults, "participant": who, **more}
        return await verb.does(self.place, **given)

    async def listed(self) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = (await self.ask("list")).answer["keys"]
        return keys


def imported(name: str = "alice-enc") -> dict[str, Any]:
    return {"jwk": a_public_jwk(name), "use": a_public_key(name).use}


async def test_what_is_done_is_written_down_under_a_name_that_tells_nothing() -> None:
    rig = Rig()
    added = await rig.ask("add", **imported())
    await rig.ask("expire", kid=ALICE, at=NOW + 9)
    await rig.ask("revoke", kid=ALICE, reason="phone lost")
    (found,) = await rig.listed()

    assert added.told["kid"] == ALICE
    assert found["status"] == "revoked"
    assert [event for event, _ in rig.written] == [
        f"participants.{one}" for one in ("add", "expire", "revoke")
    ]
    assert {values["participant"] for _, values in rig.written} == {added.told["participant"]}
    assert "alice" not in added.told["participant"]


async def test_what_cannot_be_written_down_is_not_done() -> None:
    rig = Rig(full=True)
    with pytest.raises(UnfitEnvironment):
        await rig.ask("add", **imported())

    assert await rig.listed() == []


@pytest.mark.parametrize("action", ["rotate", "revoke", "expire", "accept", "private"])
async def test_a_key_that_is_not_there_is_no_event(action: str) -> None:
    rig = Rig()
    more = imported() if action == "rotate" else {"kid": ALICE}
    more |= {"reason": "lost"} if action == "revoke" else {}
    with pytest.raises(ParticipantError):
        await rig.ask(action, **more)

    assert rig.written == []


async def test_a_public_key_alone_cannot_be_handed_out() -> None:
    rig = Rig()
    await rig.ask("add", **imported())
    done = await rig.ask("private", kid=ALICE)

    assert (done.failed, "private" in done.answer) == ("unknown-participant-key", False)
    assert [event for event, _ in rig.written] == ["participants.add"]


@pytest.mark.parametrize("passphrase", [None, "", "short", "x" * 1025, "\ud800" * 12])
async def test_a_pair_needs_a_passphrase_that_guards_it(passphrase: str | None) -> None:
    rig = Rig()
    with pytest.raises(ParticipantError) as caught:
        await rig.ask("add", under="", passphrase=passphrase)

    assert not passphrase or passphrase not in str(caught.value)


async def test_a_pair_may_be_under_the_keyring() -> None:
    rig = Rig()
    added = await rig.ask("add", use="sig", under="keyring")
    key = (await rig.people.find("alice")).find(added.answer["kid"])
    opener = private_key.keyring_opener(rig.keyring)

    assert private_key.unseal(key.private, opener, key.public)["kty"] == "OKP"


async def test_a_key_is_accepted_and_shown_so_once_it_stands_in_the_audit_log() -> None:
    rig = Rig()
    await rig.ask("add", **imported())
    await rig.ask("add", **imported("bob-enc"))
    assert [one.get("accepted") for one in await rig.listed()] == [None, None]

    accepted = await rig.ask("accept", kid=ALICE)
    assert accepted.answer["accepted"]
    assert [one["accepted"] for one in await rig.listed()] == [True, False]
    name = rig.people.name("alice")
    assert rig.written[-1] == ("participants.accept", {"participant": name, "kid": ALICE})


async def test_what_the_configuration_pins_is_accepted_nowhere_else() -> None:
    rig = Rig()
    added = await rig.ask("add", "carol", **imported("bob-enc"))
    with pytest.raises(ParticipantError, match="configuration"):
        await rig.ask("accept", "carol", kid=added.answer["kid"])

    assert [event for event, _ in rig.written] == ["participants.add"]
