"""`./dev release`: what follows the building of the distributions.

    python -m tools.release prepare VERSION    set the version everywhere, and make its archive
    python -m tools.release check VERSION      is this commit ready to be released as that version?
    python -m tools.release tag VERSION        tag this commit, if it is ready
    python -m tools.release source FOLDER DIST copy what the distributions are built of
    python -m tools.release finish FOLDER      add chart, pages, kit, licences, provenance, sums
    python -m tools.release compare ONE OTHER  are two builds the same, file by file?

Exits with 1, and says why, for a no.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from proxy import __version__
from tools import trusted_base

from . import archive, chart, floors, provenance, reader_kit

ROOT = Path(__file__).parents[2]
SUMS = "SHA256SUMS"


def semver(version: str) -> str:
    """Return the version in the form of SemVer, which charts have: `1.0.0rc1` is `1.0.0-rc.1`."""
    told = Version(version)
    pre = [] if told.pre is None else [*map(str, told.pre)]
    dev = [] if told.dev is None else ["dev", str(told.dev)]
    return told.base_version + ("-" + ".".join([*pre, *dev]) if pre or dev else "")


def places(version: str) -> dict[str, tuple[str, str]]:
    """Return for each file that states the version the pattern of the line, and the line."""
    return {
        "proxy/__init__.py": (r"^__version__ = .*$", f'__version__ = "{version}"'),
        "pyproject.toml": (r"^version = .*$", f'version = "{version}"'),
        "helm/sealyard/Chart.yaml": (
            r"^version: .*\nappVersion: .*$",
            f'version: {semver(version)}\nappVersion: "{version}"',
        ),
    }


def prepare(version: str) -> None:
    """Set the version in all files, and let its archive be made anew unless it was released.

    Also the heading of the changelog, be it "Unreleased" or a candidate that was never tagged.
    """
    if _said("git", "tag", "--list", f"v{version}"):
        sys.exit(f"release: v{version} is a tag: a released version is not made again.")
    for file, (pattern, line) in places(version).items():
        text = (ROOT / file).read_text("utf-8")
        (ROOT / file).write_text(re.sub(pattern, line, text, count=1, flags=re.MULTILINE), "utf-8")
    changes = ROOT / "CHANGELOG.md"
    text = re.sub(
        r"^## .*$", f"## {version}", changes.read_text("utf-8"), count=1, flags=re.MULTILINE
    )
    changes.write_text(text, "utf-8")
    shutil.rmtree(ROOT / "tests" / "archive" / version, ignore_errors=True)


def check(version: str, *, tagged: bool = True) -> list[str]:
    """Return what is missing before this commit can be released, or tagged, as a version."""
    missing = []
    for file, (_, line) in places(version).items():
        if f"\n{line}\n" not in (ROOT / file).read_text("utf-8"):
            missing.append(f"{file} has another version: ./dev release --prepare {version}.")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    if not re.search(rf"^## {re.escape(version)}(?: |$)", changes, re.MULTILINE):
        missing.append(
            f'CHANGELOG.md has no heading "## {version}": ./dev release --prepare {version}.'
        )
    if not (ROOT / "tests" / "archive" / version).is_dir():
        missing.append(f"tests/archive/{version} is missing: ./dev release --prepare {version}.")
    if " | due |" in (ROOT / "docs" / "scorecard.md").read_text("utf-8"):
        missing.append("docs/scorecard.md has rows that are due: ./dev scorecard --long.")
    if not trusted_base.current():
        missing.append("docs/explanation/review.md has the lines of older code: ./dev docs.")
    changed = _said("git", "status", "--porcelain")
    if changed:
        missing.append(f"{len(changed.splitlines())} files are not committed: commit them.")
    elif tagged and _said("git", "tag", "--points-at", "HEAD").split() != [f"v{version}"]:
        missing.append(f"this commit has not the tag v{version} alone: ./dev release --tag.")
    return missing


def tag(version: str) -> list[str]:
    """Tag this commit, signed where git has a key to sign with; return what is missing instead."""
    found = [*check(version, tagged=False), *floors.found()]
    if not found:
        key = subprocess.run(
            ["git", "config", "user.signingkey"],  # noqa: S607 - git of this machine
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        kind = "--annotate" if key.returncode else "--sign"
        _said("git", "tag", kind, f"v{version}", "--message", f"Sealyard {version}")
    return found


def addresses() -> dict[str, str]:
    """Return the addresses of the project, which whoever publishes it sets in pyproject.toml."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: dict[str, str] = told["project"].get("urls", {})
    return found


def native(built: Path) -> str:
    """Return the requirement of the native wheels in that folder, where one of them fits."""
    versions, machines = set(), []
    for wheel in sorted(built.glob("sealyard_native-*.whl")):
        _, version, _, tags = parse_wheel_filename(wheel.name)
        versions.add(version)
        machines += [re.sub(r"^manylinux_\d+_\d+_", "", one.platform) for one in tags]
    (version,) = versions
    fits = " or ".join(f'platform_machine == "{one}"' for one in machines)
    cpython = 'sys_platform == "linux" and implementation_name == "cpython"'
    return f"sealyard-native=={version}; {cpython} and ({fits})"


def source(folder: Path, built: Path) -> None:
    """Copy what the distributions are built of, so that they ask for the native wheels in `built`.

    A checkout asks for none: it is installed where no wheel is, and before the name is ours on an
    index, which would give anybody's.
    """
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    kept = (
        one.lstrip("/") for one in told["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    )
    for one in _said("git", "ls-files", "--", "pyproject.toml", ".gitignore", *kept).splitlines():
        (folder / one).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / one, folder / one)
    file = folder / "pyproject.toml"
    head, begin, rest = re.split("(\ndependencies = .*\n)", file.read_text("utf-8"), maxsplit=1)
    file.write_text(f"{head}{begin}  '{native(built)}',\n{rest}", "utf-8")


def finish(folder: Path) -> None:
    """Add to the distributions in the folder what a release has besides."""
    at = int(os.environ["SOURCE_DATE_EPOCH"])
    chart.pack(ROOT / "helm" / "sealyard", folder, at, addresses())
    pages = {str(x.relative_to(ROOT)): x.read_bytes() for x in (ROOT / "docs").rglob("*.md")}
    name = f"sealyard-docs-{__version__}"
    archive.write(folder / f"{name}.tar.gz", name, pages, at)
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
    """Run one of them; return the exit status."""
    found: list[str] = []
    if action == "check":
        found = [*check(*arguments), *floors.found()]
    elif action == "prepare":
        prepare(*arguments)
    elif action == "tag":
        found = tag(*arguments)
    elif action == "source":
        source(*map(Path, arguments))
    elif action == "finish":
        finish(Path(*arguments))
    else:
        found = compare(*map(Path, arguments))
    for sentence in found:
        print(f"release: {sentence}", file=sys.stderr)  # noqa: T201 - the result
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
