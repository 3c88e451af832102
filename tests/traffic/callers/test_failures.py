"""Credentials that do not hold take little of the CPU, and nothing from other clients."""

from __future__ import annotations

import pytest

from proxy.core.errors import CallersThrottled
from proxy.traffic.callers.failures import Failures
from proxy.traffic.policy import (
    FAILED_AT_ONCE,
    FAILED_BURST_SECONDS,
    FAILED_PER_SECOND,
    FAILED_SHARE,
)


def test_a_client_fails_so_often_and_then_so_many_times_a_second() -> None:
    now = 0.0
    failures = Failures(lambda: now)
    for _ in range(FAILED_AT_ONCE):
        failures.refuse_more("a")
        failures.note("a", 0.0)

    with pytest.raises(CallersThrottled, match="of-this-client"):
        failures.refuse_more("a")
    failures.refuse_more("b")
    now += 1 / FAILED_PER_SECOND
    failures.refuse_more("a")


def test_all_clients_together_take_a_share_of_the_cpu() -> None:
    now = 0.0
    failures = Failures(lambda: now)
    spent = 0.0
    for at in range(100_000):
        now += 0.0002
        try:
            failures.refuse_more(f"client {at}")
        except CallersThrottled as error:
            assert error.reason == "of-all-clients"  # noqa: PT017 - it may be refused, for this
            continue
        failures.note(f"client {at}", 0.0001)
        spent += 0.0001

    assert spent <= FAILED_SHARE * now + FAILED_BURST_SECONDS + 0.001
