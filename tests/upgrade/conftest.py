from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis.server import Server, needs_redis
from tests.upgrade.earlier import COMMITS, Code, release


@pytest.fixture(params=COMMITS, scope="session")
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Code:
    """The code of an earlier release."""
    return release(request.param, tmp_path_factory.mktemp("earlier"))


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=needs_redis)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a store that is shared."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path / 'keys.db'}"
        return
    server = Server(tmp_path)
    server.start()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.kill()


@pytest.fixture(autouse=True)
def private() -> Iterator[None]:
    """Make files that others cannot read, as both versions demand of keys."""
    before = os.umask(0o077)
    yield
    os.umask(before)
