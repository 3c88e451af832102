"""Looking for a text in everything that a process holds: memory, environment, command line."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from functools import cache
from pathlib import Path

_MOST_BYTES = 64 * 1024 * 1024


def whole(pid: int) -> list[int]:
    """Return the process and all that it has started, and they."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in whole(int(child)))]


def places(pid: int, text: bytes) -> list[str]:
    """Return where in a process a text stands."""
    folder = Path(f"/proc/{pid}")
    found = [name for name in ("environ", "cmdline") if text in (folder / name).read_bytes()]
    descriptor = os.open(folder / "mem", os.O_RDONLY)
    try:
        for line in (folder / "maps").read_text().splitlines():
            span, rights, *_ = line.split()
            first, last = (int(one, 16) for one in span.split("-"))
            if rights.startswith("r") and "[v" not in line:
                found += [f"{line}: {at}" for at in _hits(descriptor, first, last, text)]
    finally:
        os.close(descriptor)
    return found


def _hits(descriptor: int, first: int, last: int, text: bytes) -> list[int]:
    found = []
    for start in range(first, last, _MOST_BYTES):
        size = min(_MOST_BYTES + len(text), last - start)
        try:
            part = os.pread(descriptor, size, start)
        except OSError:  # a file that is shorter than its mapping
            continue
        at = part.find(text)
        while at >= 0:
            found.append(at)
            at = part.find(text, at + 1)
    return found


@cache
def can_read() -> bool:
    """Whether we may read a guarded process: root may on Linux, unless its rights were cut."""
    if sys.platform != "linux":
        return False
    script = (
        "from proxy.process.hardening import guard_memory as g; g(); print(flush=True); input()"
    )
    with subprocess.Popen(  # noqa: S603 - this interpreter, and a script that stands above
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        try:
            return not places(child.pid, secrets.token_bytes(32))
        except OSError:
            return False
        finally:
            child.stdin.write(b"\n")
