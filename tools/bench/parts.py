"""The parts of a run: the cases side by side, and what is measured of Sealyard by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import cells, conversations, frames, scale, transform, weight
from .cases import CASES, Case
from .cells import Pace, say
from .peers import Peer, sealyard
from .results import Results
from .running import DidNotStart, a_backend


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be measured by what, and how often; `pace` is that of the cases."""

    cases: Sequence[Case]
    peers: Sequence[Peer]
    pace: Pace

    @property
    def rounds(self) -> int:
        """How often each of the other parts is measured."""
        return min(self.pace.rounds, 3)


def _cases(run: Run, found: Results) -> None:
    with a_backend() as backend:
        found.cells.extend(cells.measure(run.cases, run.peers, backend, run.pace))


def _growth(run: Run, found: Results) -> None:
    sizes = scale.QUICK if run.pace.quick else scale.Sizes()
    with a_backend() as backend:
        found.curves.extend(scale.measure(backend, sizes, Pace(run.rounds, run.pace.quick)))


def _workers(run: Run, found: Results) -> None:
    with a_backend() as backend:
        found.workers.extend(scale.workers(backend, Pace(run.rounds)))


def _memory(run: Run, found: Results) -> None:
    among = sealyard.FORMS if run.pace.quick else run.peers
    peers = [peer for peer in among if peer in run.peers and peer.name != sealyard.UNLOGGED]
    with a_backend() as backend:
        found.weights.extend(weight.measure(peers, backend, run.rounds))


def _streams(run: Run, found: Results) -> None:
    sizes = frames.MEBIBYTES[: 1 if run.pace.quick else None]
    found.frames.extend(frames.measure(sizes, run.rounds))


def _conversations(run: Run, found: Results) -> None:
    counts = conversations.COUNTS[: 2 if run.pace.quick else None]
    found.curves.extend(conversations.measure(counts))


def _steps(_: Run, found: Results) -> None:
    found.steps.extend(transform.run())


def _profile(_: Run, found: Results) -> None:
    """Time the stages of a message in each form of Sealyard, in a process of its own."""
    for form in sealyard.FORMS:
        if not form.absent():
            command = [sys.executable, "-P", "-m", "tools.bench.profile", "--json"]
            environment = {**os.environ, **form.environment}
            done = subprocess.run(command, env=environment, check=False, capture_output=True)
            if done.returncode:
                raise DidNotStart(f"tools.bench.profile: {done.stderr.decode()[-1000:]}")
            found.profile[form.name] = json.loads(done.stdout)


_SIDE_BY_SIDE: Final = "cases"
PARTS: Final[dict[str, Callable[[Run, Results], None]]] = {
    _SIDE_BY_SIDE: _cases,
    "growth": _growth,
    "workers": _workers,
    "memory": _memory,
    "streams": _streams,
    "conversations": _conversations,
    "profile": _profile,
    "steps": _steps,
}
_BRIEF: Final = frozenset({_SIDE_BY_SIDE, "growth", "memory"})
NAMES: Final = (*(case.name for case in CASES), *(name for name in PARTS if name != _SIDE_BY_SIDE))
"""What `--only` takes."""


def measure(run: Run, only: frozenset[str], found: Results, kept: Path | None) -> None:
    """Measure each part that is wanted, or the brief ones in a quick run; nothing else.

    What was found so far is kept after each part. Raises DidNotStart, NotDone and LoadFailed.
    """
    for name, part in PARTS.items():
        if name == _SIDE_BY_SIDE:
            wanted = bool(run.cases)
        elif only:
            wanted = name in only
        else:
            wanted = name in _BRIEF or not run.pace.quick
        if wanted:
            part(run, found)
            if kept:
                found.write(kept)
            say(f"{name}: done")
