"""Runs of the real command: how long they take, how much memory, and what they leave."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from proxy.config.settings import SecretReference
from proxy.core.crypto import token
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.migration import report

from ..absent import AS_INSTALLED
from .clinic import JOB, Writer, changed, context, examine, row
from .places import Database

_SECRET: Final = {"SEALYARD_PASSPHRASE": "seven violins under glass 41"}
_LONGEST: Final = 2.0
"""How many seconds after its start a run is killed at most."""
_TRIES: Final = 20
"""How many runs are begun at most for each that is to be killed: some end before."""


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

    def __init__(self, folder: Path, job: str, **environment: str) -> None:
        """Write the job and make the keyring."""
        self.folder = folder
        self._environment = os.environ | AS_INSTALLED | _SECRET | environment
        (folder / "job.yaml").write_text(job, "utf-8")
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

    def planned(self) -> dict[str, Any]:
        """Return what `plan` says."""
        with (self.folder / "plan.json").open("w+b") as told:
            self.run("migrate", "plan", "job.yaml", "--json", stdout=told)
            told.seek(0)
            found: dict[str, Any] = json.load(told)
            return found

    def killed(self, kills: int, *options: str) -> int:
        """Kill so many runs, each at a random time; return how many were. Nothing is left open.

        Where all is sealed, runs of `open` are killed, and where all is open, runs of `seal` again:
        so each has something to write. Of every other run with workers, one of these is killed
        first. Raises RuntimeError where a run fails.
        """
        starts = self.run("migrate", "status", "job.yaml").seconds
        verb, other, hit = "seal", "open", 0
        for _ in range(_TRIES * kills):
            if hit == kills:
                break
            status = self.killed_once(
                verb,
                starts + _LONGEST * secrets.randbelow(1000) / 1000,
                *options,
                worker=bool(hit % 2),
            )
            hit += status < 0
            if not status:
                verb, other = other, verb
        return hit

    def killed_once(self, verb: str, after: float, *options: str, worker: bool = False) -> int:
        """Begin a run and kill it after so many seconds; return its status.

        With `worker`, one of its workers is killed first. Raises RuntimeError where it fails.
        """
        process = self.begin("migrate", verb, "job.yaml", *options)
        try:
            status = process.wait(after)
        except subprocess.TimeoutExpired:
            workers = children(process.pid)
            if workers and worker:
                os.kill(secrets.choice(workers), signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
            process.kill()
            process.wait()
            status = -signal.SIGKILL
        if status not in {0, 1, -signal.SIGKILL}:
            raise RuntimeError(f"`migrate {verb}` ended with status {status}")
        return status


def job_of(database: Database) -> str:
    """Return the job of a database."""
    accepts = f"accept: {json.dumps(database.accepts)}\n" if database.accepts else ""
    return JOB.format(source=database.source) + accepts


def in_database(  # noqa: PLR0913 - each is one thing that is varied
    folder: Path, database: Database, rows: int, *, updates: float, kills: int, workers: int = 1
) -> dict[str, Any]:
    """Seal a table beside a writer and under kills, prove it, and take everything out."""
    database.fill(rows)
    bench = Bench(folder, job_of(database))
    keyring = bench.keyring()
    together = ("--workers", str(workers))
    planned = bench.planned()["seconds"] if workers == 1 and not kills else None
    writer = Writer(database.connect, keyring, rows, updates)
    with writer:
        hit = bench.killed(kills, *together) if kills else 0
        sealed = bench.run("migrate", "seal", "job.yaml", *together)
    proven = bench.run("migrate", "verify", "job.yaml", "--report", "proof.jws", *together)
    proof = report.verified((folder / "proof.jws").read_bytes(), keyring.record_key)
    with database.connect() as execute:
        left = examine(execute, keyring, rows, writer.versions)
    opened = bench.run("migrate", "open", "job.yaml", *together)
    with database.connect() as execute:
        wrong = changed(execute, rows, writer.versions)
    return {
        "workers": workers,
        "updates": writer.updates,
        "updates_per_second": round(writer.updates / writer.seconds),
        "kills": hit,
        "planned_seconds": planned,
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
    bench = Bench(folder, JOB.format(source="pipe: csv"))
    plain, sealed, opened = (folder / f"{one}.csv" for one in ("plain", "sealed", "opened"))
    with plain.open("w", encoding="utf-8") as file:
        file.write("id,org,conversation,content\n")
        for number in range(values):
            file.write(",".join(map(str, row(number))) + "\n")
    costs = {}
    for verb, source, target in (("seal", plain, sealed), ("open", sealed, opened)):
        with source.open("rb") as stdin, target.open("wb") as stdout:
            costs[verb] = bench.run("migrate", verb, "job.yaml", stdin=stdin, stdout=stdout)
    with sealed.open("rb") as lines:
        tokens = sum(token.JWE_PREFIX in line for line in lines)
    return {
        "values": values,
        **{verb: asdict(cost) for verb, cost in costs.items()},
        "values_per_cpu_second": round(values / costs["seal"].cpu_seconds),
        "plain": values - tokens,
        "byte_equal": plain.read_bytes() == opened.read_bytes(),
    }
