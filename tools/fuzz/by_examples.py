"""One target under hypothesis: seeds with pieces cut out, put in, doubled and exchanged."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .targets import TARGETS, timed

_ROUND = 500


def main(arguments: list[str]) -> int:
    """Run `TARGET SECONDS CORPUS CRASHES`; return 1 where a law was broken."""
    name, seconds, _, crashes = arguments
    target = TARGETS[name]
    seeds = target.seeds()
    runs = 0
    last = b""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, len(data)))
            end = start + draw(st.integers(0, 16))
            other = draw(st.sampled_from(seeds))
            at = draw(st.integers(0, len(other)))
            piece = draw(st.binary(max_size=8) | st.just(other[at : at + 40]))
            data = data[:start] + piece + data[end:]
        return data

    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changed() | st.binary(max_size=200))
    def once(data: bytes) -> None:
        nonlocal runs, last
        runs, last = runs + 1, data
        timed(target.run, data)

    end = time.monotonic() + float(seconds)
    try:
        while time.monotonic() < end:
            once()
    except Exception:
        # Hypothesis has made the bytes small, and run the smallest last.
        Path(crashes, f"{name}-{time.time_ns()}").write_bytes(last)
        raise
    finally:
        sys.stdout.write(f"stat::number_of_executed_units: {runs}\n")
    return 0
