"""The peers side by side: all of them run at once, and are loaded in turns, round after round."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from . import load
from .check import prepared
from .peers import PEERS, Peer, sealyard
from .results import Cell
from .running import Running, started
from .works import CONNECTIONS, Work


@dataclass(frozen=True, slots=True)
class Group:
    """One kind of work on so many connections; `only` names the peers, None is all that can."""

    work: str
    connections: int
    only: frozenset[str] | None = None

    def takes(self, peer: Peer) -> bool:
        """Tell whether the peer is measured here."""
        return self.work in peer.works and (self.only is None or peer.name in self.only)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, and for how many seconds each, everything is loaded."""

    rounds: int
    seconds: int


_CAREFUL = frozenset({sealyard.NAME, "nginx", "HAProxy", "Envoy"})
"""The peers that are also asked one thing at a time while only passing it through."""
_LOGGED = frozenset(peer.name for peer in PEERS if peer.name != sealyard.UNLOGGED)

QUICK = (Group("pass", CONNECTIONS), Group("seal", CONNECTIONS), Group("list", CONNECTIONS))
FULL = (
    Group("pass", 1, _CAREFUL),
    Group("pass", CONNECTIONS),
    Group("seal", 1, _LOGGED),
    Group("seal", CONNECTIONS),
    Group("seal", 64, _LOGGED),
    Group("seal_16k", CONNECTIONS),
    Group("whole", CONNECTIONS),
    Group("list_pass", CONNECTIONS, frozenset({sealyard.NAME, "nginx"})),
    Group("list", CONNECTIONS),
    Group("tokens", CONNECTIONS),
)


def measure(groups: Sequence[Group], peers: Sequence[Peer], backend: int, pace: Pace) -> list[Cell]:
    """Start the peers, see that each does its work, and load them in turns.

    Raises DidNotStart, NotDone and LoadFailed.
    """
    with ExitStack() as stack:
        ready: list[tuple[Running, dict[str, Work]]] = []
        for number, peer in enumerate(peers):
            running = stack.enter_context(started(peer, backend))
            ready.append((running, prepared(running, backend, f"c-{number}")))
            say(f"{peer.name}: does its work ({peer.version()})")
        cells = {
            (group, running.port): Cell(running.peer.name, group.work, group.connections)
            for group in groups
            for running, _ in ready
            if group.takes(running.peer)
        }
        for turn in range(pace.rounds):
            for group in groups:
                for running, works in _rotated(ready, turn):
                    if cell := cells.get((group, running.port)):
                        work = works[group.work]
                        cell.samples.append(
                            load.run(running, work, group.connections, pace.seconds)
                        )
            say(f"round {turn + 1} of {pace.rounds} done")
    return list(cells.values())


def _rotated(
    ready: list[tuple[Running, dict[str, Work]]], turn: int
) -> list[tuple[Running, dict[str, Work]]]:
    start = turn % len(ready)
    return ready[start:] + ready[:start]


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"bench: {text}\n")
