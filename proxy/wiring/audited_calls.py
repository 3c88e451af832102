"""Calls of the admin API in the audit log: written before they are answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..core.errors import UnfitEnvironment
from ..keys.audit import Trail, Value
from ..keys.audit.trail import Bound

_PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
_LOWEST_ERROR: Final = 400


class AuditedCalls:
    """Writes calls down. What only looks is written one by one up to a rate, and counted beyond.

    `clock` returns seconds that never go back.
    """

    def __init__(self, trail: Trail, clock: Callable[[], float]) -> None:
        self._trail = trail
        self._looks = Bound(trail, per_second=1, burst=100, clock=clock)
        self._refused = Bound(trail, per_second=1, burst=50, clock=clock)

    async def write_down(self, told: Mapping[str, Value]) -> None:
        """Write a call down; raise UnfitEnvironment where it must not be answered.

        Probes and scrapers come every few seconds and are shown numbers alone: they are left out.
        """
        good = int(told["status"]) < _LOWEST_ERROR
        if "caller" not in told:
            if not good:
                self._refused.note("admin.refused", _some(told, "status", "error"), **_rest(told))
        elif told["method"] != "GET":
            await self._trail.write("admin.called", **told)
        elif good and told.get("route") in _PROBES:
            return
        elif self._looks.admits():
            await self._trail.write("admin.called", **told)
        elif self._trail.blocked:
            raise UnfitEnvironment("the audit log cannot be written")
        else:
            self._looks.count("admin.called", _some(told, "caller", "route", "method"))

    def close(self) -> None:
        """Have written down what was only counted."""
        self._looks.tell()
        self._refused.tell()


def _some(told: Mapping[str, Value], *names: str) -> dict[str, Value]:
    return {name: told[name] for name in names if name in told}


def _rest(told: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in told.items() if name not in {"status", "error"}}
