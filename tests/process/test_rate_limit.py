from __future__ import annotations

from proxy.process.rate_limit import RateLimit


def test_a_burst_is_let_through_and_then_so_many_a_second() -> None:
    now = [100.0]
    limit = RateLimit(2.0, 3, lambda: now[0])

    assert [limit.take() for _ in range(4)] == [True, True, True, False]
    now[0] += 0.5
    assert [limit.take(), limit.take()] == [True, False]
    now[0] += 3600
    assert [limit.take() for _ in range(4)] == [True, True, True, False]


def test_asking_counts_nothing() -> None:
    limit = RateLimit(1.0, 1, lambda: 0.0)

    assert [limit.spent(), limit.spent(), limit.take(), limit.spent()] == [False, False, True, True]
