"""The parts of a run: the cases side by side, and what is measured of Sealyard by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from . import cells, conversations, frames, scale, transform, weight
from .cases import CASES, Case
from .cells import Pace, say
from .peers import Peer, sealyard
from .results import Results
from .running import DidNotStart, a_backend


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be measured by what, and how often; `pace` is that of the cases.

    `about` tells what is known of the machine, the code and the moment.
    """

    wanted: frozenset[str]
    peers: Sequence[Peer]
    pace: Pace
    about: Callable[[], dict[str, str]]

    @property
    def cases(self) -> list[Case]:
        """The cases that are wanted."""
        return [case for case in CASES if case.name in self.wanted]

    @property
    def rounds(self) -> int:
        """How often each of the other parts is measured."""
        return min(self.pace.rounds, 3)


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


def _idle(run: Run, found: Results) -> None:
    with a_backend() as backend:
        seconds = 1 if run.pace.quick else _IDLE_SECONDS
        found.idle.extend(weight.idle(run.peers, backend, seconds))


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


_IDLE_SECONDS: Final = 60
PARTS: Final[dict[str, Callable[[Run, Results], None]]] = {
    "growth": _growth,
    "workers": _workers,
    "memory": _memory,
    "idle": _idle,
    "streams": _streams,
    "conversations": _conversations,
    "profile": _profile,
    "steps": _steps,
}
_BRIEF: Final = frozenset({"growth", "memory", "idle"})
NAMES: Final = (*(case.name for case in CASES), *PARTS)
"""What `--only` takes."""
QUICK: Final = frozenset(case.name for case in CASES) | _BRIEF
"""What the short form measures."""


def measure(run: Run, found: Results, keep: Callable[[], None]) -> None:
    """Measure each case and each other part that is wanted, and keep what was found after each.

    Raises DidNotStart, NotDone and LoadFailed.
    """
    began, about = time.monotonic(), run.about()

    def done(name: str) -> None:
        nonlocal began, about
        minutes = (time.monotonic() - began) / 60
        found.runs[name] = {**about, "minutes": f"{minutes:.1f}"}
        keep()
        say(f"{name}: done")
        began, about = time.monotonic(), run.about()

    if run.cases:
        with a_backend() as backend:
            for case, measured in cells.measure(run.cases, run.peers, backend, run.pace):
                found.cells.extend(measured)
                done(case.name)
    for name, part in PARTS.items():
        if name in run.wanted:
            part(run, found)
            done(name)
