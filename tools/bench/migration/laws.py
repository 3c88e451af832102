"""What a migration must leave, and how fast it is to be: said of what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

MOST_KIB: Final = 64 * 1024
"""Of memory, for each process."""
UPDATES: Final = 200
"""How many rows the application beside a run wants to update in a second."""
_UPDATED: Final = 0.9
"""The part of these updates that it must get done for the time of a run to count."""
_LEFT: Final = ("lost", "plain", "doubled", "not_byte_equal")
_VERBS: Final = ("seal", "verify", "open")
_MILLION: Final = 1_000_000
_MILLION_SECONDS: Final = 600
_VALUES_PER_CPU_SECOND: Final = 20_000


def broken(run: Mapping[str, Any], *, rows: int, kills: int = 0) -> Iterator[str]:
    """Yield what a run of so many rows and kills left that it must not, whatever its time."""
    for one in _LEFT:
        if run.get(one):
            yield f"{one}: {run[one]}"
    if not run.get("byte_equal", True):
        yield "not byte-equal"
    if run.get("rows", rows) != rows:
        yield f"rows: {run['rows']}"
    if run.get("kills", kills) != kills:
        yield f"kills: {run['kills']}"
    if run.get("updates") == 0:
        yield "no updates beside it"
    for verb in _VERBS:
        cost = run.get(verb)
        # A row that the application writes thrice while it is read is left, and `seal` says so.
        # `verify` then says what it is.
        good = {0, 1} if verb == "seal" and "verify" in run else {0}
        if cost is not None and cost["status"] not in good:
            yield f"{verb}: status {cost['status']}"
        if cost is not None and cost["memory_kib"] > MOST_KIB:
            yield f"{verb}: {cost['memory_kib']} KiB"


def missed(part: str, run: Mapping[str, Any]) -> Iterator[str]:
    """Yield which target of time a whole run of a part has missed."""
    if run.get("values_per_cpu_second", _VALUES_PER_CPU_SECOND) < _VALUES_PER_CPU_SECOND:
        yield f"{run['values_per_cpu_second']} values a second"
    if part != "postgresql" or run["kills"] or run["workers"] == 1:
        return
    seconds = run["seal"]["seconds"] * _MILLION / run["rows"]
    if seconds > _MILLION_SECONDS:
        yield f"{seconds:.0f} s for a million rows"
    if run["updates_per_second"] < _UPDATED * UPDATES:
        yield f"{run['updates_per_second']} updates a second beside it"
