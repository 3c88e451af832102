"""A quota of processor time for a process that runs: by a control group, else by stopping it.

Stopped and continued in turn, a process gets its share as well, but the kernel does not tell it so.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_MOUNT: Final = Path("/sys/fs/cgroup")
_PERIOD_SECONDS: Final = 0.1
_MICROSECOND: Final = 1e-6


@contextmanager
def limited(pid: int, share: float) -> Iterator[str]:
    """Give a process that share of one processor; yield how: `whole`, `cgroup` or `stopped`."""
    if share >= 1:
        yield "whole"
        return
    group = _group(pid, share)
    if group is None:
        with _stopped(pid, share):
            yield "stopped"
        return
    try:
        yield "cgroup"
    finally:
        with suppress(OSError):
            (group.parent / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            group.rmdir()


def _group(pid: int, share: float) -> Path | None:
    """Return a new group with that quota and the process in it; None where that is not allowed."""
    period = round(_PERIOD_SECONDS / _MICROSECOND)
    quota = round(share * period)
    second = (_MOUNT / "cgroup.controllers").exists()
    group = (_MOUNT if second else _MOUNT / "cpu") / f"sealyard-overload-{os.getpid()}"
    files = (
        {"cpu.max": f"{quota} {period}"}
        if second
        else {"cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": str(quota)}
    )
    try:
        group.mkdir()
        for name, text in files.items():
            (group / name).write_text(text)
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        with suppress(OSError):
            group.rmdir()
        return None
    return group


@contextmanager
def _stopped(pid: int, share: float) -> Iterator[None]:
    over = threading.Event()

    def turn() -> None:
        while not over.is_set():
            for sent, part in ((signal.SIGCONT, share), (signal.SIGSTOP, 1 - share)):
                os.kill(pid, sent)
                over.wait(part * _PERIOD_SECONDS)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
