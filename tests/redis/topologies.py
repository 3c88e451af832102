"""Real Sentinels and real clusters of a test's own, on 127.0.0.1."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from proxy.config.settings import RedisCluster, RedisSentinels, RedisSettings, TcpAddress
from tests.servers import free_port

from .fault_proxy import FaultProxy
from .server import PROGRAM, Server, trusting

SERVICE = "clinic"
_SLOTS = 16384
_PATIENCE_SECONDS = 30.0


def until(law: Callable[[], bool]) -> None:
    """Wait until the law holds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not law():
        if time.monotonic() > deadline:
            raise TimeoutError(str(law))
        time.sleep(0.05)


@dataclass
class Sentinel(Server):
    """A Sentinel that takes the Redis at port `watched` for lost once it was silent for so long."""

    watched: int = 0
    silent_ms: int = 500

    def command_line(self) -> list[str]:
        """Write its file, which it goes on to write itself, and return how it is started."""
        assert PROGRAM is not None
        file = self.folder / f"sentinel-{self.port}.conf"
        if not file.exists():
            lines = [
                *self.listening(),
                "bind 127.0.0.1",
                f"dir {self.folder}",
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.watched} 2",
                f"sentinel down-after-milliseconds {SERVICE} {self.silent_ms}",
                f"sentinel failover-timeout {SERVICE} 2000",
            ]
            file.write_text("\n".join(lines) + "\n")
        return [PROGRAM, str(file), "--sentinel"]


@dataclass
class Watched:
    """A master, its replica, and three Sentinels that agree on which is which.

    `proxied` ones are reached through proxies, which are then in `proxies`. Where none `fails`, a
    master that gets no processor for a while is not replaced.
    """

    folder: Path
    tls: Path | None = None
    proxied: bool = False
    fails: bool = True
    proxies: list[FaultProxy] = field(default_factory=list)
    redises: list[Server] = field(default_factory=list)
    sentinels: list[Sentinel] = field(default_factory=list)

    @property
    def settings(self) -> RedisSettings:
        """How Sealyard finds them."""
        nodes = tuple(TcpAddress("127.0.0.1", one.port) for one in self.sentinels)
        return trusting(RedisSettings(RedisSentinels(SERVICE, nodes)), self.tls)

    def start(self) -> None:
        """Start all and wait until each Sentinel knows all the others."""
        master = Server(self.folder, tls=self.tls)
        options = "--replicaof", "127.0.0.1", str(master.port)
        replica = Server(self.folder, options, self.tls)
        self.redises = [master, replica]
        for one in self.redises:
            one.start()
        until(lambda: b"master_link_status:up" in replica.command("INFO", "replication"))
        if self.proxied:
            self.proxies = [FaultProxy(master.port)]
            self.proxies[0].start()
        seen = self.proxies[0].port if self.proxied else master.port
        silent = 500 if self.fails else 60_000
        self.sentinels = [
            Sentinel(self.folder, tls=self.tls, watched=seen, silent_ms=silent) for _ in range(3)
        ]
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            until(partial(_sees_all, sentinel, replica.port))

    def failed_over(self) -> bool:
        """Whether a majority of the Sentinels calls the second one the master."""
        return sum(_port(one, "MASTER") == self.redises[1].port for one in self.sentinels) >= 2

    def kill(self) -> None:
        """End all."""
        for one in (*self.sentinels, *self.redises):
            one.kill()
        for proxy in self.proxies:
            proxy.stop()


def _sees_all(sentinel: Server, replica: int) -> bool:
    quorum = sentinel.command("SENTINEL", "CKQUORUM", SERVICE).startswith(b"+OK 3")
    return quorum and _port(sentinel, "REPLICAS") == replica


def _port(sentinel: Server, of: str) -> int:
    """Return the first port that a Sentinel names for the service."""
    if sentinel.process is None:
        return 0
    words = sentinel.command("SENTINEL", of, SERVICE).split(b"\r\n")
    return int(words[words.index(b"port") + 2]) if b"port" in words else 0


@dataclass
class Clustered:
    """A cluster of three masters, each with a third of the slots.

    `proxied` ones are reached through proxies, which are then in `proxies`.
    """

    folder: Path
    tls: Path | None = None
    proxied: bool = False
    proxies: list[FaultProxy] = field(default_factory=list)
    nodes: list[Server] = field(default_factory=list)

    @property
    def settings(self) -> RedisSettings:
        """How Sealyard finds it."""
        nodes = tuple(TcpAddress("127.0.0.1", one.port) for one in self.proxies or self.nodes)
        return trusting(RedisSettings(RedisCluster(nodes)), self.tls)

    def start(self) -> None:
        """Start the nodes, make them meet, and wait until the cluster says that it is well."""
        for number in range(3):
            folder = self.folder / f"node{number}"
            folder.mkdir()
            bus = free_port()
            options = ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
            options += ["--cluster-node-timeout", "1500"]
            options += ["--tls-cluster", "yes"] if self.tls else []
            node = Server(folder, tuple(options), self.tls)
            if self.proxied:
                self.proxies.append(FaultProxy(node.port))
                self.proxies[-1].start()
                node.options += ("--cluster-announce-port", str(self.proxies[-1].port))
            node.start()
            first, last = number * _SLOTS // 3, (number + 1) * _SLOTS // 3 - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            if self.nodes:
                self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(bus))
            self.nodes.append(node)
        self.settle()

    def settle(self) -> None:
        """Wait until every node says that the cluster is well."""
        for node in self.nodes:
            until(partial(_is_well, node))

    def name(self, node: Server) -> str:
        """Return the name of a node in the cluster."""
        return node.command("CLUSTER", "MYID").split(b"\r\n")[1].decode()

    def kill(self) -> None:
        """End all."""
        for node in self.nodes:
            node.kill()
        for proxy in self.proxies:
            proxy.stop()


def _is_well(node: Server) -> bool:
    told = node.command("CLUSTER", "INFO")
    return b"cluster_state:ok" in told and b"cluster_known_nodes:3" in told
