"""`./dev release`: what follows the building of the distributions.

    python -m tools.release check VERSION      is this commit ready to be released as that version?
    python -m tools.release finish FOLDER      add chart, kit, materials, licences, provenance, sums
    python -m tools.release compare ONE OTHER  are two builds the same, file by file?

Exits with 1, and says why, for a no.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from proxy import __version__

from . import chart, floors, provenance, reader_kit

ROOT = Path(__file__).parents[2]
SUMS = "SHA256SUMS"


def check(version: str) -> list[str]:
    """Return what is missing before this commit can be released as a version."""
    missing = []
    if version != __version__:
        missing.append(f"proxy/__init__.py has version {__version__}: set {version}.")
    for file in ("pyproject.toml", "helm/sealyard/Chart.yaml"):
        found = re.search(
            r'^version(?: =|:) "?([^"\n]+)"?', (ROOT / file).read_text(), re.MULTILINE
        )
        if found is None or found[1] != version:
            missing.append(f"{file} has another version: set {version}.")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    if not re.search(rf"^## {re.escape(version)}(?: |$)", changes, re.MULTILINE):
        missing.append(f'CHANGELOG.md has no heading "## {version}": rename "## Unreleased".')
    if not (ROOT / "tests" / "archive" / version).is_dir():
        missing.append(f"tests/archive/{version} is missing: ./dev archive {version}.")
    if " | due |" in (ROOT / "docs" / "scorecard.md").read_text("utf-8"):
        missing.append("docs/scorecard.md has rows that are due: ./dev scorecard --long.")
    changed = _said("git", "status", "--porcelain")
    if changed:
        missing.append(f"{len(changed.splitlines())} files are not committed: commit them.")
    elif _said("git", "tag", "--points-at", "HEAD").split() != [f"v{version}"]:
        missing.append(f"this commit has not the tag v{version} alone: git tag v{version}.")
    return missing


def finish(folder: Path) -> None:
    """Add to the distributions in the folder what a release has besides."""
    at = int(os.environ["SOURCE_DATE_EPOCH"])
    chart.pack(ROOT / "helm" / "sealyard", folder, at)
    reader_kit.pack(folder, __version__, at)
    python = str(ROOT / ".venv-release" / "bin" / "python")
    bill = _said(
        python, "-I", str(ROOT / "tools" / "docker" / "sbom.py"), "application", __version__
    )
    (folder / f"sealyard-{__version__}.cdx.json").write_text(bill + "\n")
    licences = _said(python, "-I", str(ROOT / "tools" / "release" / "licences.py"))
    (folder / "LICENCES.txt").write_text(licences + "\n")
    files = sorted(one for one in folder.iterdir() if one.is_file())
    tools = {"rustc": _said(os.environ["RUSTC"], "--version")}
    made = folder / "provenance.intoto.json"
    made.write_text(provenance.statement(files, tools))
    sums = [f"{provenance.digest(one)}  {one.name}\n" for one in sorted((*files, made))]
    (folder / SUMS).write_text("".join(sums))


def compare(one: Path, other: Path) -> list[str]:
    """Return the files that differ between two builds, or that only one has."""
    first, second = (
        {file.name: provenance.digest(file) for file in x.iterdir()} for x in (one, other)
    )
    return sorted(
        f"{name} differs between two builds"
        for name in first.keys() | second.keys()
        if first.get(name) != second.get(name)
    )


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - programs of ./dev
    if done.returncode:
        sys.exit(f"release: {' '.join(command[:3])}: {done.stderr.strip()}")
    return done.stdout.strip()


def main(action: str, *arguments: str) -> int:
    """Run one of the three; return the exit status."""
    found: list[str] = []
    if action == "check":
        found = [*check(*arguments), *floors.found()]
    elif action == "finish":
        finish(Path(*arguments))
    else:
        found = compare(*map(Path, arguments))
    for sentence in found:
        print(f"release: {sentence}", file=sys.stderr)  # noqa: T201 - the result
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
