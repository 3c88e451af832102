"""Events of the cluster on the owners of reviewed pods: `Injected` and `Denied`.

A pod that is denied never exists, so its ReplicaSet or Job is where its author looks.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final

from ..process.kubernetes_api import CallFailed
from ..telemetry.reporter import Reporter
from .admission_review import Reviewed, ReviewOutcome
from .certificate_keeper import Calls
from .pod_reader import Json
from .policy import EVENT_BYTES, EVENTS_REMEMBERED, EVENTS_WAITING, SAME_EVENT_SECONDS

_REASONS: Final[dict[ReviewOutcome, tuple[str, str]]] = {
    "injected": ("Injected", "Normal"),
    "denied": ("Denied", "Warning"),
}
_COMPONENT: Final = "sealyard-injector"


class OwnerEvents:
    """Writes Events, one after the other, and never holds up a review.

    Where there is more to tell than the API server takes, the newest is lost, and so is what was
    told of the same owner in the last ten minutes: controllers try again and again.
    """

    def __init__(self, api: Calls, reporter: Reporter, instance: str) -> None:
        """Tell nothing yet; `instance` is the name of this replica."""
        self._api = api
        self._reporter = reporter
        self._instance = instance
        self._waiting: asyncio.Queue[Json] = asyncio.Queue(EVENTS_WAITING)
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._failed = ""

    def tell(self, reviewed: Reviewed) -> None:
        """Write an Event soon, if the review is worth one and the pod has an owner."""
        if reviewed.outcome not in _REASONS or not reviewed.owner or self._waiting.full():
            return
        reason, kind = _REASONS[reviewed.outcome]
        message = "; ".join(reviewed.problems) or reviewed.status
        if self._is_new((reviewed.owner["uid"], message)):
            self._waiting.put_nowait(self._event(reviewed, reason, kind, message))

    async def run(self) -> None:
        """Write what is told, until it is cancelled."""
        while True:
            event = await self._waiting.get()
            path = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
            try:
                await self._api.call("POST", path, event)
                self._failed = ""
            except CallFailed as failed:
                if failed.reason != self._failed:
                    self._reporter.report("injector.event_failed", reason=failed.reason)
                self._failed = failed.reason

    def _is_new(self, key: tuple[str, str]) -> bool:
        now = time.monotonic()
        if now - self._told.get(key, -SAME_EVENT_SECONDS) < SAME_EVENT_SECONDS:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > EVENTS_REMEMBERED:
            self._told.popitem(last=False)
        return True

    def _event(self, reviewed: Reviewed, reason: str, kind: str, message: str) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "sealyard-", "namespace": reviewed.namespace},
            "involvedObject": {**reviewed.owner, "namespace": reviewed.namespace},
            "type": kind,
            "reason": reason,
            "message": message.encode()[:EVENT_BYTES].decode(errors="ignore"),
            "source": {"component": _COMPONENT},
            "reportingComponent": _COMPONENT,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
