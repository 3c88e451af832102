"""Every command of docs/how-to/contract.md runs, and prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.scenarios.test_tutorial import matches

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "how-to" / "contract.md"
BLOCK = re.compile(r"^```(yaml|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_a_reader_of_the_page_sees_what_it_shows(tmp_path: Path) -> None:
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    printed = ""
    for kind, text in blocks:
        if kind == "yaml":
            (tmp_path / "openapi.yaml").write_text(text)
        elif kind == "sh":
            done = subprocess.run(  # noqa: S603 - the commands of a page of this repository
                ["/bin/bash", "-ec", text],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            printed = done.stdout
        else:
            assert matches(printed, text), printed

    assert [kind for kind, _ in blocks].count("sh") == 3
