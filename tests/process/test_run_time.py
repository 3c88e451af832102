"""Whether a process could run and did not is read from the kernel, not from a clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.process import run_time
from proxy.process.run_time import RunTime


@contextmanager
def running(code: str) -> Iterator[int]:
    """Run Python code; yield the pid once it has begun."""
    with subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", f"print(flush=True)\n{code}"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def stands_still(pid: int, seconds: float = 0.4) -> bool:
    before = run_time.of(pid)
    time.sleep(seconds)
    after = run_time.of(pid)
    assert after is not None
    return after.stands_still_since(before)


THREAD = """\
import threading, time
threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("code", "still"),
    [("import time; time.sleep(60)", True), ("while True: pass", False), (THREAD, False)],
)
def test_a_process_stands_still_while_none_of_its_threads_runs(code: str, *, still: bool) -> None:
    with running(code) as pid:
        time.sleep(0.2)
        assert stands_still(pid) is still


def test_a_process_that_was_stopped_stands_still() -> None:
    with running("while True: pass") as pid:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.1)
        assert stands_still(pid)


def test_a_process_that_waits_for_a_processor_does_not(tmp_path: Path) -> None:
    """As in a cgroup whose quota is used up: it is runnable, and its time does not advance."""
    place = tmp_path / "7"
    place.mkdir()
    for state, still in (("R", False), ("S", True), ("D", True), ("T", True)):
        fields = " ".join([state, *"0123456789", "70", "5", "0", "0"])
        (place / "stat").write_text(f"7 (a ) name) {fields}\n")
        seen = run_time.of(7, tmp_path)
        assert seen == RunTime(state, 75)
        assert seen.stands_still_since(seen) is still
        assert not seen.stands_still_since(RunTime(state, 74))
        assert not seen.stands_still_since(None)


def test_nothing_is_known_of_a_process_that_is_not_shown(tmp_path: Path) -> None:
    assert run_time.of(7, tmp_path) is None
