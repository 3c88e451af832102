from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tools.bench.check import prepared
from tools.bench.peers import Peer, sealyard
from tools.bench.peers.base import needs
from tools.bench.running import a_backend, started


@pytest.fixture
def backend() -> Iterator[int]:
    with a_backend() as port:
        yield port


@pytest.mark.parametrize("peer", sealyard.PEERS, ids=lambda peer: peer.name)
def test_sealyard_does_all_its_work_with_and_without_a_line_per_message(
    peer: Peer, backend: int
) -> None:
    if peer.name == sealyard.REDIS and (lacking := needs("redis-server")):
        pytest.skip(lacking)
    with started(peer, backend) as running:
        done = prepared(running, backend, "c-1")
        log = running.log.read_text()

    assert set(done) == peer.works
    assert ('"event":"message.handled"' in log) is (peer.name != sealyard.UNLOGGED)
    assert '"event":"server.ready"' in log


@pytest.mark.parametrize("peer", sealyard.PEERS, ids=lambda peer: peer.name)
def test_sealyard_is_measured_without_what_only_development_has(peer: Peer) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import structlog.dev; print(structlog.dev.rich)"],
        env={**os.environ, **peer.environment},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.strip() == "None"


@pytest.mark.parametrize("form", sealyard.FORMS, ids=lambda form: form.name)
def test_each_form_of_sealyard_is_what_its_name_says(form: Peer) -> None:
    told = subprocess.run(
        [sys.executable, "-P", "-m", "proxy", "show", "version"],
        env={**os.environ, **form.environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    native = form.name == sealyard.NAME and not form.absent()
    assert ("not in use" in told) is not native
    assert ("sealyard-native" in form.version()) is (form.name == sealyard.NAME)
