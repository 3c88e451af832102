from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from proxy.core.errors import UnfitEnvironment
from proxy.keys import policy
from proxy.keys.stores import Offer, StoreFailed, StoreFull, sqlite
from proxy.keys.stores.sqlite import SqliteStore
from proxy.keys.stores.sqlite_file import SqliteFile

FULL = 2
ROOT = Path(__file__).parents[3]
WRITING = """
import asyncio, sys, time
from pathlib import Path
from proxy.keys.stores import Offer
from proxy.keys.stores.sqlite import SqliteStore
async def main():
    store = SqliteStore(Path(sys.argv[1]), time.time)
    for number in range(10**6):
        await store.get_or_create(Offer(f"n{number}", b"r%d" % number, 10**7))
        print(number, flush=True)
asyncio.run(main())
"""


def test_what_a_killed_process_kept_is_there(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    command = [sys.executable, "-c", WRITING, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own code
        assert process.stdout is not None
        for _ in range(200):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)

    async def found() -> bytes:
        store = SqliteStore(path, time.time)
        held = await store.get_or_create(Offer(f"n{last}", b"new", 10**7))
        await store.close()
        return held.record

    assert asyncio.run(found()) == b"r%d" % last


def test_what_was_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    """A power cut would else take keys under which messages have been sealed."""
    file = SqliteFile(tmp_path / "keys.db", time.time)
    assert file._connection.execute("PRAGMA synchronous").fetchone() == (FULL,)
    file.close()


async def test_the_file_and_its_log_are_private(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "keys.db", time.time)
    await store.open(lambda _: None)
    await store.get_or_create(Offer("n", b"r", 1000))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}  # noqa: ASYNC240 - a test may block
    await store.close()
    assert set(modes.values()) == {0o600}
    assert "keys.db-wal" in modes


def holding(folder: Path, data: bytes) -> set[str]:
    """Return the names of the files that hold these bytes."""
    return {path.name for path in folder.iterdir() if data in path.read_bytes()}


@contextlib.contextmanager
def a_reader(path: Path) -> Iterator[sqlite3.Connection]:
    """Let another connection read, so that the log must stay, until it rolls back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM records").fetchall()
        yield reader


async def test_an_erasure_fails_while_a_reader_keeps_the_key_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "OVERWRITE_SECONDS", 0.1)
    store, record = SqliteStore(tmp_path / "keys.db", time.time), b"wrapped key" * 9
    await store.keep("n", "s1", record, 10**6)
    with a_reader(tmp_path / "keys.db"):
        with pytest.raises(StoreFailed, match="log-not-overwritten"):
            await store.erase("n", b"fence")
        assert holding(tmp_path, record) == {"keys.db-wal"}
    await store.erase("n", b"another", seen=b"fence")
    assert holding(tmp_path, record) == set()
    await store.close()


async def test_an_erasure_waits_for_a_reader_and_keeps_no_others_waiting(tmp_path: Path) -> None:
    store, record = SqliteStore(tmp_path / "keys.db", time.time), b"wrapped key" * 9
    await store.keep("n", "s1", record, 10**6)
    with a_reader(tmp_path / "keys.db") as reader:
        erasing = asyncio.get_running_loop().create_task(store.erase("n", b"fence"))
        await asyncio.sleep(0.3)
        async with asyncio.timeout(4):
            assert (await store.find("n", ["s1"])).keys == (None,)
        assert not erasing.done()
        reader.execute("ROLLBACK")
        assert await erasing == {"s1": record}
    assert holding(tmp_path, record) == set()
    await store.close()


@pytest.mark.parametrize("mode", [0o644, 0o660])
async def test_a_file_that_lets_others_in_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.db"
    path.touch()
    path.chmod(mode)
    store = SqliteStore(path, time.time)
    with pytest.raises(UnfitEnvironment, match="lets others in"):
        await store.open(lambda _: None)
    with pytest.raises(StoreFailed):
        await store.find("n", [])
    await store.close()


def open_files() -> set[str]:
    """Return what this process holds open."""
    files = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            files.add(str(descriptor.readlink()))
    return files


@pytest.mark.parametrize("content", [b"this is no database, and long enough to tell" * 30])
async def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.db"
    path.write_bytes(content)
    path.chmod(0o600)
    store = SqliteStore(path, time.time)
    with pytest.raises(UnfitEnvironment, match="not usable as a store"):
        await store.open(lambda _: None)
    await store.close()
    assert str(path) not in open_files()


async def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "none" / "keys.db", time.time)
    with pytest.raises(UnfitEnvironment, match=os.strerror(2)):
        await store.open(lambda _: None)
    await store.close()


OPENING = """
import sys, time
from pathlib import Path
from proxy.keys.stores.sqlite_file import SqliteFile
print("here", flush=True)
for path in sys.stdin:
    SqliteFile(Path(path.strip()), time.time).close()
    print("opened", flush=True)
"""


def test_processes_that_begin_together_all_open_a_file_that_is_not_there_yet(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", OPENING]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(  # noqa: S603 - our own code
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for _ in range(4)
        ]
        told = [one.stdout.readline() for one in processes if one.stdout]
        for attempt in range(50):
            for one in processes:
                assert one.stdin is not None
                one.stdin.write(b"%b\n" % bytes(tmp_path / f"{attempt}.db"))
                one.stdin.flush()
            told += [one.stdout.readline() for one in processes if one.stdout]

    assert set(told) == {b"here\n", b"opened\n"}


def keep_many(file: SqliteFile, first: int, number: int) -> None:
    for one in range(first, first + number):
        file.get_or_create(Offer(f"n{one}", b"r" * 200, 10**9))


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the log be small, and looked at often; return its bound in bytes."""
    monkeypatch.setattr(policy, "LOG_BYTES", 256 * 1024)
    monkeypatch.setattr(policy, "MOST_LOG_BYTES", 2 * 1024 * 1024)
    monkeypatch.setattr(policy, "CLEAN_EVERY", 8)
    return policy.LOG_BYTES


@contextmanager
def always_read(path: Path) -> Iterator[None]:
    """Read all the time, as several busy processes do: one ends after the next has begun."""
    stop = threading.Event()

    def read() -> None:
        readers = [sqlite3.connect(path, isolation_level=None) for _ in range(2)]
        while not stop.wait(0.005):
            readers[0].execute("BEGIN")
            readers[0].execute("SELECT count(*) FROM records").fetchone()
            if readers[1].in_transaction:
                readers[1].execute("COMMIT")
            readers.reverse()
        for reader in readers:
            reader.close()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_log_stays_small_while_others_read_all_the_time(tmp_path: Path, small_log: int) -> None:
    path, log = tmp_path / "keys.db", tmp_path / "keys.db-wal"
    file, longest = SqliteFile(path, time.time), 0
    with always_read(path):
        for number in range(100):
            keep_many(file, number * 8, 8)
            longest = max(longest, log.stat().st_size)
    assert longest < 2 * small_log
    file.close()


def test_a_reader_that_never_ends_leaves_room_for_revocations(
    tmp_path: Path, small_log: int
) -> None:
    path, log = tmp_path / "keys.db", tmp_path / "keys.db-wal"
    file = SqliteFile(path, time.time)
    keep_many(file, 0, 8)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchone()
        with pytest.raises(StoreFull):
            keep_many(file, 100, 10_000)
        assert log.stat().st_size < 2 * policy.MOST_LOG_BYTES
        assert file.revoke("n1", b"revoked", 0) == b"revoked"
    keep_many(file, 100_000, 16)
    assert log.stat().st_size <= small_log
    file.close()
