"""Runs of the real command: how long they take, how much memory, and what they leave."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import PassphraseRoot
from proxy.migration import report

from .clinic import JOB, ROWS_OF_A_CONVERSATION, Writer, context, examine, letter
from .places import Database

_ROOT: Final = Path(__file__).parents[2]
_SECRET: Final = {"SEALYARD_PASSPHRASE": "seven violins under glass 41"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took: seconds of the clock and of the CPU, and KiB of memory at most.

    With several workers, the memory is that of the process that has the most.
    """

    seconds: float
    cpu_seconds: float
    memory_kib: int
    status: int


class Bench:
    """A folder with a keyring and a job, and the command in it."""

    def __init__(self, folder: Path, source: str) -> None:
        """Write the job and make the keyring."""
        self.folder = folder
        # The development environment has rich, which structlog loads where it is: an installation
        # does not have it, nor the 5 MiB that it takes.
        (folder / "rich.py").write_text("raise ImportError\n", "utf-8")
        self._environment = os.environ | _SECRET
        self._environment["PYTHONPATH"] = f"{folder}:{_ROOT}"
        (folder / "job.yaml").write_text(JOB.format(source=source), "utf-8")
        self.run("keys", "init", "--keyring", "keyring.jwe")

    def keyring(self) -> Keyring:
        """Return the keyring."""
        root = PassphraseRoot(SecretReference(env="SEALYARD_PASSPHRASE"), dict(_SECRET))
        return open_keyring(self.folder / "keyring.jwe", root)

    def begin(
        self, *arguments: str, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None
    ) -> subprocess.Popen[bytes]:
        """Start the command."""
        return subprocess.Popen(
            [sys.executable, "-m", "proxy", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def run(self, *arguments: str, **streams: BinaryIO) -> Cost:
        """Run the command to its end."""
        began = time.monotonic()
        process = self.begin(*arguments, **streams)
        ended, memory = 0, 0
        while not ended:
            # What the kernel counts for a child begins with the memory of this process.
            memory = max(memory, *map(_highest, (process.pid, *children(process.pid))))
            time.sleep(0.02)
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = used.ru_utime + used.ru_stime
        return Cost(time.monotonic() - began, cpu, memory, process.returncode)

    def killed(self, verb: str, kills: int, longest: float, *options: str) -> int:
        """Kill so many runs, each at a random time; return how many had not ended before.

        Of every other run with workers, one of these is killed first.
        """
        hit = 0
        for number in range(kills):
            process = self.begin("migrate", verb, "job.yaml", *options)
            try:
                process.wait(0.3 + longest * secrets.randbelow(1000) / 1000)
            except subprocess.TimeoutExpired:
                workers = children(process.pid)
                if workers and number % 2:
                    os.kill(secrets.choice(workers), signal.SIGKILL)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(0.2)
                process.kill()
                process.wait()
                hit += 1
        return hit


def in_database(  # noqa: PLR0913 - each is one thing that is varied
    folder: Path, database: Database, rows: int, *, updates: float, kills: int, workers: int = 1
) -> dict[str, Any]:
    """Seal a table beside a writer and under kills, prove it, and take everything out."""
    database.fill(rows)
    bench = Bench(folder, database.source)
    keyring = bench.keyring()
    together = ("--workers", str(workers))
    writer = Writer(database.connect, keyring, rows, updates or 1)
    hit = 0
    with writer if updates else nullcontext():
        if kills:
            hit = bench.killed("seal", kills, 2.0, *together)
        sealed = bench.run("migrate", "seal", "job.yaml", *together)
    proven = bench.run("migrate", "verify", "job.yaml", "--report", "proof.jws", *together)
    proof = report.verified((folder / "proof.jws").read_bytes(), keyring.record_key)
    with database.connect() as execute:
        left = examine(execute, keyring, rows, writer.versions)
    opened = bench.run("migrate", "open", "job.yaml", *together)
    with database.connect() as execute:
        wrong = _wrong(execute("SELECT id, content FROM messages ORDER BY id", ()), writer.versions)
    return {
        "rows": rows,
        "workers": workers,
        "updates": sum(writer.versions.values()),
        "kills": hit,
        "seal": asdict(sealed),
        "verify": asdict(proven),
        "open": asdict(opened),
        "proof": proof.proof if proof else None,
        **asdict(left),
        "not_byte_equal": wrong,
    }


def children(pid: int) -> list[int]:
    """Return the processes that a process has begun; none where it has ended."""
    with suppress(OSError):
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


def _highest(pid: int) -> int:
    """Return the most memory that a process has had, in KiB; 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def _wrong(found: Sequence[tuple[Any, ...]], versions: dict[int, int]) -> int:
    return sum(text != letter(number, versions.get(number, 0)) for number, text in found)


def naive(database: Database, keyring: Keyring, rows: int) -> float:
    """Return how many rows a second a script seals that reads and writes row by row."""
    from proxy.keys.sessions.durable import durable_session  # noqa: PLC0415 - for this alone

    sid = int(time.time()).to_bytes(4) + secrets.token_bytes(8)
    database.fill(rows)
    began = time.monotonic()
    with database.connect() as execute:
        for number in range(1, rows + 1):
            ((text,),) = execute("SELECT content FROM messages WHERE id = %s", (number,))
            bound = context(number)
            session = durable_session(keyring.primary, sid, bound.scope)
            sealed = session.seal(text.encode(), bound).decode()
            execute("UPDATE messages SET content = %s WHERE id = %s", (sealed, number))
    return rows / (time.monotonic() - began)


def in_pipe(folder: Path, values: int) -> dict[str, Any]:
    """Seal a stream of CSV and take it out; values a second of CPU time, start included."""
    bench = Bench(folder, "pipe: csv")
    plain, sealed, opened = (folder / f"{one}.csv" for one in ("plain", "sealed", "opened"))
    with plain.open("w", encoding="utf-8") as file:
        file.write("id,org,conversation,content\n")
        for number in range(values):
            conversation = number // ROWS_OF_A_CONVERSATION
            file.write(f"{number},clinic,c{conversation},{letter(number)}\n")
    costs = {}
    for verb, source, target in (("seal", plain, sealed), ("open", sealed, opened)):
        with source.open("rb") as stdin, target.open("wb") as stdout:
            costs[verb] = bench.run("migrate", verb, "job.yaml", stdin=stdin, stdout=stdout)
    return {
        "values": values,
        **{verb: asdict(cost) for verb, cost in costs.items()},
        "values_per_cpu_second": round(values / costs["seal"].cpu_seconds),
        "byte_equal": plain.read_bytes() == opened.read_bytes(),
    }
