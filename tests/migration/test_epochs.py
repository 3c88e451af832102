"""A run seals under the lease of its process: what a revocation met is sealed again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.errors import KeyUnavailable
from proxy.keys.fleet.lease import ENDED
from proxy.migration import engine
from proxy.migration.engine import RowRange
from proxy.migration.values.sealing import RunSessions
from tests.keys.builders import NOW, a_keyring

SCOPE = Scope("clinic", "c1")


class Lease:
    """One in whose first batch a revocation comes, of the second to come."""

    def __init__(self) -> None:
        self.epoch = 0
        self.not_before = 0
        self.stood: list[bool] = []

    def require(self) -> int:
        return self.epoch

    @contextmanager
    def writing(self, epoch: int) -> Iterator[bool]:
        if not self.stood:
            self.epoch, self.not_before = 1, NOW + 2
        self.stood.append(epoch == self.epoch)
        yield self.stood[-1]

    def look(self) -> None:
        raise KeyUnavailable(ENDED)


async def test_a_batch_that_a_revocation_meets_is_sealed_again_and_written_once() -> None:
    lease: Any = Lease()
    sealing = RunSessions(a_keyring(), clock=lambda: NOW, random=os.urandom, lease=lease)
    treated: list[int] = []
    written: list[list[int]] = []
    rows = [SimpleNamespace(key=(1,))]

    class Treats:
        async def treat(self, page: list[Any]) -> list[Any]:
            treated.append(sealing[SCOPE].created)
            cells, changed = [b"x"], [(0, None, "sealed-now")]
            return [SimpleNamespace(row=one, cells=cells, changed=changed, kept=()) for one in page]

    def write(some: list[Any]) -> list[Any]:
        written.append([treated[-1] for _ in some])
        return [row.key for row, _ in some]

    source: Any = SimpleNamespace(
        table=SimpleNamespace(limits=lambda _: (None,), labels=("a",)),
        widths=lambda: (),
        page=lambda after, _: [] if after else rows,
        write=write,
        refused={},
    )
    treats: Any = Treats()
    part = RowRange(0)
    await engine.run(part, "seal", source, treats, lambda *_: None, lease=lease)
    assert (treated, written) == ([NOW, NOW + 2], [[NOW + 2]])
    with pytest.raises(KeyUnavailable):
        source.look()  # before each COMMIT
    assert (lease.stood, part.done, part.tally.rows) == ([False, True], True, 1)
