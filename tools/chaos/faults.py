"""`./dev chaos faults [COUNT]`: spoil that many replies of Redis under load, in every topology.

A proxy between Sealyard and a real Redis spoils replies in the ways of one family: resets, or
malformed ones. Requests go on meanwhile; afterwards Sealyard must listen to the store again soon.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp

from proxy.config.settings import RedisSettings, TcpAddress
from tests.redis.fault_proxy import MALFORMED, RESETS, FaultProxy, Kind
from tests.redis.server import Server, trusting, write_tls
from tests.redis.topologies import Clustered, Watched

from . import traces
from .backend import backend
from .load import KNOWN, NEW, Load
from .sealyard import MODES, Mode, Sealyard, sealyard

FAMILIES: Final[Mapping[str, Sequence[Kind]]] = {"resets": RESETS, "malformed": MALFORMED}
TOPOLOGIES: Final = ("alone", "tls", "raw tls", "sentinel", "cluster")
BACK_SECONDS: Final = 2.0
"""Within this time after the last fault, Sealyard is subscribed again."""

_SHARE: Final = 0.25
"""Of all replies: more would let the circuit breaker rest, and there would be no more faults."""
_NEW_A_SECOND: Final = 40
_ROUND_SECONDS: Final = 0.5
_MOST_ROUNDS: Final = 1_200
_PATIENCE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Outcome:
    """What a trial gave: statuses of answers, faults by kind, and when the listener was back."""

    statuses: Mapping[str, int]
    faults: Mapping[str, int]
    back_seconds: float
    wrong: int
    leaked: int
    found_in: Sequence[str]
    alive: bool

    def broken(self, mode: Mode) -> list[str]:
        """Return the promises that did not hold, each in a few words."""
        allowed = ("200", "503") if mode == "ephemeral" else ("200",)
        laws = {
            "an answer was neither served nor refused": all(
                status.startswith(allowed) for status in self.statuses
            ),
            "an answer was wrong": not self.wrong,
            "plaintext was forwarded": not self.leaked,
            f"plaintext in {', '.join(self.found_in)}": not self.found_in,
            "the process ended": self.alive,
            "the listener came back late": self.back_seconds <= BACK_SECONDS,
        }
        return [what for what, held in laws.items() if not held]


@contextmanager
def before(topology: str, folder: Path) -> Iterator[tuple[RedisSettings, list[FaultProxy], Server]]:
    """Run Redis and the proxies before it; give how Sealyard finds it, and one of its servers."""
    with ExitStack() as stack:
        if topology in {"sentinel", "cluster"}:
            rig = (Watched if topology == "sentinel" else Clustered)(folder, proxied=True)
            stack.callback(rig.kill)
            rig.start()
            server = rig.redises[0] if isinstance(rig, Watched) else rig.nodes[0]
            yield rig.settings, rig.proxies, server
            return
        write_tls(folder, "127.0.0.1")
        server = Server(folder, tls=folder if topology == "raw tls" else None)
        stack.callback(server.kill)
        server.start()
        proxy = FaultProxy(server.port, raw=topology == "raw tls")
        if topology == "tls":
            proxy.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            proxy.tls.load_cert_chain(folder / "127.0.0.1.pem", folder / "127.0.0.1.key")
        settings = RedisSettings(TcpAddress("127.0.0.1", proxy.port))
        stack.enter_context(proxy.running())
        yield trusting(settings, folder if "tls" in topology else None), [proxy], server


async def run(topology: str, family: str, mode: Mode, count: int, folder: Path) -> Outcome:
    """Spoil `count` replies of Redis while messages are sent."""
    canary = f"canary-{secrets.token_hex(12)}"
    place = folder / "redis"
    place.mkdir()
    with before(topology, place) as (settings, proxies, server):
        async with (
            backend(canary.encode()) as behind,
            sealyard(folder, behind.port, settings, mode) as sidecar,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            load = Load(sidecar.url, behind.url, canary, session, new_a_second=_NEW_A_SECOND)
            await load.warm()
            await _spoil(load, proxies, FAMILIES[family], count)
            back = await _back(sidecar, session)
            alive = sidecar.process.poll() is None
            figures = load.cached, load.new
            statuses = load.cached.statuses + load.new.statuses
            places = {
                "the log": await asyncio.to_thread(sidecar.log.read_bytes),
                "the metrics": (await sidecar.metrics(session)).encode(),
            }
            if settings == replace(settings, tls=False):
                places["Redis' dump"] = await asyncio.to_thread(traces.dumped, server)
            return Outcome(
                statuses,
                dict(sum((one.counts for one in proxies), start=proxies[0].counts.__class__())),
                back,
                sum(one.wrong for one in figures),
                behind.leaked,
                traces.holders([canary.encode(), KNOWN.encode(), NEW.encode()], places),
                alive,
            )


async def _spoil(
    load: Load, proxies: Sequence[FaultProxy], kinds: Sequence[Kind], count: int
) -> None:
    for proxy in proxies:
        proxy.kinds, proxy.share = kinds, _SHARE
    for _ in range(_MOST_ROUNDS):
        await load.run(_ROUND_SECONDS)
        if kinds == RESETS:
            # The listener hears nothing that could be spoilt, and pooled connections rest.
            for proxy in proxies:
                proxy.counts["reset of all"] += await asyncio.to_thread(proxy.reset_all)
        if sum(proxy.faults for proxy in proxies) >= count:
            break
    for proxy in proxies:
        proxy.share = 0.0


async def _back(sidecar: Sealyard, session: aiohttp.ClientSession) -> float:
    """Return after how many seconds the sidecar is subscribed, and goes on to be."""
    ended = found = time.monotonic()
    while time.monotonic() - ended < _PATIENCE_SECONDS:
        metrics = await sidecar.metrics(session)
        if 'sealyard_store_subscribed{store="redis"} 1' not in metrics:
            found = time.monotonic()
        elif time.monotonic() - found > BACK_SECONDS:
            return found - ended
        await asyncio.sleep(0.02)
    return float("inf")


def main(arguments: list[str]) -> int:
    """Return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        "./dev chaos faults", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("count", type=int, nargs="?", default=1_000, help="replies to spoil")
    parser.add_argument("--topology", choices=TOPOLOGIES)
    parser.add_argument("--family", choices=tuple(FAMILIES))
    parser.add_argument("--mode", choices=MODES)
    chosen = parser.parse_args(arguments)
    missed = False
    for topology in [one for one in TOPOLOGIES if chosen.topology in {None, one}]:
        for family in [one for one in FAMILIES if chosen.family in {None, one}]:
            for mode in [one for one in MODES if chosen.mode in {None, one}]:
                with tempfile.TemporaryDirectory(prefix="sealyard-faults-") as folder:
                    outcome = asyncio.run(run(topology, family, mode, chosen.count, Path(folder)))
                broken = outcome.broken(mode)
                missed = missed or bool(broken)
                sys.stdout.write(
                    f"{topology}, {family}, {mode}:"
                    f" {dict(outcome.faults)}: {dict(outcome.statuses)},"
                    f" listening again after {outcome.back_seconds:.1f} s"
                    f"{''.join(f'; BROKEN: {one}' for one in broken)}\n"
                )
                sys.stdout.flush()
    return int(missed)
