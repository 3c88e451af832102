"""File descriptors: as many as the limits of the configuration need, or fewer clients."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ..core.errors import UnfitEnvironment
from .policy import LEAST_CLIENTS, LINGERING_SHARE, MOST_LINGERING, OWN_DESCRIPTORS


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
    """Return how many refused clients of a listener may linger until they have read the answer."""
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
    return OWN_DESCRIPTORS + sum(MOST_LINGERING + one.descriptors for one in listeners)


def provide(number: int) -> int:
    """Raise the soft limit of this process to `number`, or as near as it may; return the limit."""
    if current() < number:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, highest()), hard))
    return current()


def fitting(listeners: Sequence[Places], limit: int) -> tuple[int, ...]:
    """Return how many clients each listener may have, so that all fit in `limit` descriptors.

    Where they do not, all have fewer by the same share. Raises UnfitEnvironment below
    LEAST_CLIENTS.
    """
    if wanted(listeners) <= limit:
        return tuple(one.clients for one in listeners)
    needed = sum(one.descriptors for one in listeners)
    room = min(needed, limit - OWN_DESCRIPTORS - len(listeners) * lingering(limit))
    parts = [room * one.descriptors // needed for one in listeners]
    # With few descriptors each client may have one at the upstream; with many, not all do.
    found = tuple(
        max(part // 2, part - one.upstream) for part, one in zip(parts, listeners, strict=True)
    )
    if any(
        clients < min(LEAST_CLIENTS, one.clients)
        for clients, one in zip(found, listeners, strict=True)
    ):
        raise UnfitEnvironment(
            "descriptors",
            detail=f"the limit of open files is {limit}, too few for a listener's clients:"
            f" {wanted(listeners)} are needed for `limits`. Raise the hard limit (ulimit -n,"
            " LimitNOFILE).",
        )
    return found
