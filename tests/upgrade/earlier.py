"""The code of earlier releases, from git history, to run beside that of this tree."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
COMMITS: Final = {"0.1.0": "854bb2676794508059edf25604437b586236983d"}
"""The commit of each release that this tree must be able to replace, and to be replaced by."""
_LOCK: Final = "requirements.lock"
_PYTHON: Final = ROOT / ".venv-earlier" / "bin" / "python"
"""Made by `./dev test tests/upgrade` with the packages of the release."""


@dataclass(frozen=True)
class Code:
    """One version of Sealyard, and the Python that runs it."""

    name: str
    folder: Path
    python: str = sys.executable

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which `proxy` is that version."""
        return {**os.environ, "PYTHONPATH": str(self.folder)}

    def command(self, *words: str) -> list[str]:
        """Return the command line of a command of `sealyard`."""
        return [self.python, "-P", "-m", "proxy", *words]

    def run(
        self, folder: Path, *words: str, status: int = 0, variables: Mapping[str, str] | None = None
    ) -> str:
        """Run a command in a folder; return what it printed, all of it if it had to fail."""
        done = subprocess.run(  # noqa: S603 - Sealyard itself
            self.command(*words),
            cwd=folder,
            env={**self.environment, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, f"{self.name} {words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr if status else done.stdout


NOW: Final = Code("now", ROOT)


def release(version: str, folder: Path) -> Code:
    """Unpack a release into a new folder; skip the test where that is not possible here."""
    lock = _shown(version, _LOCK)
    if _PYTHON.exists():
        python = str(_PYTHON)
    elif lock == (ROOT / _LOCK).read_bytes():
        python = sys.executable  # the packages that it needs are those of this tree
    else:
        pytest.skip(f"no packages of {version} here: ./dev test tests/upgrade installs them")
    packed = _git("archive", COMMITS[version], "proxy")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
    return Code(version, folder, python)


def _shown(version: str, path: str) -> bytes:
    commit = COMMITS[version]
    if shutil.which("git") is None:
        pytest.skip(f"no git here, which has the code of {version}")
    try:
        return _git("show", f"{commit}:{path}")
    except subprocess.CalledProcessError:
        pytest.skip(
            f"{commit[:12]}, the code of {version}, is not in this clone: it may be shallow"
        )


def _git(*words: str) -> bytes:
    # Of a folder that another user owns, git must be told that it may be read.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout  # noqa: S603 - the repository's own history
