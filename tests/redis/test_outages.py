"""Each outage for a short while, at a real `sealyard serve`; `./dev chaos` does it for a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import traces, trial
from chaos.outages import OUTAGES, Outage
from chaos.sealyard import Mode

from .server import Server, needs_redis

pytestmark = needs_redis

SECONDS = 3.0
# Other tests run at the same time; `./dev chaos` holds it to 300 ms.
MOST_MS = 1_000
# Durable sessions hardly notice.
SHORT = {"frozen"}


def cases() -> list[object]:
    """Return what is tried: everything, of which a part takes too long for every day."""
    found: list[object] = []
    for outage in OUTAGES:
        for mode in ("durable", "ephemeral"):
            every_day = outage.over is None and (mode == "ephemeral" or outage.name in SHORT)
            marks = () if every_day else (pytest.mark.slow,)
            found.append(pytest.param(outage, mode, id=f"{outage.name}-{mode}", marks=marks))
    return found


@pytest.mark.parametrize(("outage", "mode"), cases())
async def test_an_outage_breaks_no_promise(outage: Outage, mode: Mode, tmp_path: Path) -> None:
    outcome = await trial.run(outage, mode, SECONDS, tmp_path)

    assert trial.broken(outage, outcome, MOST_MS) == [], (outcome.cached, outcome.new)
    assert outcome.new.sent > 10


async def test_what_is_looked_for_would_be_found(server: Server) -> None:
    secret = b"a canary of twenty-nine bytes"
    for form in traces.forms(secret):
        server.command("FLUSHALL")
        server.command("SET", "k", b"before " + form + b" after")
        assert traces.holders([secret], {"dump": traces.dumped(server)}) == ["dump"]
    server.command("SET", "k", b"before " + secret[:-1] + b" after")
    assert traces.holders([secret], {"dump": traces.dumped(server)}) == []
