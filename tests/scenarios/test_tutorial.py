"""Every command of docs/tutorial.md runs, one after the other, and prints what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import free_port

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "== the end of a block =="


def steps() -> list[tuple[str, str | None]]:
    """Return the commands of each block, and what the page shows below it."""
    found: list[tuple[str, str | None]] = []
    for kind, text in BLOCK.findall(PAGE.read_text("utf-8")):
        if kind == "sh":
            found.append((text, None))
        else:
            found[-1] = (found[-1][0], text)
    return found


def matches(printed: str, shown: str) -> bool:
    """Return whether the output is what the page shows, where … is any text within a line."""
    pattern = re.escape(shown.strip()).replace("…", ".*")
    return re.fullmatch(pattern, printed.strip()) is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl: ./dev packages installs it")
def test_a_reader_of_the_tutorial_sees_what_it_shows(tmp_path: Path) -> None:
    shutil.copy(ROOT / "deploy" / "compose" / "backend.py", tmp_path)
    script = f"\necho; echo '{MARK}'\n".join(commands for commands, _ in steps())
    ports = {number: str(free_port()) for number in ("3000", "8080", "9901")}
    for before, added in {
        # A person is slower than the start of the backend.
        "curl": "until curl -so /dev/null localhost:3000; do sleep 0.1; done",
        # The file that `init` writes has this port for the admin listener.
        "sealyard explain": "sed -i s/9901/9901+/ sealyard.yaml",
    }.items():
        script = script.replace(before, f"{added}\n{before}", 1)
    script = script.replace("s/9901/9901+/", f"s/990[1]/{ports['9901']}/")
    for number, port in ports.items():
        script = script.replace(number, port)
    start = f"set -m; trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{script}"
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(  # noqa: S603 - the commands of a page of this repository
        ["/bin/bash", "-c", start],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = done.stdout.split(MARK)

    assert len(printed) == len(steps()), done.stderr
    for (commands, shown), told in zip(steps(), printed, strict=True):
        assert shown is None or matches(told, shown), f"{commands}{told}{done.stderr}"
    assert "Penicillin" not in (tmp_path / "sealyard.log").read_text()
    assert "Ibuprofen" not in (tmp_path / "messages.txt").read_text()
