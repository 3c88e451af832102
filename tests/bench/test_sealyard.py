from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.check import prepared
from bench.peers import Peer, sealyard
from bench.running import a_backend, started


@pytest.fixture
def backend() -> Iterator[int]:
    with a_backend() as port:
        yield port


@pytest.mark.parametrize("peer", sealyard.PEERS, ids=lambda peer: peer.name)
def test_sealyard_does_all_its_work_with_and_without_a_line_per_message(
    peer: Peer, backend: int
) -> None:
    with started(peer, backend) as running:
        done = prepared(running, backend, "c-1")
        log = running.log.read_text()

    assert set(done) == peer.works
    assert ('"event":"message.handled"' in log) is (peer.name != sealyard.UNLOGGED)
    assert '"event":"server.ready"' in log
