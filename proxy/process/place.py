"""Where this process runs, as a mark that a later process in the same place has, too.

The name of a host tells no pods apart that use the network of their node, and they have one process
number: whoever has both need not be dead.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_MARK_CHARS: Final = 8
_MADE_BY_THE_RUNTIME: Final = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
# The UID of a pod, or the id of a container.
_ID: Final = re.compile(r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{64}")


def mark(proc: Path = PROC) -> str:
    """Return eight characters of the pod, else of the container, else of the process namespace.

    The first two outlive a restart of the container. Of the last one, whoever has our process
    number now is us. Where nothing is known, no other process has the mark.
    """
    found = _made_for(proc) or _namespace(proc) or os.urandom(_MARK_CHARS).hex()
    return hashlib.sha256(found.encode()).hexdigest()[:_MARK_CHARS]


def ended(number: int, proc: Path = PROC) -> bool:
    """Whether a process of our namespace has ended; False where a mark says nothing of that.

    Containers of a pod have one mark, and each its own numbers.
    """
    if number < 1 or _made_for(proc) or not _namespace(proc):
        return False
    try:
        os.kill(number, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


def _made_for(proc: Path) -> str:
    """Return whom the runtime made a file for that it mounts here; an empty text for nobody."""
    try:
        mounts = [line.split() for line in (proc / "self/mountinfo").read_text().splitlines()]
    except OSError:
        return ""
    sources = {fields[4]: fields[3] for fields in mounts}
    for place in _MADE_BY_THE_RUNTIME:
        ids = _ID.findall(sources.get(place, ""))
        if ids:
            return str(ids[-1])
    return ""


def _namespace(proc: Path) -> str:
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text()
        return f"{boot} {(proc / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""
