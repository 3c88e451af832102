from __future__ import annotations

import pytest

from tests.archive.opened import RELEASES, Archive, laid_out


@pytest.fixture(params=RELEASES, scope="session")
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """What one release wrote; tests copy what they change."""
    return laid_out(request.param, tmp_path_factory.mktemp("archive"))
