"""Large bodies through a rule that makes frames of them, beside the same transfer without it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from . import bulk
from .bulk import MEBIBYTE, Moved
from .peers import Peer, Place
from .peers.base import fill
from .peers.sealyard import NAME, prepare_keys, serving, version
from .ports import free_port
from .results import Bulk
from .running import started

MEBIBYTES: Final = (16, 1024)
_WARM: Final = 100_000


def measure(mebibytes: tuple[int, ...], rounds: int) -> list[Bulk]:
    """Send bodies of these sizes up and down, with Sealyard and without, in turns.

    Raises AssertionError where what comes back is not what was sent.
    """
    found: list[Bulk] = []
    with tempfile.TemporaryDirectory(prefix="sealyard-bulk-") as name:
        folder = Path(name)
        with bulk.backend(folder) as backend, started(_peer(), backend) as running:
            bulk.upload(running.port, "/frames/warm", _WARM)
            bulk.download(running.port, "/frames/warm")
            idle = bulk.resident(running.pid, "VmRSS")
            for size in mebibytes:
                up, down = Bulk(size, "up", [], [], []), Bulk(size, "down", [], [], [])
                for _ in range(rounds):
                    _round(running.port, backend, running.pid, idle, up, down)
                found += (up, down)
                for file in folder.iterdir():
                    file.unlink()
    return found


def _round(port: int, backend: int, pid: int, idle: int, up: Bulk, down: Bulk) -> None:  # noqa: PLR0913, PLR0917 - made in one place
    size = up.mebibytes * MEBIBYTE
    digests: set[str] = set()

    def take(bulk_of: Bulk, through: Moved, bare: Moved) -> None:
        digests.update((through.digest, bare.digest))
        bulk_of.through.append(through.rate)
        bulk_of.bare.append(bare.rate)
        bulk_of.more.append((bulk.resident(pid, "VmHWM") - idle) / MEBIBYTE)

    bulk.forget_peak(pid)
    take(up, bulk.upload(port, "/frames/f", size), bulk.upload(backend, "/frames/b", size))
    bulk.forget_peak(pid)
    take(down, bulk.download(port, "/frames/f"), bulk.download(backend, "/frames/b"))
    assert len(digests) == 1, "what came back is not what was sent"  # noqa: S101 - a benchmark


def _peer() -> Peer:
    return Peer(NAME, frozenset(), lambda: None, version, _prepare)


def _prepare(place: Place) -> list[str]:
    prepare_keys(place)
    written = fill("sealyard-frames.yaml", place, admin=str(free_port()))
    written.replace(place.folder / "sealyard.yaml")
    return serving(place)
