"""File descriptors: as many as the limits of the configuration need, or fewer clients."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ..core.errors import UnfitEnvironment
from .policy import (
    LEAST_CLIENTS,
    LINGERING_SHARE,
    LISTENER_DESCRIPTORS,
    MOST_LINGERING,
    OWN_DESCRIPTORS,
)


class Places(NamedTuple):
    """How many clients a listener accepts, and how many connections it has to its upstream.

    Each of the latter serves one of the clients.
    """

    clients: int
    upstream: int

    @property
    def descriptors(self) -> int:
        """How many descriptors they take."""
        return self.clients + min(self.clients, self.upstream)


def lingering(limit: int) -> int:
    """Return how many refused clients may linger until they have read the answer."""
    return min(MOST_LINGERING, limit // LINGERING_SHARE)


def current() -> int:
    """Return the soft limit of this process; a number that is never reached if there is none."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def highest() -> int:
    """Return the hard limit of this process, up to which `provide` may raise the other."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def wanted(listeners: Sequence[Places]) -> int:
    """Return how many descriptors a process needs for all its listeners."""
    return _own(listeners) + MOST_LINGERING + sum(one.descriptors for one in listeners)


def _own(listeners: Sequence[Places]) -> int:
    return OWN_DESCRIPTORS + LISTENER_DESCRIPTORS * len(listeners)


def provide(number: int) -> int:
    """Raise the soft limit of this process to `number`, or as near as it may; return the limit."""
    if current() < number:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, highest()), hard))
    return current()


def fitting(listeners: Sequence[Places], limit: int) -> int | None:
    """Return how many clients all listeners may have together in `limit` descriptors.

    None: as many as each of them may have. Raises UnfitEnvironment below LEAST_CLIENTS.
    """
    if wanted(listeners) <= limit:
        return None
    room = limit - _own(listeners) - lingering(limit)
    # With few descriptors each client may have one at the upstream; with many, not all do.
    found = max(room // 2, room - sum(one.upstream for one in listeners))
    if found < min(max(LEAST_CLIENTS, 2 * len(listeners)), sum(one.clients for one in listeners)):
        raise UnfitEnvironment(
            "descriptors",
            detail=f"the limit of open files is {limit}, too few for the listeners' clients:"
            f" {wanted(listeners)} are needed for `limits`. Raise the hard limit (ulimit -n,"
            " LimitNOFILE).",
        )
    return found
