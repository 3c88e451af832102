"""The long proof in batches: each a process with canaries of its own, and kept once it passed.

So the proof can be broken off, and goes on where it was. What is kept counts for this very code
alone: a batch of another Sealyard, or of another search, proves nothing of this one.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from .canaries import COUNT
from .carriers import TRAFFIC
from .rig import ROOT

WANTED: Final = {"json": 8_000_000, "console": 1_000_000, "ecs": 1_000_000}
BATCH: Final = 500_000
KEPT: Final = ROOT / ".scrubbing.json"


@dataclass(frozen=True)
class Batch:
    """What one process was searched for: so many lines, for so many canaries."""

    log_format: str
    lines: int
    canaries: int = COUNT
    requests: int = COUNT * len(TRAFFIC)


class Batches:
    """The batches that passed, kept in a file."""

    def __init__(self) -> None:
        self._code = fingerprint()
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        rows = kept["batches"] if kept.get("code") == self._code else []
        self.passed = [Batch(**row) for row in rows]

    def missing(self) -> Iterator[str]:
        """Yield the format of the next batch, until there are as many lines as are wanted."""
        for log_format, wanted in WANTED.items():
            while self.lines(log_format) < wanted:
                yield log_format

    def add(self, batch: Batch) -> None:
        """Keep one that passed; fail where the code changed under it."""
        assert fingerprint() == self._code, "the code was changed while it was searched"
        self.passed.append(batch)
        kept = {"code": self._code, "batches": [asdict(one) for one in self.passed]}
        KEPT.write_text(json.dumps(kept))

    def lines(self, log_format: str) -> int:
        """Return how many lines of a format were searched."""
        return sum(one.lines for one in self.passed if one.log_format == log_format)


def fingerprint() -> str:
    """Return a hash of everything that a batch depends on."""
    found = hashlib.sha256(sys.version.encode())
    files = [*ROOT.glob("proxy/**/*.py"), *ROOT.glob("tests/scrubbing/*.py")]
    for file in [*sorted(files), ROOT / "requirements-dev.lock"]:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
