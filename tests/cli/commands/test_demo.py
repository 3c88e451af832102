from __future__ import annotations

import re

from tests.cli.conftest import invoke


def test_the_demo_shows_that_every_claim_holds() -> None:
    result = invoke("demo", "--check")

    assert "FAILED" not in result.stdout
    assert len(re.findall(r"^  ok  ", result.stdout, re.MULTILINE)) >= 15
