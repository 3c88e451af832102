"""The cases: which work, on how many connections, by which peers. `--only` takes their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .peers import Peer, sealyard
from .works import CONNECTIONS

LUA: Final = "nginx + Lua + OpenSSL"
OBVIOUS: Final = "obvious aiohttp"
NGINX: Final = "nginx"
_FORMS: Final = frozenset({sealyard.NAME, sealyard.PYTHON})
_EACH: Final = frozenset({"pass", "seal"})


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of work on so many connections.

    `only` names the peers; None is all that can do the work. Those in `passing` only pass a message
    of 1 KiB through meanwhile, to be compared with. `seconds` is how long a load takes, at least.
    `beside` is the work of one more client, of which only the effect on the others is measured.
    """

    name: str
    work: str
    connections: int = CONNECTIONS
    seconds: int = 1
    only: frozenset[str] | None = None
    passing: frozenset[str] = frozenset()
    beside: str = ""

    def work_of(self, peer: Peer) -> str | None:
        """Return which work the peer is measured at here; None where it is not."""
        if peer.name in self.passing:
            return "pass"
        if self.only is not None and peer.name not in self.only:
            return None
        if peer.name == sealyard.UNLOGGED and self.name not in _EACH:
            return None
        able = {self.work, self.beside or self.work} <= peer.works
        return self.work if able else None

    def wants(self, peer: Peer) -> frozenset[str]:
        """Return every work that the peer must be able to do for this case."""
        work = self.work_of(peer)
        return frozenset(filter(None, (work, work and self.beside)))


_LARGE: Final = _FORMS | {LUA, OBVIOUS}
CASES: Final = (
    Case("pass-1", "pass", 1, only=_FORMS | {NGINX, "HAProxy", "Envoy"}),
    Case("pass", "pass"),
    Case("seal-1", "seal", 1, only=_LARGE, passing=frozenset({NGINX})),
    Case("seal", "seal"),
    Case("16k", "seal_16k"),
    Case("1m", "seal_1m", 4, 2),
    Case("8m", "seal_8m", 1, 3, only=_LARGE),
    Case("whole", "whole", only=_LARGE),
    Case("list-pass", "list_pass", only=_FORMS | {NGINX}),
    Case("list", "list"),
    Case("tokens", "tokens"),
    Case("websocket", "websocket", seconds=3),
    Case("events", "events"),
    Case("beside", "seal", seconds=3, only=_LARGE, beside="list_16m"),
)
QUICK: Final = ("seal", "1m", "list", "websocket", "events", "beside")
"""Those of the short form, with the peers of `QUICK_PEERS` only."""
QUICK_PEERS: Final = _LARGE
