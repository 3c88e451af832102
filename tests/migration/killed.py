"""Run a migration that is killed with SIGKILL when so many batches are written.

`python -m tests.migration.killed JOB VERB BATCHES [WORKERS [a-worker]]`, in the folder of the job;
0 batches: never. With `a-worker`, one of its workers is killed instead of the run.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.migration import runner
from proxy.migration.job import reader
from proxy.migration.job.model import Verb
from proxy.migration.progress import Progress
from proxy.migration.state import StateFile
from proxy.migration.team import Team
from proxy.migration.worker import Order
from tools.bench.migration.measure import children


@dataclass(slots=True)
class Deadly(Progress):
    """Kills the process at a border between batches."""

    batches: int = 0
    whom: str = ""

    def reached(self, table: str, rows: int) -> None:
        """Count down."""
        self.batches -= 1
        if not self.batches:
            os.kill(children(os.getpid())[0] if self.whom else os.getpid(), signal.SIGKILL)


def main(job_file: str, verb: str, batches: str, workers: str = "1", whom: str = "") -> None:
    """Run."""
    job = reader.load(Path(job_file), os.environ)
    file = Path("root.key")
    phrase = PassphraseRoot(SecretReference(env="SEALYARD_PASSPHRASE"), os.environ)
    root = FileRoot(SecretReference(file=file)) if file.exists() else phrase
    keyring = open_keyring(Path("keyring.jwe"), root)
    state = StateFile(Path("state"), "one job", keyring.record_key)
    order = Order(job, cast("Verb", verb), keyring, (io.BytesIO(), None), time.time, state=state)
    progress = Deadly(io.StringIO(), time.monotonic, batches=int(batches), whom=whom)
    with nullcontext() if workers == "1" else Team(order, int(workers)) as team:
        done = asyncio.run(runner.run(order, progress, team))
    sys.exit(1 if done.tally.left(order.verb) else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
