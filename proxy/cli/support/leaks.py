"""What leaks, as counted: what rules in mode `observe` would have done, and what no rule seals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Counted = Mapping[str, Any]
"""The answer of `GET /v1/status/leaks`, or one row of it: labels and a `number`."""

_PASSED: Final = frozenset({"changed", "unchanged"})


def any_of(counted: Counted) -> bool:
    """Return whether something would be refused, is not covered, or looks sensitive."""
    refused = any(row["outcome"] not in _PASSED for row in counted["messages"])
    return bool(refused or counted["uncovered"] or counted["sensitive"])


def lines(counted: Counted) -> Iterator[str]:
    """Yield what was counted, for a person: first what leaks, then what would be refused."""
    if not any(counted.values()):
        yield "Nothing observed: neither `mode: observe` nor `find_sensitive`, or no messages came."
        return
    if counted["sensitive"]:
        yield "Not sealed by any rule, and looks sensitive:"
    for row in _urgent_first(counted["sensitive"] or ()):
        where = row["rule"] or f"{row['method']} {row['shape']}"
        place = f"{row['listener']} / {where}, {row['direction']}"
        yield f"  {row['number']:>8}  {row['member']}  ({row['kind']}; {place})"
    if counted["uncovered"]:
        yield "Not covered by any rule:"
    for row in _urgent_first(counted["uncovered"]):
        yield (
            f"  {row['number']:>8}  {row['method']} {row['shape']}"
            f"  ({row['request_type']} -> {row['response_type']}, {row['listener']})"
        )
    messages = _urgent_first(counted["messages"])
    for rule in dict.fromkeys((row["listener"], row["rule"]) for row in messages):
        yield f"{rule[0]} / {rule[1]}"
        for direction in ("request", "response"):
            if parts := list(_parts(counted, (*rule, direction))):
                yield f"  {direction + 's:':<11}{', '.join(parts)}"


def _urgent_first(rows: Iterable[Counted]) -> list[Counted]:
    return sorted(rows, key=lambda row: (row.get("outcome") in _PASSED, -row["number"]))


def _parts(counted: Counted, wanted: tuple[str, str, str]) -> Iterator[str]:
    def mine(rows: Iterable[Counted]) -> Iterator[tuple[str, int]]:
        for row in rows:
            if (row["listener"], row["rule"], row["direction"]) == wanted:
                yield row["outcome"], row["number"]

    for outcome, number in mine(_urgent_first(counted["messages"])):
        yield f"{number} {outcome if outcome in _PASSED else f'refused: {outcome}'}"
    for outcome, number in mine(counted["values"]):
        yield f"{number} values {outcome.replace('_', ' ')}"
