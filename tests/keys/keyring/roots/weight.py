"""What each kind of root adds to the start of a process, and to its memory when idle.

    python -m tests.keys.keyring.roots.weight --rounds 9

starts `sealyard serve` with each kind in turns, and prints the median of three figures and what is
added to those of a root key in a file: seconds and CPU seconds from the start to ready, and MiB
resident a second later. The services are on this machine: AWS KMS, which a role of a service
account opens, is the double of kms_double, Vault is an OpenBao, the token one of SoftHSM. The
first two are asked over TLS.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.scenarios.root_scenes import SCENES, RootScene
from tests.scenarios.test_roots import sidecar
from tests.servers import is_ready
from tools.bench import cpu

_REST_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0


@dataclass
class Weights:
    """Of several starts: seconds and CPU seconds to ready, and MiB when idle."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)

    def medians(self) -> tuple[float, float, float]:
        """Return the median of each."""
        seconds, spent, resident = map(statistics.median, (self.seconds, self.cpu, self.mebibytes))
        return seconds, spent, resident


def measure(folder: Path, rounds: int, names: Iterable[str] = ()) -> dict[str, Weights]:
    """Start each of these kinds of root, or of all, so many times, in turns."""
    found: dict[str, Weights] = {}
    with ExitStack() as stack:
        scenes = {}
        for name in names or SCENES:
            (folder / name).mkdir()
            scenes[name] = stack.enter_context(SCENES[name](folder / name))
        for _ in range(rounds):
            for name, scene in scenes.items():
                _weigh(scene, found.setdefault(name, Weights()))
    return found


def _weigh(scene: RootScene, weights: Weights) -> None:
    began = time.monotonic()
    with sidecar(scene.folder, 1, scene.root, scene.keyring, dict(scene.variables)) as served:
        while not is_ready(served.health, _PATIENCE_SECONDS):
            assert served.process.poll() is None, served.log.read_text()[-2000:]
            assert time.monotonic() - began < _PATIENCE_SECONDS, served.log.read_text()[-2000:]
            time.sleep(0.005)
        weights.seconds.append(time.monotonic() - began)
        weights.cpu.append(cpu.cpu_seconds(served.process.pid))
        time.sleep(_REST_SECONDS)
        weights.mebibytes.append(cpu.resident_mebibytes(served.process.pid))


def main() -> None:
    """Measure, and print a line for each kind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), rounds)
    base = found["file"].medians()
    sys.stdout.write(f"{'root':<12}{'ready, s':>20}{'CPU, s':>20}{'idle, MiB':>20}\n")
    for name, weights in found.items():
        cells = (
            f"{one:.2f} ({one - file:+.2f})"
            for one, file in zip(weights.medians(), base, strict=True)
        )
        sys.stdout.write(f"{name:<12}{''.join(f'{cell:>20}' for cell in cells)}\n")


if __name__ == "__main__":
    main()
