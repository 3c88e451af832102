from __future__ import annotations

from pathlib import Path

import pytest

from tools.bench.check import NotDone, changed, prepared
from tools.bench.peers import Peer
from tools.bench.peers.base import SHAPES
from tools.bench.running import Running, a_backend


def _nobody(port: int, work: str) -> Running:
    """Return what claims to be a proxy, and is the backend itself: it echoes and seals nothing."""
    peer = Peer("nobody", frozenset({work}), lambda: None, lambda: "", lambda _: [])
    return Running(peer, port, 0, Path(), 0.0)


@pytest.mark.parametrize("work", ["seal", "seal_16k", "whole", *sorted(SHAPES)])
def test_a_peer_that_seals_nothing_is_found_out(work: str) -> None:
    with a_backend() as port, pytest.raises(NotDone, match="the backend can read the secret"):
        prepared(_nobody(port, work), port, "c-1")


def test_a_peer_whose_list_was_never_sealed_is_found_out() -> None:
    with a_backend() as port, pytest.raises(NotDone, match="the backend can read the secret"):
        prepared(_nobody(port, "list"), port, "c-1")


def test_a_value_that_is_left_in_the_clear_is_found_out_among_others() -> None:
    message = {"name": "a", "notes": ["b", "c"], "n": 1}
    arrived = {"name": "x", "notes": ["b", "y"], "n": 1}

    assert list(changed(message, arrived)) == ["a", "c"]
    assert list(changed(message, {"name": "x"})) == [message]
    assert list(changed(message["notes"], ["b"])) == [["b", "c"]]


@pytest.mark.parametrize("work", ["pass", "list_pass"])
def test_who_passes_everything_through_does_that_work(work: str) -> None:
    with a_backend() as port:
        assert set(prepared(_nobody(port, work), port, "c-1")) == {work}
