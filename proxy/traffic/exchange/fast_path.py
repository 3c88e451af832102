"""The fast path: requests that are there whole are sent upstream, or refused, without a task.

It may give up, and then the handler takes the request from its beginning. It never decides how a
message is treated. A request that there is no room for it refuses by itself, since a task would
cost more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from ...core.errors import Busy, UpstreamResting
from ..http1.fast_heads import FastHead
from ..interfaces import Request, UpstreamResponse
from ..message_record import MessageRecord
from ..upstream.client import HttpUpstream
from ..upstream.permits import Claim, Permit
from .admission import AdmittedExchange
from .fast_exchange import FastExchange
from .known_heads import KnownHeads
from .steps import Steps


class FastPath(ABC):
    """Sends requests of one listener upstream without a task.

    Its exchanges hold it, and it holds none of them: a former upstream is closed once it is gone.
    """

    def __init__(self, steps: Steps, heads: KnownHeads, upstream: HttpUpstream) -> None:
        self.steps: Final = steps
        self.heads: Final = heads
        self.upstream: Final = upstream

    @abstractmethod
    async def finish(
        self,
        request: Request,
        admitted: AdmittedExchange,
        response: UpstreamResponse,
        record: MessageRecord,
    ) -> None:
        """Relay a response to a request that was sent by `depart`; raise only as `handle` does."""

    def depart(self, exchange: FastExchange, head: FastHead, body: bytes) -> bool:
        """Send a request upstream, or refuse it; return False if nothing was done.

        Whatever is wrong with the request, the handler finds as well, and answers it.
        """
        record = self.steps.record()
        try:
            known = self.heads.request(head, exchange.owner.peer, record)
        except Exception:  # noqa: BLE001 - the handler meets it again, and answers
            return False
        exchange.begin(self, head, body, known, record)
        try:
            permit = self._permit(known.admitted.claim)
        except (Busy, UpstreamResting) as error:
            exchange.refuse(error)
            return True
        if permit is not None:
            if exchange.send(permit):
                return True
            permit.release("unsent")
        exchange.forget()
        return False

    def _permit(self, claim: Claim) -> Permit | None:
        """Return a permit, None where it takes a wait: what waits for its turn is sealed after it.

        Raises:
            Busy: There is no room for the request, not even to wait.
            UpstreamResting: The upstream has failed, and is left alone.
        """
        steps, upstream = self.steps, self.upstream
        if steps.lag.refuses(claim.client):
            raise Busy("loop-lag")
        if not upstream.health.breaker.calm and not upstream.health.sound:
            upstream.health.refuse_resting()
            return None  # it may be the trial, whose end the handler reports
        permit = upstream.permits.take_at_once(claim)
        if permit is None:
            if steps.lag.stands:
                raise Busy("loop-lag")  # to wait, too, takes time that the loop does not have
            upstream.permits.refuse_if_full(claim)
        return permit
