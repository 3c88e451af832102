"""What a peer weighs: from start to ready, and its memory when idle and after a load of 1 KiB."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from . import cpu, load, scale
from .peers import Peer, sealyard
from .results import Idle, Weight
from .running import started
from .works import CONNECTIONS, works

_REST_SECONDS: Final = 1.0
_LOAD_SECONDS: Final = 2


def measure(peers: Sequence[Peer], backend: int, rounds: int) -> list[Weight]:
    """Start each peer several times, in turns, and weigh it."""
    weights = [Weight(peer.name, [], [], []) for peer in peers]
    for _ in range(rounds):
        for peer, weight in zip(peers, weights, strict=True):
            _weigh(peer, weight, backend)
    return weights


def _weigh(peer: Peer, weight: Weight, backend: int) -> None:
    work = works("none")["seal" if "seal" in peer.works else "pass"]
    with started(peer, backend) as running:
        weight.ready.append(running.seconds_to_ready)
        time.sleep(_REST_SECONDS)
        weight.idle.append(cpu.resident_mebibytes(running.pid))
        sample = load.run(running, work, CONNECTIONS, _LOAD_SECONDS)
        weight.loaded.append(sample.resident)


def idle(peers: Sequence[Peer], backend: int, seconds: int) -> list[Idle]:
    """Start the Sealyards among the peers, and one with two workers, and weigh them at rest."""
    ours = [peer for peer in peers if peer.name in sealyard.OURS]
    with ExitStack() as stack:
        running = [
            stack.enter_context(started(peer, backend))
            for peer in (*ours, scale.with_workers(ours[0], 2))
        ]
        time.sleep(seconds)
        return [
            Idle(
                one.peer.name,
                seconds,
                cpu.resident_mebibytes(one.pid),
                cpu.private_mebibytes(one.pid),
            )
            for one in running
        ]
