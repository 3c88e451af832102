"""The cases: which work, on how many connections, by which peers. `--only` takes their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .peers import Peer, nginx, obvious_aiohttp, sealyard
from .works import CONNECTIONS

LUA: Final = nginx.LUA
OBVIOUS: Final = obvious_aiohttp.NAME
NGINX: Final = "nginx"
_FORMS: Final = frozenset({sealyard.NAME, sealyard.PYTHON})
_LARGE: Final = _FORMS | {LUA, OBVIOUS}
_REDIS: Final = frozenset({sealyard.REDIS, LUA, OBVIOUS})
_TLS: Final = frozenset({sealyard.TLS, nginx.LUA_TLS, obvious_aiohttp.TLS})
_APART: Final = _TLS | {sealyard.REDIS}
_EACH: Final = frozenset({"pass", "seal"})


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of work on so many connections.

    `only` names the peers; None is all that can do the work, but for those with a store or TLS.
    Those in `passing` only pass a message of 1 KiB through meanwhile, to be compared with.
    `seconds` is how long a load takes, at least. `beside` is the work of one more client, of which
    only the effect on the others is measured. `known` is the work of a Sealyard in turns with
    itself, where the conversation is not new.
    """

    name: str
    work: str
    connections: int = CONNECTIONS
    seconds: int = 1
    only: frozenset[str] | None = None
    passing: frozenset[str] = frozenset()
    beside: str = ""
    known: str = ""

    def variant(self, name: str) -> str:
        """Return what a peer is called that takes part with a store or TLS here, or its name."""
        apart = {f"{name}, {what}" for what in ("Redis", "TLS")} & (self.only or frozenset())
        return next(iter(apart), name)

    def work_of(self, peer: Peer) -> str | None:
        """Return which work the peer is measured at here; None where it is not."""
        if peer.name in self.passing:
            return "pass"
        asked = peer.name not in _APART if self.only is None else peer.name in self.only
        if not asked:
            return None
        if peer.name == sealyard.UNLOGGED and self.name not in _EACH:
            return None
        able = {self.work, self.beside or self.work} <= peer.works
        return self.work if able else None

    def wants(self, peer: Peer) -> frozenset[str]:
        """Return every work that the peer must be able to do for this case."""
        work = self.work_of(peer)
        known = self.known if peer.name == self.variant(sealyard.NAME) else ""
        return frozenset(filter(None, (work, work and self.beside, known)))


CASES: Final = (
    Case("chat", "chat"),
    Case("cookie", "chat_cookie"),
    Case("path", "chat_path"),
    Case("heads", "chat_heads"),
    Case("heads-5000", "chat_many"),
    Case("fhir", "fhir"),
    Case("fhir-5000", "fhir_many"),
    Case("connect", "chat_close_1"),
    Case("connect-5", "chat_close_5"),
    Case("tls", "chat", only=_TLS),
    Case("tls-connect", "chat_close_1", only=_TLS),
    Case("chunked", "chunked"),
    Case("whole", "whole", only=_LARGE),
    Case("whole-json", "whole_json"),
    Case("pass-1", "pass", 1, only=_FORMS | {NGINX, "HAProxy", "Envoy"}),
    Case("pass", "pass"),
    Case("seal-1", "seal", 1, only=_LARGE, passing=frozenset({NGINX})),
    Case("seal", "seal"),
    Case("16k", "seal_16k"),
    Case("1m", "seal_1m", 4, 2),
    Case("8m", "seal_8m", 1, 3, only=_LARGE),
    Case("list-pass", "list_pass", only=_FORMS | {NGINX}),
    Case("list", "list"),
    Case("tokens", "tokens"),
    Case("websocket", "websocket", seconds=3),
    Case("events", "events"),
    Case("beside", "seal", seconds=3, only=_LARGE, beside="list_16m"),
    Case("redis", "chat", only=_REDIS),
    Case("redis-new", "chat_new", only=_REDIS),
    Case("redis-new-1", "chat_new", 1, only=_REDIS, known="chat"),
    Case("new", "chat_new"),
    Case("all-new", "chat_all_new"),
)
"""In the order in which they are measured: new conversations stay in memory behind their load."""
KNOWN: Final = "a conversation that is known"
"""The peer of a case that is Sealyard itself, with the work of `known`."""
QUICK_PEERS: Final = _LARGE | _REDIS | _TLS
"""The peers of the short form, in turns with Sealyard."""
