from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.keys.stores.redis import connection

from .server import Server
from .topologies import Clustered, Watched


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis that runs."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections wait for long, where a law is tried that has nothing to do with deadlines."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 20.0)
    monkeypatch.setattr(connection, "COMMAND_SECONDS", 20.0)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give connections a second where it has a fifth, for machines that have other work to do."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(connection, "COMMAND_SECONDS", 1.0)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A master, a replica and three Sentinels that run."""
    yield from _watched(Watched(tmp_path))


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The same for tests that leave all of them as they are, since it takes seconds to start."""
    yield from _watched(Watched(tmp_path_factory.mktemp("watched"), fails=False))


def _watched(watched: Watched) -> Iterator[Watched]:
    try:
        watched.start()
        yield watched
    finally:
        watched.kill()


@pytest.fixture
def clustered(tmp_path: Path) -> Iterator[Clustered]:
    """A cluster of three that runs."""
    clustered = Clustered(tmp_path)
    try:
        clustered.start()
        yield clustered
    finally:
        clustered.kill()
