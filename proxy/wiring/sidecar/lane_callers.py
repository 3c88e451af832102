"""What outlives a reload of the callers of one listener: keys that were fetched, and counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...config.settings.callers import CallerKeys
from ...keys.lru_map import BoundedMap
from ...process.rate_limit import RateLimit
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Samples
from ...telemetry.reporter import MessageReporter
from ...traffic.callers.callers import Callers
from ...traffic.callers.issuer_keys import IssuerKeys
from ...traffic.callers.key_set import KeySet
from ...traffic.interfaces import OpensLog
from ..reload.material import ListenerMaterial

if TYPE_CHECKING:
    from ...traffic.callers.opens_limit import OpensLimit


class LaneCallers:
    """Wires the callers of one listener; owns the sources of their keys."""

    def __init__(self, reporter: MessageReporter, clock: Callable[[], float]) -> None:
        """`clock` returns seconds since 1970."""
        self._reporter = reporter
        self._clock = clock
        self._sources: dict[CallerKeys, IssuerKeys] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._opened: dict[tuple[str, str], int] = {}
        self._subjects: BoundedMap[tuple[str, str, str, int], RateLimit] | None = None
        self.limit: OpensLimit | None = None
        """Where opens of the listener are counted that was wired last."""

    def wire(self, material: ListenerMaterial) -> Callers | None:
        """Return what verifies the callers of a listener; None where it has none."""
        found, settings = material.callers, material.settings
        if found is None:
            return None
        sources: dict[CallerKeys, IssuerKeys] = {}
        for of, keys in found.keys.items():
            if isinstance(keys, KeySet):
                sources[of] = IssuerKeys(None, keys, time.monotonic, _quiet)
                continue
            host = urlsplit(str(of.place)).netloc
            told = partial(self._tell, settings.name, host)
            sources[of] = self._sources.get(of) or IssuerKeys(keys, None, time.monotonic, told)
        self._sources = self._sources | sources
        return Callers(
            found.table,
            sources,
            order=settings.caller_order,
            trusted_proxies=settings.trusted_proxies,
            tls=material.tls,
            revoked=found.revoked,
            counts=self._counts,
            clock=self._clock,
        )

    def limited(self, material: ListenerMaterial, opens: OpensLog | None) -> OpensLog | None:
        """Return where opens of a listener are counted, if it limits any, and written down."""
        most: dict[str, int] = {}
        for one in material.settings.callers:
            if one.opens_per_minute is not None:
                most[one.name] = min(one.opens_per_minute, most.get(one.name, one.opens_per_minute))
        self.limit = None
        if not most:
            return opens
        for name in most:  # a counter that begins with 1 has not increased, and raises no alarm
            for outcome in ("opened", "limited"):
                self._opened.setdefault((name, outcome), 0)
        from ...traffic.callers import opens_limit  # noqa: PLC0415 - only where there are limits

        self._subjects = self._subjects or opens_limit.subjects()
        begun, counts = self._subjects, self._opened
        self.limit = opens_limit.OpensLimit(
            most, opens, begun=begun, counts=counts, clock=time.monotonic
        )
        return self.limit

    def keep(self, material: ListenerMaterial) -> None:
        """Close the sources that a configuration in force does not have."""
        known = {} if material.callers is None else material.callers.keys
        for of in self._sources.keys() - known.keys():
            self._sources.pop(of).close()
        for of, keys in known.items():
            if not isinstance(keys, KeySet):
                self._sources[of].fetch = keys  # its CA may be another

    def close(self) -> None:
        """Close all sources."""
        for one in self._sources.values():
            one.close()

    def count(self, samples: Samples, listener: str) -> None:
        """Add how many credentials had which outcome, and how old the keys are."""
        for (caller, outcome), number in self._counts.items():
            samples.add(table.VERIFICATIONS, number, labels=(listener, caller, outcome))
        for (caller, outcome), number in self._opened.items():
            samples.add(table.CALLER_OPENED, number, labels=(listener, caller, outcome))
        for of, one in self._sources.items():
            if one.age is not None:
                host = urlsplit(str(of.place)).netloc
                samples.add(table.CALLER_KEYS_AGE, one.age, labels=(listener, host))

    def _tell(self, listener: str, host: str, reason: str) -> None:
        self._reporter.report("callers.keys_away", listener=listener, host=host, reason=reason)


def _quiet(_: str) -> None:
    """Say nothing: the keys of a file are there."""
