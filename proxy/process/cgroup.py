"""What the control group of this process allows: memory, and processor time (cgroups(7)).

Both versions are read, each from the own group up to the root of what is mounted: the tightest
limit counts. Within a container the path of the own group may be that of the host, so a path that
is not there is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

MOUNT: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_MEMORY: Final = (("memory.max", ""), ("memory.high", ""), ("memory.limit_in_bytes", "memory"))
_UNLIMITED: Final = 1 << 62
"""Version 1 says so by the highest multiple of a page."""


def memory_limit(mount: Path = MOUNT, membership: Path = _MEMBERSHIP) -> int | None:
    """Return how many bytes the group may hold, unthrottled as well; None: there is no limit."""
    found = [
        int(text)
        for name, controller in _MEMORY
        for folder in _folders(mount, membership, controller)
        if (text := _read(folder / name)).isdecimal()
    ]
    return min((one for one in found if one < _UNLIMITED), default=None)


def processors(mount: Path = MOUNT, membership: Path = _MEMBERSHIP) -> float | None:
    """Return how many processors' time the group gets; None: there is no quota."""
    found = [_read(one / "cpu.max").split() for one in _folders(mount, membership, "")]
    found += [
        [_read(one / "cpu.cfs_quota_us"), _read(one / "cpu.cfs_period_us")]
        for one in _folders(mount, membership, "cpu")
    ]
    quotas = [
        int(pair[0]) / int(pair[1])
        for pair in found
        if len(pair) == 2 and all(one.isdecimal() for one in pair)  # noqa: PLR2004 - a quota and its period
    ]
    return min(quotas, default=None)


def _folders(mount: Path, membership: Path, controller: str) -> Iterator[Path]:
    """Yield the own group of a controller and those above it; of version 2 it is ""."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            inside = PurePosixPath(path.lstrip("/"))
            for one in (inside, *inside.parents):
                yield mount / controller / one


def _read(file: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text().strip()
    return ""
