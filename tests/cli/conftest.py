from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Run `sealyard` with arguments."""

    def invoke(*arguments: str, stdin: bytes | str | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=stdin)

    return invoke
