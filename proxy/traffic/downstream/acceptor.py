"""The front door of a listener: it accepts connections, and answers those that it has no room for.

It accepts by itself, not by the server of the event loop. libuv drops connections that come while
the process has no file descriptor left, and nothing could count or answer them. Nor could a PROXY
header be read before the TLS handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, cast

from ...config.settings import Address, Network
from ...core.errors import Busy
from ...process import descriptors
from ..http1.forwarding_headers import trusts
from ..http1.problem import problem
from ..policy import (
    BACKLOG,
    HELD_BACK_SECONDS,
    LEAST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    REPORT_SECONDS,
    SHORT_BACKLOG,
)
from .client_lifecycle import ClientLifecycle
from .sockets import Sockets, close, open_sockets, port_of

RESERVED_DESCRIPTORS: Final = 8
"""No client is served with one of the last file descriptors: they are for the health listener,
for the log and for the upstream."""
_LAST_DESCRIPTORS: Final = 4
"""With these, one client is refused at a time."""

REASONS: Final = {
    "clients": "`limits.clients` are connected",
    "clients-per-address": "`limits.clients_per_address` are connected from the same address",
    "descriptors": "hardly any file descriptor is left",
    "workers": "no worker accepts connections",
    "accept": "no file descriptor was left; the connections wait in the kernel meanwhile",
    "proxy-peer": "`proxy_protocol` is on, and the peer is not one of the `trusted_proxies`",
    "proxy-header": "the peer sent no valid PROXY header in time",
    "loop-lag": "the processor has no time for what they ask",
    "tls": "the TLS handshake failed, or took longer than `timeouts.head`",
}
"""Why a connection is not served."""

_DROPPED_BYTES: Final = 65536
_ANSWERED: Final = ("clients", "clients-per-address", "descriptors", "loop-lag", "workers")
_ANSWERS: Final = {
    reason: problem(Busy(reason), "").render(connection=b"close", head_only=False)
    for reason in _ANSWERED
}


class Refusals:
    """Counts the connections that are not served, and reports them, not one by one."""

    def __init__(self, name: str, report: Callable[..., None] | None) -> None:
        """`report` takes an event and its fields; `name` is the listener's."""
        self._report = report
        self._name = name
        self.counts = Counter[str]()
        self._reported = Counter[str]()
        self._reported_at: dict[str, float] = {}

    def note(self, reason: str, now: float) -> None:
        """Count one at the loop's time `now`."""
        self.counts[reason] += 1
        if now - self._reported_at.get(reason, -REPORT_SECONDS) < REPORT_SECONDS:
            return
        self._reported_at[reason] = now
        number = self.counts[reason] - self._reported[reason]
        self._reported[reason] = self.counts[reason]
        if self._report is not None:
            self._report("clients.refused", listener=self._name, reason=reason, number=number)


class Refused(asyncio.Protocol):
    """A connection that gets 503, before its request is read.

    What the client still sends is read and dropped for `seconds`: closed at once, the connection
    would be reset, and the answer lost with it (RFC 9112 section 9.6).
    """

    def __init__(self, reason: str, lingering: set[Refused], seconds: float) -> None:
        self._reason = reason
        self._lingering = lingering
        self._seconds = seconds
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer."""
        answered = self._transport = cast("asyncio.Transport", transport)
        answered.write(_ANSWERS[self._reason])
        if self._seconds > 0 and answered.can_write_eof():
            answered.write_eof()
        else:
            answered.close()  # with TLS it reads on until the client has closed, too
        asyncio.get_running_loop().call_later(self._seconds, answered.abort)

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, _: BaseException | None) -> None:
        """Make room."""
        self._lingering.discard(self)


class Owner(Protocol):
    """The listener, as its front door sees it."""

    def welcome(self, address: str) -> ClientLifecycle | str:
        """Count a client in, and return what serves it, or the reason for which nothing does."""

    def lost(self, client: ClientLifecycle) -> None:
        """Count a client out whose connection was never made."""

    def holds_back(self) -> int:
        """Return how many connections there is time to accept now, and again soon; 0: for all."""

    def lets_in(self, address: str) -> bool:
        """Return whether there is time for a connection from an address all the same."""

    @property
    def patience(self) -> float:
        """Seconds for a PROXY header, and for a TLS handshake."""

    @property
    def linger(self) -> float:
        """Seconds for reading on from a client that is refused."""

    @property
    def lingers(self) -> bool:
        """Whether one more client that is refused may linger."""


@dataclass(frozen=True, slots=True)
class FrontProxies:
    """The proxies in front of a listener.

    `trusted` are their networks. With `protocol`, all connections come from them, and begin with a
    header of the PROXY protocol.
    """

    trusted: tuple[Network, ...] = ()
    protocol: bool = False


NO_PROXIES: Final = FrontProxies()


class Acceptor:
    """Accepts connections at one address and serves or refuses each of them.

    `tls` and `proxies` are for new connections, and may be replaced at any time.
    """

    def __init__(  # noqa: PLR0913 - what the listener hands in, each by name
        self,
        address: Address,
        owner: Owner,
        refusals: Refusals,
        *,
        tls: ssl.SSLContext | None,
        proxies: FrontProxies,
        sockets: Sockets | None,
    ) -> None:
        """Open nothing before `start`.

        `sockets` listen already and remain the caller's; without them, `start` binds.
        """
        self.tls = tls
        self.proxies = proxies
        self._address = address
        self._owner = owner
        self._refusals = refusals
        self._given = sockets
        self._bound: Sockets = ()
        self._listening: Sockets = ()
        self._arriving: set[asyncio.Task[None]] = set()
        self.lingering: set[Refused] = set()
        self._at_once = 1
        self._held_back = False
        self._pause = LEAST_PAUSE_SECONDS
        self._paused: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The TCP port, once started: it was chosen by the system where the settings say 0."""
        return port_of(self._given or self._bound)

    async def start(self) -> None:
        """Begin to accept connections."""
        if self._given is None:
            self._bound = await asyncio.to_thread(open_sockets, self._address)
        self._listening = tuple(sock.dup() for sock in self._given or self._bound)
        self._watch()

    def stop(self) -> None:
        """Accept no more connections but those that the kernel has already made.

        Closing the socket would reset them, and with them requests that have been sent already.
        """
        self._unwatch()
        for sock in self._listening:
            self._accept_some(sock, BACKLOG)
        self._unwatch()
        close(self._listening)
        self._listening = ()
        if self._bound:
            close(self._bound, self._address)
            self._bound = ()

    def take(self, sock: socket.socket) -> None:
        """Serve or refuse a connection that another process has accepted."""
        try:
            name = sock.getpeername()
        except OSError:  # it has left already
            sock.close()
            return
        self._arrived(sock, _address(name))

    async def stopped(self, seconds: float) -> None:
        """Wait until these have been accepted; after `seconds`, drop those that are not."""
        if self._arriving:
            await asyncio.wait(self._arriving, timeout=seconds)
        for task in self._arriving:
            task.cancel()

    async def close(self) -> None:
        """Drop what is still being accepted."""
        self.stop()
        for task in self._arriving:
            task.cancel()
        await asyncio.gather(*self._arriving, return_exceptions=True)
        for refused in tuple(self.lingering):
            refused.abort()

    # --- accepting ----------------------------------------------------------------------------

    def _watch(self) -> None:
        self._paused = None
        for sock in self._listening:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def _unwatch(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        for sock in self._listening:
            asyncio.get_running_loop().remove_reader(sock)

    def _accept(self, listening: socket.socket) -> None:
        """Accept what waits: one connection, and twice as many each time there were so many.

        Not all from the start, so that other processes that listen get their part. Where there is
        no time for all, most are turned away, or wait in the kernel: not many and not for long.
        """
        looked_at = self._owner.holds_back()
        if bool(looked_at) is not self._held_back:
            self._held_back = not self._held_back
            for sock in self._listening:
                sock.listen(SHORT_BACKLOG if self._held_back else BACKLOG)
        self._accept_some(listening, looked_at or self._at_once)
        if self._held_back and self._paused is None:
            self._rest(HELD_BACK_SECONDS)

    def _accept_some(self, listening: socket.socket, most: int) -> None:
        for _ in range(most):
            try:
                sock, name = listening.accept()
            except (BlockingIOError, InterruptedError):
                self._at_once = max(1, self._at_once // 2)
                return
            except ConnectionAbortedError:
                continue  # this one has left already
            except OSError:
                self._note("accept")
                self._rest(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
                return
            self._pause = LEAST_PAUSE_SECONDS
            left = _left_after(sock)
            self._arrived(sock, _address(name))
            if left <= RESERVED_DESCRIPTORS:
                self._at_once = 1  # this one first, so that its descriptor comes free
                if left <= _LAST_DESCRIPTORS:  # the others wait in the kernel, which resets none
                    self._rest(LEAST_PAUSE_SECONDS if self.tls is None else LONGEST_PAUSE_SECONDS)
                return
        self._at_once = min(2 * self._at_once, BACKLOG)

    def _rest(self, seconds: float) -> None:
        """Accept nothing for a while: the kernel would report the same connection at once."""
        self._unwatch()
        self._paused = asyncio.get_running_loop().call_later(seconds, self._watch)

    def _arrived(self, sock: socket.socket, address: str) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        if self._held_back and not self._owner.lets_in(address):
            self._turn_away(sock)
            return
        if self.proxies.protocol and not trusts(self.proxies.trusted, address):
            self._note("proxy-peer")
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(sock, address))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    def _turn_away(self, sock: socket.socket) -> None:
        """Answer that there is no time, unread but for what would reset the answer."""
        self._note("loop-lag")
        with sock, contextlib.suppress(OSError):
            if self.tls is None:
                sock.send(_ANSWERS["loop-lag"])
                sock.shutdown(socket.SHUT_WR)
                sock.recv(_DROPPED_BYTES)

    async def _serve(self, sock: socket.socket, address: str) -> None:
        """Read the PROXY header, and hand the connection to what serves or refuses it."""
        try:
            if self.proxies.protocol:
                from .proxy_protocol import read_source  # noqa: PLC0415 - loaded with its listener

                async with asyncio.timeout(self._owner.patience):
                    address = await read_source(sock)
        except (ValueError, OSError):  # TimeoutError too
            self._note("proxy-header")
            sock.close()
            return
        except BaseException:
            sock.close()
            raise
        protocol = self._welcomed(sock, address)
        if protocol is None:
            sock.close()
            return
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=self.tls,
                ssl_handshake_timeout=self._owner.patience if self.tls is not None else None,
            )
        except OSError:  # ssl.SSLError too: the client is gone, or does not speak TLS
            self._note("tls")
            self._lost(protocol, sock)
        except BaseException:
            self._lost(protocol, sock)
            raise

    def _welcomed(self, sock: socket.socket, address: str) -> ClientLifecycle | Refused | None:
        """Return what serves the connection or answers that it is refused; None: nothing does."""
        left = _left_after(sock)
        reason = "descriptors"
        if left > RESERVED_DESCRIPTORS:
            client = self._owner.welcome(address)
            if not isinstance(client, str):
                return client
            reason = client
        self._note(reason)
        last = left <= _LAST_DESCRIPTORS
        lingers = self._owner.lingers and not last
        if self.tls is not None and not lingers:
            return None
        # With one of the last descriptors it lingers alone: no other is accepted meanwhile.
        brief = min(LEAST_PAUSE_SECONDS, self._owner.linger) if last else 0
        refused = Refused(reason, self.lingering, self._owner.linger if lingers else brief)
        self.lingering.add(refused)
        return refused

    def _lost(self, protocol: ClientLifecycle | Refused, sock: socket.socket) -> None:
        sock.close()
        if isinstance(protocol, Refused):
            protocol.connection_lost(None)
        else:
            self._owner.lost(protocol)

    def _note(self, reason: str) -> None:
        self._refusals.note(reason, asyncio.get_running_loop().time())


def _address(name: object) -> str:
    """Return the address of a peer, without the zone of IPv6; "" at a Unix socket."""
    return str(name[0]).partition("%")[0] if isinstance(name, tuple) else ""


def _left_after(sock: socket.socket) -> int:
    """Return how many descriptors are left: a new one has the lowest number that is free."""
    return descriptors.current() - sock.fileno()
