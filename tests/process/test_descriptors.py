"""How many clients fit in the file descriptors of a process."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import UnfitEnvironment
from proxy.process.descriptors import Places, fitting, lingering, provide, wanted
from proxy.process.policy import LEAST_CLIENTS, OWN_DESCRIPTORS

LISTENERS = st.lists(
    st.builds(Places, st.integers(1, 100_000), st.integers(1, 100_000)), min_size=1, max_size=5
)


@given(listeners=LISTENERS, limit=st.integers(0, 400_000))
def test_as_many_clients_as_fit_and_no_more(listeners: list[Places], limit: int) -> None:
    try:
        found = fitting(listeners, limit)
    except UnfitEnvironment:
        assert limit < wanted(listeners)
        return
    fewer = [Places(clients, one.upstream) for clients, one in zip(found, listeners, strict=True)]

    taken = sum(lingering(limit) + one.descriptors for one in fewer)
    assert OWN_DESCRIPTORS + taken <= limit
    assert all(clients <= one.clients for clients, one in zip(found, listeners, strict=True))
    assert all(
        clients >= min(LEAST_CLIENTS, one.clients)
        for clients, one in zip(found, listeners, strict=True)
    )
    if limit >= wanted(listeners):
        assert found == tuple(one.clients for one in listeners)


def test_examples() -> None:
    usual = Places(10_000, 2_300)

    assert wanted([usual]) == OWN_DESCRIPTORS + 256 + 12_300
    assert fitting([usual], 20_000) == (10_000,)
    assert fitting([usual], OWN_DESCRIPTORS + 256 + 8_300) == (6_000,)
    assert fitting([usual], 1600) == ((1600 - OWN_DESCRIPTORS - 100) // 2,)
    assert fitting([usual, usual], 1600) == ((1600 - OWN_DESCRIPTORS - 200) // 4,) * 2
    with pytest.raises(UnfitEnvironment, match="descriptors"):
        fitting([usual], OWN_DESCRIPTORS + 2 * LEAST_CLIENTS)


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
