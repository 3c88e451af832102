from __future__ import annotations

import re

from click.testing import CliRunner

from proxy.cli import main


def test_the_demo_shows_that_every_claim_holds() -> None:
    result = CliRunner().invoke(main, ["demo", "--check"])

    assert result.exit_code == 0, result.output
    assert "FAILED" not in result.stdout
    assert len(re.findall(r"^  ok  ", result.stdout, re.MULTILINE)) >= 15
