"""A master and its replica under Sentinels, to be lost and replaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from proxy.config.settings import RedisSettings
from tests.redis.server import Server
from tests.redis.topologies import Watched


@dataclass
class Failover(Server):
    """Is spoken to like one Redis: the first master, and once that is lost, the other."""

    watched: Watched = field(default_factory=lambda: Watched(Path()))
    lost: bool = False

    @property
    def settings(self) -> RedisSettings:
        """How Sealyard finds the Sentinels."""
        return self.watched.settings

    def start(self) -> None:
        """Start all of them, each at its place."""
        self.watched = Watched(self.folder)
        self.watched.start()

    def kill(self) -> None:
        """End all of them."""
        self.watched.kill()

    def command(self, *words: str | bytes) -> bytes:
        """Send one command to the master."""
        return self.watched.redises[int(self.lost)].command(*words)


def lose(server: Server) -> None:
    """Kill the master."""
    pair = _failover(server)
    pair.watched.redises[0].kill()
    pair.lost = True


def replaced(server: Server) -> bool:
    """Whether the Sentinels agree on another master."""
    return _failover(server).watched.failed_over()


def _failover(server: Server) -> Failover:
    if not isinstance(server, Failover):
        raise TypeError(server)
    return server
