"""Whether this process is the one that made an object, or a child that was forked since.

What must not be shared by two processes, such as the count of messages under one key, is checked
for each message. `os.getpid` is a system call each time.
"""

from __future__ import annotations

import os

forks: list[None] = []
"""Grows in every child that Python forks (`os.fork`, `multiprocessing`, `pty`)."""

os.register_at_fork(after_in_child=lambda: forks.append(None))


def generation() -> int:
    """Return a number that differs between a process and its forked children."""
    return len(forks)
