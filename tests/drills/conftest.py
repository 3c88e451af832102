from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis that runs."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.kill()
