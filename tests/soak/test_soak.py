"""A short soak keeps every promise, and the oracle finds what would break one."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret

import pytest

from tests.redis.server import needs_redis
from tools.scorecard.page import SOAK
from tools.soak import __main__ as command
from tools.soak import report
from tools.soak.backend import opened
from tools.soak.faults import Fault
from tools.soak.journal import BUSY, Journal, Message, Window
from tools.soak.run import SHORT, Soak, soak
from tools.soak.sidecars import Sidecar
from tools.soak.traffic import Client
from tools.soak.watch import slope
from tools.soak.world import World

SEED = 20261127


@needs_redis
def test_a_short_soak_keeps_every_promise_and_writes_its_record(tmp_path: Path) -> None:
    file = tmp_path / "record.json"

    status = command.main(["0.005", "--seed", str(SEED), "--record", str(file)])

    record = json.loads(file.read_text())
    assert (status, record["figures"]["breaches"]) == (0, {}), record["figures"]["examples"]
    assert (record["item"], record["form"], record["seed"]) == (SOAK, "short", SEED)
    assert record["verdict"] == "ok short"
    assert record["figures"]["acknowledged"] > 20
    assert record["figures"]["opened_at_the_end"] >= 40
    assert sum(row["times"] for row in record["figures"]["faults"].values()) >= 1


@asynccontextmanager
async def _sabotage(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Do at the backend what Sealyard must never do, or let happen."""
    yield
    journal, (steady, _mortal) = world.journal, world.pairs[0]
    client = Client(world.pairs[0], journal, world.session, random)
    sent: list[Message] = []
    while len(sent) < 3:
        message = await client.send_json(steady, "durable-sabotage")
        sent += [] if message is None else [message]
    lost, one, other = sent
    store = opened(str(world.backend.file))
    store.execute("DELETE FROM message WHERE number = ?", (lost.number,))
    store.execute(
        "UPDATE message SET body = (SELECT body FROM message WHERE number = ?) WHERE number = ?",
        (one.number, other.number),
    )
    store.close()
    url = f"http://127.0.0.1:{world.backend.port}/messages/plain/{journal.next_number()}"
    for _time in range(2):
        async with world.session.post(url, json={"content": journal.canary}) as response:
            assert response.status == 200


@needs_redis
async def test_the_oracle_finds_what_is_lost_wrong_plain_and_sent_twice(tmp_path: Path) -> None:
    made = Soak(tmp_path, SEED, 2.0, SHORT)  # time for one
    made.faults = {"sabotage": Fault("sabotage", "backend", _sabotage)}

    await soak(made)

    assert made.journal.breaches["lost at the backend"] >= 2  # one at each sidecar of the pair
    assert made.journal.breaches["wrong answer"] >= 2
    assert made.journal.breaches["sent twice"] == 1
    assert made.journal.breaches["plaintext"] == 3  # it came twice, and is stored


def test_a_soak_that_cannot_begin_has_a_verdict_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.redis.server.PROGRAM", str(tmp_path / "no-redis"))

    told = report.outcome(0.001, SEED)

    assert told.verdict == "missed"
    assert told.figures["breaches"] == {"the soak was cut short": 1}


def test_a_slow_recovery_on_a_busy_machine_breaks_no_promise_and_is_told_apart() -> None:
    journal = Journal("canary")
    window = Window("redis killed", "redis", 0.0, 2.0, ended=time.monotonic())

    assert journal.recovered(window, 1.0, 2.0)
    assert not journal.recovered(window, 3.0, 2.0)
    journal.late(window.ended, 2.0)
    assert journal.recovered(window, 4.0, 2.0)

    row = journal.rows[window.name]
    assert (row.times, row.recoveries) == (3, [1.0, 3.0])
    assert journal.rows[BUSY].recoveries == [4.0]


def test_a_slope_is_that_of_most_points() -> None:
    points = [(float(at), 10.0 + 0.5 * at) for at in range(50)]
    points[10] = (10.0, 1000.0)

    assert slope(points) == pytest.approx(0.5)
    assert slope([(float(at), 7.0) for at in range(50)]) == 0
    assert slope([]) == 0


@pytest.mark.parametrize(
    ("told", "kind"),
    [("503 key-unavailable", "not opened in time"), ("502 open-failed", "lost"), ("", "")],
)
async def test_only_what_is_answered_not_to_open_is_lost(
    told: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(client: Client, _: object, __: Message) -> bool | None:
        client.told = told
        return None if told else True

    monkeypatch.setattr(Client, "check", check)
    monkeypatch.setattr("tools.soak.run._PATIENCE", 0.0)
    made = Soak(tmp_path, SEED, 2.0, SHORT)
    one = Sidecar("ephemeral-steady", "ephemeral", tmp_path, 1, 1)
    made._world = World(tmp_path, made.journal, None, None, None, ((one, one),), None, {})  # type: ignore[arg-type]  # no process runs

    await made._open(one, [Message(1, "ephemeral", "room", "messages", 10, time.monotonic())])

    assert list(+made.journal.breaches) == ([kind] if kind else [])
