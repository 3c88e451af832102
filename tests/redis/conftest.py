from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis that runs."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()
