"""Writes the provenance of a release's files: in-toto Statement v1, SLSA Provenance v1.

It states what was built from which commit by which compilers and lock files. It is not signed, and
has no times, so that two builds of a commit are the same document.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LOCKS = ("requirements.lock", "requirements-build.lock", "tools/docker/requirements-image.lock")


def digest(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def statement(files: list[Path], tools: dict[str, str]) -> str:
    """Return the JSON document about the files; `tools` has the versions of what made them."""
    commit = _git("rev-parse", "HEAD")
    locks = [{"uri": one, "digest": {"sha256": digest(ROOT / one)}} for one in _LOCKS]
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": one.name, "digest": {"sha256": digest(one)}} for one in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "dev release",
                "externalParameters": {"commit": commit, "changed": bool(_git("status", "-s"))},
                "internalParameters": {"python": platform.python_version(), **tools},
                "resolvedDependencies": [
                    {"uri": "git", "digest": {"gitCommit": commit}},
                    *locks,
                ],
            },
            "runDetails": {"builder": {"id": "dev release"}},
        },
    }
    return json.dumps(document, indent=1) + "\n"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603, S607 - git of this machine
    return done.stdout.strip()
