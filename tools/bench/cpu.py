"""What processes cost, from /proc: CPU time and memory of a process and all that it started."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
"""What CPU time is counted in, in seconds."""
# Places in /proc/PID/stat, counted from the state, which stands behind the name (proc(5)).
_PARENT, _USER, _SYSTEM = 1, 11, 12


def tree(root: int) -> list[int]:
    """Return the ids of the process and of all its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children[int(fields[_PARENT])].append(int(entry.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def cpu_seconds(root: int) -> float:
    """Return the user and system time that the process and its descendants have used."""
    ticks = 0
    for pid in tree(root):
        if fields := _stat(pid):
            ticks += int(fields[_USER]) + int(fields[_SYSTEM])
    return ticks * TICK


def resident_mebibytes(root: int) -> float:
    """Return the resident memory of the process and its descendants; what they share counts twice.

    0 when it has ended.
    """
    return sum(_resident(pid) for pid in tree(root)) / 1024


def private_mebibytes(root: int) -> float:
    """Return the memory of the process and its descendants that each of them has for itself."""
    return sum(_private(pid) for pid in tree(root)) / 1024


def _stat(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(") ")[2].split()


def _resident(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def _private(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
