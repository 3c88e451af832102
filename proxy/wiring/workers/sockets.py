"""The sockets of all workers: one set for each worker, all held by the supervisor.

With SO_REUSEPORT the kernel spreads connections over the sets. Since the supervisor holds them too,
connections in the backlog of a dead worker survive it: its replacement accepts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...config.settings import Address, ListenerSettings, TcpAddress
from ...traffic.downstream import sockets
from ...traffic.downstream.sockets import Sockets


class WorkerSockets:
    """Owns the sockets of all workers."""

    def __init__(self, listeners: tuple[ListenerSettings, ...], workers: int) -> None:
        self._listeners = listeners
        self._sets: list[dict[str, Sockets]] = [{} for _ in range(workers)]

    def open(self) -> None:
        """Bind all addresses; raise UnfitEnvironment, naming the one that cannot be bound."""
        try:
            for one in self._listeners:
                self._open(one.name, one.listen)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close them here; workers close their own."""
        for one in self._listeners:
            for each in self._sets:
                # Only those opened here: the path may belong to another process.
                if one.name in each:
                    sockets.close(each.pop(one.name), one.listen)

    def of(self, slot: int) -> Mapping[str, Sockets]:
        """Return the sockets of one worker, by listener."""
        return self._sets[slot]

    def numbers(self, slot: int) -> Mapping[str, list[int]]:
        """Return the file descriptors of one worker's sockets, by listener."""
        return {
            name: [sock.fileno() for sock in opened] for name, opened in self._sets[slot].items()
        }

    def _open(self, name: str, address: Address) -> None:
        if not isinstance(address, TcpAddress):
            # Unix sockets have no SO_REUSEPORT, so all workers accept from the same one.
            opened = sockets.open_sockets(address)
            for each in self._sets:
                each[name] = tuple(sock.dup() for sock in opened)
            sockets.close(opened)
            return
        # Alone first: SO_REUSEPORT would also share the port with another Sealyard.
        probe = sockets.open_sockets(address)
        port = sockets.port_of(probe)
        sockets.close(probe)
        for each in self._sets:
            each[name] = sockets.open_sockets(replace(address, port=port), reuse_port=True)
