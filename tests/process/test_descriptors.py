"""How many clients fit in the file descriptors of a process."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import UnfitEnvironment
from proxy.process.descriptors import Places, fitting, lingering, provide, wanted
from proxy.process.policy import LEAST_CLIENTS, LISTENER_DESCRIPTORS, OWN_DESCRIPTORS

LISTENERS = st.lists(
    st.builds(Places, st.integers(1, 100_000), st.integers(1, 100_000)), min_size=1, max_size=5
)


@given(listeners=LISTENERS, limit=st.integers(0, 400_000))
def test_as_many_clients_as_fit_and_no_more(listeners: list[Places], limit: int) -> None:
    own = OWN_DESCRIPTORS + LISTENER_DESCRIPTORS * len(listeners)
    every = sum(one.clients for one in listeners)
    try:
        found = fitting(listeners, limit)
    except UnfitEnvironment:
        assert limit < wanted(listeners)
        return
    if found is None:
        assert limit >= wanted(listeners)
        return

    upstream = min(found, sum(one.upstream for one in listeners))
    assert own + lingering(limit) + found + upstream <= limit
    assert min(max(LEAST_CLIENTS, 2 * len(listeners)), every) <= found


def test_examples() -> None:
    usual = Places(10_000, 2_300)
    own = OWN_DESCRIPTORS + LISTENER_DESCRIPTORS

    assert wanted([usual]) == own + 256 + 12_300
    assert fitting([usual], 20_000) is None
    assert fitting([usual], own + 256 + 8_300) == 6_000
    assert fitting([usual], 1600) == (1600 - own - 100) // 2
    assert fitting([usual] * 2, 1600) == (1600 - own - LISTENER_DESCRIPTORS - 100) // 2
    assert fitting([usual] * 100, 1024) == (1024 - OWN_DESCRIPTORS - 400 - 64) // 2
    with pytest.raises(UnfitEnvironment, match="descriptors"):
        fitting([usual], own + 2 * LEAST_CLIENTS)


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """Return the limits of this process, and set them back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_rises_no_further_than_needed(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))

    assert provide(100) == 200
    assert provide(300) == 300
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
    if hard != resource.RLIM_INFINITY:
        assert provide(hard + 1) == hard
