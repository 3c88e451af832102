from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main

Run = Callable[..., Result]


def invoke(*arguments: str, status: int = 0, stdin: bytes | str | None = None) -> Result:
    """Run `sealyard`, which must end with that status."""
    result = CliRunner().invoke(main, arguments, input=stdin)
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def run() -> Run:
    """Run `sealyard` where the test is."""
    return invoke
