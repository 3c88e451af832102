"""What is refused is freed at once: cycles would keep the collector busy in an overload."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import pytest

from proxy.config.limits import Timeouts, TrafficLimits
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import TrafficError
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.rules.model import Verdict
from proxy.process.circuit_breaker import NO_TRIAL
from proxy.traffic.upstream.health import UpstreamHealth
from tests.factories import a_block, a_rule
from tests.traffic.callers.issuers import signed, verifying
from tests.traffic.test_message_record import only_cycles_left


async def a_backend_that_rests() -> None:
    health = UpstreamHealth(TrafficLimits(failures=1), Timeouts(rest=3600))
    health.breaker.failed(NO_TRIAL)
    health.refuse_if_resting()


async def a_rule_that_rejects() -> None:
    table = RuleTable((a_rule("GET /a", request=Verdict.REJECT),), pass_unmatched=True)
    table.decide("GET", canonical("/a"))


async def another_method_than_that_of_a_rule() -> None:
    table = RuleTable((a_rule(request=a_block(encrypt=["$.content"])),), pass_unmatched=True)
    other = table.decide("PUT", canonical("/api/messages")).other
    assert other is not None
    other.refuse_names(RequestHead("PUT", "/api/messages", "content=1", ()))


async def a_token_that_does_not_hold() -> None:
    await verifying().of_token(f"{signed()[:-4]}AAAA".encode())


@pytest.mark.parametrize(
    "refused",
    [
        a_backend_that_rests,
        a_rule_that_rejects,
        another_method_than_that_of_a_rule,
        a_token_that_does_not_hold,
    ],
)
async def test_a_refusal_leaves_nothing_to_the_garbage_collector(
    refused: Callable[[], Awaitable[None]],
) -> None:
    with pytest.raises(TrafficError):
        await refused()
    with only_cycles_left() as left:
        for _ in range(3):
            with contextlib.suppress(TrafficError):
                await refused()
    assert [one for one in left if isinstance(one, TrafficError)] == []
