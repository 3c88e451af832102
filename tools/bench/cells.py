"""The peers in turns with Sealyard: all of them run at once, and one is loaded at a time."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from . import load
from .cases import KNOWN, Case
from .check import prepared
from .load import LoadFailed, Sample
from .peers import Peer, sealyard
from .results import Cell
from .running import Running, started
from .works import Work

_MOST_SECONDS: Final = 30
_REPEATED: Final = 2
"""How often a load of a peer is repeated after one that failed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many rounds there are, and whether they are to be quick.

    Quick ones have loads of a second, and pair each peer with one sample of Sealyard a round.
    """

    rounds: int
    quick: bool = False


@dataclass(frozen=True, slots=True)
class _Ready:
    """A peer that was seen to do its work."""

    running: Running
    works: dict[str, Work]

    def warm(self, case: Case) -> None:
        """Have each of the conversations once that come in turn."""
        if (many := self.works[case.work].conversations) > 1:
            work, at_once = self.works[case.work], case.connections
            rate = load.run(self.running, work, at_once, 1).per_second
            load.run(self.running, work, at_once, min(_MOST_SECONDS, math.ceil(many / rate)))

    def load(self, case: Case, work: str, pace: Pace) -> Sample:
        return load.run(
            self.running,
            self.works[work],
            case.connections,
            1 if pace.quick else case.seconds,
            beside=self.works[case.beside] if case.beside else None,
        )


def reference(peers: Sequence[Peer]) -> Peer:
    """Return what all others are paired with: the first Sealyard, with its native part if it is."""
    return next(peer for peer in peers if peer.name in sealyard.OURS)


def measure(
    cases: Sequence[Case], peers: Sequence[Peer], backend: int, pace: Pace
) -> Iterator[tuple[Case, list[Cell]]]:
    """Start the peers, see that each does its work, and load them in turns, case by case.

    After each load of a peer comes one of Sealyard, so that both had the same machine.
    Raises DidNotStart, NotDone and LoadFailed.
    """
    with ExitStack() as stack:
        ready = []
        for number, peer in enumerate(peers):
            if wanted := frozenset().union(*(case.wants(peer) for case in cases)):
                running = stack.enter_context(started(peer, backend))
                ready.append(_Ready(running, prepared(running, backend, f"c-{number}", wanted)))
                say(f"{peer.name}: does its work ({peer.version()})")
        for case in cases:
            turns = _Turns.of(case, ready)
            for turn in range(pace.rounds):
                turns.take(turn, pace)
            yield case, [turns.own, *turns.cells]


@dataclass(frozen=True, slots=True)
class _Turns:
    """One case: Sealyard, those that are paired with it, and a cell for each."""

    case: Case
    ours: _Ready
    others: list[_Ready]
    own: Cell
    cells: list[Cell]

    @classmethod
    def of(cls, case: Case, ready: list[_Ready]) -> _Turns:
        """Return the turns of those that take part in the case."""
        works = [(one, one.running.peer, case.work_of(one.running.peer)) for one in ready]
        taking = [(one, Cell(peer.name, case.name, work)) for one, peer, work in works if work]
        name = reference([one.running.peer for one, _ in taking]).name
        ((ours, own),) = [pair for pair in taking if pair[1].peer == name]
        others = [pair for pair in taking if pair[1].peer != name]
        if case.known:
            others.append((ours, Cell(KNOWN, case.name, case.known)))
        return cls(case, ours, [one for one, _ in others], own, [cell for _, cell in others])

    def take(self, turn: int, pace: Pace) -> None:
        """Load each, in another order in each round, and Sealyard after each."""
        if turn == 0 and not pace.quick:
            for one in (self.ours, *self.others):
                if one.running.peer.name in sealyard.OURS:
                    one.warm(self.case)
        self.own.samples.append(self.ours.load(self.case, self.own.work, pace))
        pairs = list(zip(self.others, self.cells, strict=True))
        start = turn % max(1, len(pairs))
        for one, cell in pairs[start:] + pairs[:start]:
            cell.samples.append(self._loaded(one, cell.work, pace))
            if not pace.quick:
                cell.ours.append(self.ours.load(self.case, self.own.work, pace))
            else:
                cell.ours.append(self.own.samples[-1])

    def _loaded(self, peer: _Ready, work: str, pace: Pace) -> Sample:
        """Load a peer, and again where one of its answers failed: it has no figure of that run.

        Loads of Sealyard, in either form, are not repeated. Raises LoadFailed.
        """
        name = peer.running.peer.name
        for _ in range(0 if name in sealyard.OURS else _REPEATED):
            with suppress(LoadFailed):
                return peer.load(self.case, work, pace)
            say(f"{name}, {self.case.name}: a request failed: the load is repeated")
        return peer.load(self.case, work, pace)


_BEGAN: Final = time.monotonic()


def say(text: str) -> None:
    """Tell how far it is, and the seconds since the beginning."""
    sys.stderr.write(f"bench: {time.monotonic() - _BEGAN:.0f} s: {text}\n")
