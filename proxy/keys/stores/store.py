"""What a store is: named records that expire, and one atomic way to agree on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Offer:
    """A record that a process offers under `name`, to be kept for `ttl_ms` milliseconds.

    `name` tells nothing to the store, and `record` only what its form shows; `epoch` stands beside
    the record so that the store can tell the newer of two without reading them.
    """

    name: str
    record: bytes
    epoch: int
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds under a name, and for how many more milliseconds by its own clock.

    The store is not trusted: the record authenticates itself, and the time left is capped.
    """

    record: bytes
    remaining_ms: int


class Store(Protocol):
    """Keeps records of all processes that share a keyring.

    Both operations are atomic among those processes and judge time by the store's clock alone.
    They raise StoreFailed when the store does not answer.
    """

    async def get_or_create(self, offer: Offer) -> Held:
        """Return what stands under the name; where nothing does (any more), keep the offer first.

        Of any number of concurrent calls under one name, all return the same record.
        """
        ...

    async def replace(self, offer: Offer) -> Held:
        """Keep the offer if its epoch is above that of what stands there; return what stands then.

        Of offers with one epoch, the first stays.
        """
        ...

    async def dump(self) -> dict[str, bytes]:
        """Return every record by its name, as it stands, for those who look for what leaks."""
        ...

    async def close(self) -> None:
        """Let go of all connections and records in memory."""
        ...


class StoreFailed(Exception):
    """The store did not answer. It never reaches a client: sessions go on without the store."""
