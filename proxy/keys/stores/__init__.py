"""Stores: where session records live, so that processes agree on a session.

A new store is one file beside this one and one line in STORES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ...core.errors import ConfigurationError
from .memory import MemoryStore
from .store import Held, Offer, Store, StoreFailed

__all__ = ["STORES", "Held", "MemoryStore", "Offer", "Store", "StoreFailed", "open_store"]

Clock = Callable[[], float]
"""Returns seconds and never goes back; `time.monotonic` outside of tests."""

StoreFactory = Callable[[str, Clock], Store]
"""Makes a store from its address (`memory`, `scheme:rest`) and a clock, connecting to nothing."""


def _memory(_: str, clock: Clock) -> Store:
    return MemoryStore(clock)


STORES: Final[Mapping[str, StoreFactory]] = {
    "memory": _memory,
}


def open_store(address: str, clock: Clock) -> Store:
    """Return the store of an address of the configuration.

    Raises ConfigurationError for an unknown kind. The caller closes the store.
    """
    kind = address.partition(":")[0]
    factory = STORES.get(kind)
    if factory is None:
        raise ConfigurationError((f"keys.store: {kind} is unknown; one of: {', '.join(STORES)}",))
    return factory(address, clock)
