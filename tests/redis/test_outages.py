"""Each outage for a short while, at a real `sealyard serve`; `./dev chaos` does it for a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos import traces, trial
from tools.chaos.outages import OUTAGES, Outage
from tools.chaos.sealyard import Mode

from .server import Server, needs_redis

pytestmark = needs_redis

MODES: tuple[Mode, ...] = ("durable", "ephemeral")
ALL = [pytest.param(one, mode, id=f"{one.name}-{mode}") for one in OUTAGES for mode in MODES]
# Durable sessions hardly notice an outage, and Sentinels take long to agree.
SHORT = [
    pytest.param(one, mode, id=f"{one.name}-{mode}")
    for one in OUTAGES
    for mode in MODES
    if one.over is None and (mode == "ephemeral" or one.name == "frozen")
]
# Other tests run at the same time; for a minute, alone, it is held to less.
SHORT_MS = 2_500


@pytest.mark.parametrize(("outage", "mode"), SHORT)
async def test_an_outage_breaks_no_promise(outage: Outage, mode: Mode, tmp_path: Path) -> None:
    outcome = await trial.run(outage, mode, 3.0, tmp_path)

    assert trial.broken(outage, outcome, SHORT_MS) == [], (outcome.cached, outcome.new)
    assert outcome.new.sent > 10


@pytest.mark.slow
@pytest.mark.parametrize(("outage", "mode"), ALL)
async def test_a_minute_of_an_outage_breaks_no_promise(
    outage: Outage, mode: Mode, tmp_path: Path
) -> None:
    outcome = await trial.run(outage, mode, 60.0, tmp_path)

    assert trial.broken(outage, outcome) == [], (outcome.cached.statuses, outcome.new.statuses)


async def test_what_is_looked_for_would_be_found(server: Server) -> None:
    secret = b"a canary of twenty-nine bytes"
    for form in traces.forms(secret):
        server.command("FLUSHALL")
        server.command("SET", "k", b"before " + form + b" after")
        assert traces.holders([secret], {"dump": traces.dumped(server)}) == ["dump"]
    server.command("SET", "k", b"before " + secret[:-1] + b" after")
    assert traces.holders([secret], {"dump": traces.dumped(server)}) == []
