"""`python -m tools.bench.caches`: what a step costs by how much else was touched before it.

The change of a body, as a warm message has it, is timed behind the reading of other memory. What it
costs in place, between the other steps of its message, tells how much those leave of the caches.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from proxy.core.transform import PreparedJson

from . import profile

_TIMES: Final = 1500
_KIB: Final = (0, 64, 256, 512, 1024, 2048)


def main() -> None:
    """Measure, and print a table."""
    changes = _changes()
    sys.stdout.write(
        "| KiB of other memory before it | request, µs | answer, µs |\n|--:|--:|--:|\n"
    )
    for size in _KIB:
        other = bytearray(size << 10)
        costs = [_cost(one, lambda other=other: other.count(1)) for one in changes]  # type: ignore[misc]  # bound now
        sys.stdout.write(f"| {size:,} | {costs[0]:.1f} | {costs[1]:.1f} |\n")


def _changes() -> list[Callable[[], object]]:
    """Return the last change of a request, and that of its answer, to be made again."""
    made: list[Callable[[], object]] = []
    change = PreparedJson.change

    def noted(prepared: PreparedJson, *given: Any, **named: Any) -> object:  # noqa: ANN401 - as given
        made.append(lambda: change(prepared, *given, **named))
        return change(prepared, *given, **named)

    PreparedJson.change = noted  # type: ignore[assignment, method-assign] # until it is measured
    asyncio.run(profile.measured(profile.void))
    PreparedJson.change = change  # type: ignore[method-assign] # as it was
    return made[-2:]


def _cost(step: Callable[[], object], before: Callable[[], object]) -> float:
    """Return the median of what a step takes behind another, in µs."""
    times = []
    for _ in range(_TIMES):
        before()
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    main()
