"""The composition root: settings in, a working sidecar out. It owns what it starts."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping

from .config.settings import ListenerSettings, Loaded, Settings, UpstreamTls
from .core.rulebook import Rulebook
from .keys.keyring import Keyring
from .keys.keyring_file import open_keyring_async
from .keys.roots import ROOTS, RootProvider
from .keys.sessions import Sessions, SessionSettings
from .keys.stores import Store, open_store
from .traffic import tls
from .traffic.handler import Handler
from .traffic.interfaces import Reporter
from .traffic.listener import HttpListener
from .traffic.server import Lane, TrafficServer
from .traffic.upstream import HttpUpstream


class Sidecar:
    """A sidecar made from one configuration: keys, sessions and the lanes of its listeners."""

    def __init__(
        self, settings: Settings, keyring: Keyring, reporter: Reporter, clock: Callable[[], float]
    ) -> None:
        """Wire everything; nothing is opened before `start`. Needs a running event loop."""
        self._reporter = reporter
        self.settings = settings
        self.store: Store = open_store(settings.keys.store, time.monotonic)
        self.sessions = Sessions(
            keyring,
            self.store,
            SessionSettings(ttl=int(settings.keys.ttl), grace=int(settings.keys.grace)),
            clock=clock,
            random=os.urandom,
            notice=self._store_notice,
        )
        self.listeners = {one.name: self._listener(one, clock) for one in settings.listeners}
        self._server = TrafficServer([lane for _, lane in self.listeners.values()])

    def port(self, listener: str) -> int:
        """Return the TCP port of a listener once it was started."""
        return self.listeners[listener][0].port

    async def start(self) -> None:
        """Open all listeners; raise UnfitEnvironment where one cannot be opened."""
        await self._server.start()
        for name, (listener, _) in self.listeners.items():
            self._reporter.report("listener.started", listener=name, address=str(listener.port))

    async def drain(self, grace: float) -> bool:
        """Stop in good order within `grace` seconds; return whether nothing had to be cut."""
        finished = await self._server.drain(grace)
        await self.store.close()
        return finished

    def _listener(
        self, settings: ListenerSettings, clock: Callable[[], float]
    ) -> tuple[HttpListener, Lane]:
        upstream = HttpUpstream(
            settings.upstream.address,
            tls=_upstream_tls(settings),
            server_name=settings.upstream_tls.server_name if settings.upstream_tls else None,
            limits=settings.limits,
            timeouts=settings.timeouts,
        )
        handler = Handler(
            Rulebook(settings.rules, pass_unmatched=settings.pass_unmatched),
            self.sessions,
            upstream,
            self._reporter,
            clock=clock,
            name=settings.name,
            limits=settings.limits,
            timeouts=settings.timeouts,
        )
        listener = HttpListener(
            settings.listen,
            handler,
            tls=tls.listener_context(settings.tls) if settings.tls else None,
            limits=settings.limits,
            timeouts=settings.timeouts,
        )
        return listener, Lane(listener, upstream)

    def _store_notice(self, reason: str) -> None:
        self._reporter.report(
            "store.failed", store=self.settings.keys.store.partition(":")[0], reason=reason
        )


async def build(
    loaded: Loaded,
    reporter: Reporter,
    *,
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.time,
) -> Sidecar:
    """Return a sidecar that is ready to start, its keyring opened off the event loop.

    Raises KeyringError where the keyring does not open, UnfitEnvironment for unusable TLS files.
    """
    settings = loaded.settings
    began = time.monotonic()
    keyring = await open_keyring_async(settings.keys.keyring, root_provider(settings, environ))
    reporter.report(
        "keyring.opened",
        file=str(settings.keys.keyring),
        root=settings.keys.root.kind,
        primary=keyring.primary.id,
        keks=len(keyring.keks),
        duration_ms=round((time.monotonic() - began) * 1000, 1),
    )
    return Sidecar(settings, keyring, reporter, clock)


def root_provider(settings: Settings, environ: Mapping[str, str]) -> RootProvider:
    """Return the holder of the secret that opens the configured keyring."""
    root = settings.keys.root
    return ROOTS[root.kind](root.secret, environ)


def _upstream_tls(settings: ListenerSettings) -> ssl.SSLContext | None:
    if not settings.upstream.tls:
        return None
    return tls.upstream_context(settings.upstream_tls or UpstreamTls())
