"""The lines of what messages open: who, what, of which conversations, and what was delivered."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.core.callers import VerifiedCaller
from proxy.core.crypto import derivation
from proxy.core.crypto.context import Scope
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Opening
from proxy.keys import policy
from proxy.keys.audit import AuditLog, Trail, verification
from proxy.keys.sessions.open_lines import OpenLines
from tests.factories import a_session

from ..audit.builders import KEY
from ..audit.test_trail import Ear, a_trail, soon  # noqa: F401 - a fixture that lets notes come soon
from ..builders import a_keyring

DOCTOR = VerifiedCaller("doctor", "https://id.clinic", "canary-of-a-subject")
VALUES = {("content", "opened"): 3, ("card", "opened"): 1}


def an_opening(request_id: str = "r-1", **changes: Any) -> Opening:  # noqa: ANN401 - of any member
    session = a_session(scope=Scope("clinic", "canary-of-a-name"))
    one = Opening("api", "list", "response", request_id, DOCTOR, "", (session,), VALUES)  # type: ignore[arg-type]  # literals
    return one._replace(**changes)


class Scene:
    def __init__(self, folder: Path, *, block: bool = True, clear: bool = False) -> None:
        self.keyring = a_keyring()
        self.trail: Trail
        self.log: AuditLog
        self.ear: Ear
        self.trail, self.log, self.ear = a_trail(folder, block=block)
        self.lines = OpenLines(
            self.trail,
            lambda scope: self.keyring.names_of(scope)[0],
            lambda: self.keyring.record_key,
            withheld=True,
            clear=clear,
        )

    async def told(self) -> list[dict[str, Any]]:
        self.lines.flush()
        await self.trail.close()
        read = [json.loads(line) for line in self.log.path.read_text().splitlines()]
        return [one for one in read if one["event"].startswith("open.")]


async def test_a_line_says_who_opened_what_and_names_nobody(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    opening = an_opening(purpose="treatment")
    await scene.lines.attempt(opening)
    assert '"event":"open.attempted"' in scene.log.path.read_text()
    scene.lines.over("r-1", delivered=True)
    scene.lines.over("r-2", delivered=False)
    attempted, over = await scene.told()
    key = derivation.caller_key(scene.keyring.record_key)
    named = derivation.caller_name(key, DOCTOR.issuer, DOCTOR.subject)
    assert attempted["caller"] == "doctor"
    assert (attempted["subject_hash"], attempted["subject_key"]) == named
    assert (attempted["listener"], attempted["rule"], attempted["direction"]) == (
        "api",
        "list",
        "response",
    )
    assert attempted["purpose_of_use"] == "treatment"
    assert attempted["fields"] == ["content:value:3", "card:value:1"]
    (session,) = opening.sessions
    assert attempted["scopes"] == list(scene.keyring.names_of(session.scope)[:1])
    assert len(attempted["sids"]) == 1
    assert (over["delivered"], over["cut"]) == (["r-1"], ["r-2"])
    assert "canary" not in scene.log.path.read_text()


async def test_subjects_are_in_clear_only_where_that_is_wanted(tmp_path: Path) -> None:
    scene = Scene(tmp_path, clear=True)
    await scene.lines.attempt(an_opening())
    await scene.lines.attempt(an_opening(caller=None))
    known, anyone = await scene.told()
    assert (known["issuer"], known["subject"]) == (DOCTOR.issuer, DOCTOR.subject)
    assert anyone["caller"] == "anyone"
    assert "subject" not in anyone


async def test_a_caller_has_another_hash_once_the_record_key_is_rotated(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.lines.attempt(an_opening())
    scene.keyring = a_keyring()
    await scene.lines.attempt(an_opening())
    one, other = await scene.told()
    assert one["subject_key"] != other["subject_key"]
    assert one["subject_hash"] != other["subject_hash"]


@pytest.mark.parametrize(("fields", "told"), [(2000, 65), (60, 1)], ids=["many", "long"])
async def test_names_of_fields_make_no_line_too_long(
    fields: int, told: int, tmp_path: Path
) -> None:
    scene = Scene(tmp_path)
    name = "n" if told > 1 else "\U0001f600" * 100
    counts = {(f"{name}{at}", "opened"): 1 for at in range(fields)}
    await scene.lines.attempt(an_opening(counts=counts))
    (line,) = await scene.told()

    assert len(line["fields"]) == told
    assert sum(int(one.rpartition(":")[2]) for one in line["fields"]) == fields
    assert line["fields"][-1].startswith("*:value:")
    assert verification.verify([scene.log.path], KEY).broken == 0


async def test_many_conversations_are_all_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.keys.sessions.open_lines.OPENED_SCOPES", 40)
    scene = Scene(tmp_path)
    sessions = [a_session(scope=Scope("clinic", f"c{number}")) for number in range(100)]
    await scene.lines.attempt(an_opening(sessions=sessions))
    told = await scene.told()
    assert [len(one["scopes"]) for one in told] == [40, 40, 20]
    names = {scene.keyring.names_of(one.scope)[0] for one in sessions}
    assert {name for one in told for name in one["scopes"]} == names


async def test_a_longest_line_is_no_longer_than_a_reader_takes(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    many = [a_session(scope=Scope("clinic", f"c{n}")) for n in range(policy.OPENED_SCOPES)]
    await scene.lines.attempt(an_opening(sessions=many))
    for number in range(policy.MOST_AT_ONCE):
        scene.lines.over(f"{number:064x}", delivered=True)
    await scene.told()
    longest = max(map(len, scene.log.path.read_bytes().splitlines()))
    assert longest < policy.LINE_BYTES // 2


async def test_messages_share_the_writes_of_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    groups: list[int] = []
    append = AuditLog.append

    def counted(self: AuditLog, key: Any, entries: Any) -> Any:  # noqa: ANN401 - handed on
        groups.append(len(entries))
        return append(self, key, entries)

    monkeypatch.setattr(AuditLog, "append", counted)
    await asyncio.gather(*(scene.lines.attempt(an_opening(f"r-{n}")) for n in range(200)))
    assert sum(groups) == 200
    assert len(groups) <= 6
    assert max(groups) <= policy.MOST_AT_ONCE
    await scene.told()


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("fault", ["open", "flock", "write", "cut", "fdatasync", "pwrite"])
async def test_where_the_log_blocks_and_cannot_be_written_nothing_goes_on(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    await scene.lines.attempt(an_opening("r-0"))
    with monkeypatch.context() as failing:
        call = {"flock": "fcntl.flock", "cut": "os.write"}.get(fault, f"os.{fault}")
        failing.setattr(f"proxy.keys.audit.log.{call}", (lambda *_: 7) if fault == "cut" else full)
        with pytest.raises(KeyUnavailable):
            await scene.lines.attempt(an_opening("r-1"))
        assert scene.trail.blocked
    await scene.lines.attempt(an_opening("r-2"))
    assert not scene.trail.blocked
    told = [one["request_id"] for one in await scene.told()]
    assert told[0] == "r-0"
    assert told[-1] == "r-2"
    assert not verification.verify((scene.log.path,), KEY).broken


async def test_where_the_log_only_warns_nothing_waits(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "none", block=False)
    await scene.lines.attempt(an_opening())
    (tmp_path / "none").mkdir()
    (one,) = await scene.told()
    assert one["request_id"] == "r-1"
