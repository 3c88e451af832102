"""`./dev nightly [--status | --keep] [PART...]`: what takes too long for CI, part by part.

A part that passed is not run again until a file that it loads has changed, committed or not; its
result is in build/nightly. So a run that was ended goes on where it was, and a change runs again
what it can break. A part that is named runs whatever its result was; some run only so.

`--keep` writes the results that count to .ci/nightly. Committed, they count on any machine.
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests import suite
from tests.parts import COMMON, PARTS, ROOT, Part, Selection
from tests.suite import say

RESULTS: Final = ROOT / "build" / "nightly"
KEPT: Final = ROOT / ".ci" / "nightly"
FIGURES: Final = (
    "docs/assets",
    "docs/benchmarks.md",
    "docs/explanation/bypass.md",
    "docs/explanation/overload.md",
    "docs/scorecard.md",
    "tools/scorecard/records",
)
"""What runs write: a new figure makes no part due, and CI holds pages to records."""
_MODULE: Final = re.compile(r"[a-z_]\w*(\.\w+)+")
_SHORT: Final = 10
Files = Mapping[str, str]
"""Each file of the working tree by its path, with git's hash of what is in it."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a part ended, at which commit (with `+` if there were changes beside it), and on what.

    `loads` has a hash for each file that it loaded, or the hash of them all if it was kept; `skips`
    has a line for each reason for which tests were skipped.
    """

    part: str
    passed: bool
    told: str
    commit: str
    at: str
    seconds: float
    python: str
    definition: str
    loads: Files | str
    skips: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Keep it, in place of the one before."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.part}.json"
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read(part: Part, folder: Path | None = None) -> Result | None:
    """Return the last result of a part here; without one, that which was kept."""
    for place in (RESULTS, KEPT) if folder is None else (folder,):
        file = place / f"{part.name}.json"
        if file.exists():
            return Result(**json.loads(file.read_text(encoding="utf-8")))
    return None


def keep(files: Files) -> int:
    """Write the results that count to `KEPT`, and no others; return how many there are."""
    counting = []
    for part in PARTS:
        result, now = read(part), loads(part, files)
        if result is not None and not why_not(part, result, now):
            counting.append(replace(result, loads=_digest(now)))
    shutil.rmtree(KEPT, ignore_errors=True)
    for result in counting:
        result.write(KEPT)
    return len(counting)


def _digest(files: Files) -> str:
    """Return one hash of all hashes."""
    lines = "".join(f"{path}\0{files[path]}\n" for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


# --- What a part loads -------------------------------------------------------------------------


def tree(root: Path | None = None) -> dict[str, str]:
    """Return each file that git knows or would add, as it is now; the repository stays as it is."""
    root = root or ROOT
    with TemporaryDirectory() as scratch:
        index, objects = Path(scratch, "index"), Path(scratch, "objects")
        objects.mkdir()
        shutil.copy(root / _git(root, "rev-parse", "--git-path", "index").strip(), index)
        stored = root / _git(root, "rev-parse", "--git-path", "objects").strip()
        environment = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(stored.resolve()),
        }
        _git(root, "add", "--all", environment=environment)
        listed = _git(root, "ls-files", "--stage", "-z", environment=environment)
    found = {}
    for line in filter(None, listed.split("\0")):
        head, _, path = line.partition("\t")
        mode, blob, _ = head.split()
        found[path] = f"{mode} {blob}"
    return found


def _git(root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(  # noqa: S603 - git, on this repository
        ["git", *arguments],  # noqa: S607 - wherever it is installed
        cwd=root,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def loads(part: Part, files: Files, root: Path | None = None) -> dict[str, str]:
    """Return the files that a part loads: those under its paths, and all that these import.

    A module may read any file beside it, or below it where there is no other module.
    """
    tests = part.runs.paths if isinstance(part.runs, Selection) else ()
    loaded: set[str] = set()
    beside = _beside(files)
    todo = [one for one in files if _is_under(one, (*COMMON, *part.loads, *tests))]
    while todo:
        path = todo.pop()
        if path in loaded:
            continue
        loaded.add(path)
        if path.endswith(".py") and not _is_under(path, COMMON):
            todo += _imported(root or ROOT, path, files)
            todo += beside.pop(Path(path).parent, [])
    return {path: files[path] for path in sorted(loaded) if not _is_under(path, FIGURES)}


def _is_under(path: str, places: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in places)


def _beside(files: Files) -> dict[Path, list[str]]:
    """Return the files that are neither modules nor pages, by the nearest folder of modules."""
    homes = {Path(path).parent for path in files if path.endswith(".py")}
    found: dict[Path, list[str]] = {}
    for path in files:
        home = next((one for one in Path(path).parents if one in homes), None)
        if home is not None and not path.endswith((".py", ".md")):
            found.setdefault(home, []).append(path)
    return found


def _imported(root: Path, path: str, files: Files) -> Iterator[str]:
    """Give the files of the modules that one names, and the conftest.py files above it."""
    yield from (one for above in Path(path).parents if (one := str(above / "conftest.py")) in files)
    for name in _named(root / path, path, files[path]):
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            module = "/".join(parts[:end])
            ways = (f"{module}.py", f"{module}/__init__.py", f"{module}/__main__.py")
            yield from (one for one in ways if one in files)


@functools.cache
def _named(file: Path, path: str, _content: str) -> frozenset[str]:
    """Return the dotted names that a module imports, and those that it has in texts, as for -m."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                found |= {one.name for one in node.names}
            case ast.ImportFrom():
                above = path.split("/")[: -node.level] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                found |= {f"{base}.{one.name}" for one in node.names}
            case ast.Constant(value=str(text)) if _MODULE.fullmatch(text):
                found.add(text)
    return frozenset(found)


# --- Whether a result counts -------------------------------------------------------------------


def why_not(part: Part, result: Result | None, now: Files) -> str:
    """Return why the result of a part does not count for what it loads now; nothing if it does."""
    if result is None:
        return "has not run"
    if not result.passed:
        return "failed"
    if result.definition != definition(part):
        return "is another part now"
    if result.python != platform.python_version():
        return f"ran with Python {result.python}"
    if isinstance(result.loads, str):
        return "" if result.loads == _digest(now) else f"changed since {result.commit}"
    changed = [
        one for one in sorted({*result.loads, *now}) if result.loads.get(one) != now.get(one)
    ]
    others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"changed since: {changed[0]}{others}" if changed else ""


def definition(part: Part) -> str:
    """Return what a part runs, as a text to compare."""
    return f"{part.form} {part.runs}"


def status(files: Files) -> Iterator[str]:
    """Give a line for each part: result, commit, seconds, and whether it counts.

    Below it is a line for each reason for which tests of it were skipped.
    """
    yield f"{'part':<16}{'result':<8}{'commit':<12}{'seconds':>8}  counts"
    for part in PARTS:
        result = read(part)
        reason = why_not(part, result, loads(part, files))
        ended = ("-", "-", "-")
        if result is not None:
            ended = (
                "passed" if result.passed else "failed",
                result.commit,
                f"{result.seconds:.0f}",
            )
        only = "; runs when named" if part.named else ""
        yield f"{part.name:<16}{ended[0]:<8}{ended[1]:<12}{ended[2]:>8}  {reason or 'counts'}{only}"
        if result is not None:
            yield from (f"  {one}" for one in result.skips)


# --- Running -----------------------------------------------------------------------------------


def run(part: Part) -> Result:
    """Run a part and return its result."""
    before, began = tree(), time.monotonic()
    head, dirty = _git(ROOT, "rev-parse", "HEAD").strip(), _git(ROOT, "status", "--porcelain")
    skips: list[str] = []
    try:
        told, skips = _ended(part)
        passed = True
    except suite.Ended as end:
        passed, told = False, str(end)
    loaded = loads(part, before)
    if passed and loads(part, tree()) != loaded:
        passed, told = False, "a file that it loads has changed while it ran"
    return Result(
        part.name,
        passed,
        told,
        head[:_SHORT] + ("+" if dirty else ""),
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M}",
        round(time.monotonic() - began, 1),
        platform.python_version(),
        definition(part),
        loaded,
        skips,
    )


def _ended(part: Part) -> tuple[str, list[str]]:
    """Run a part and return how it ended well, and its skips; raise Ended otherwise."""
    if not isinstance(part.runs, Selection):
        _dev(*part.runs, form=part.form)
        return "ended well", []
    _dev("setup", *part.runs.paths)
    began = time.monotonic()
    with TemporaryDirectory() as scratch:
        logs = [
            suite.beside(part.runs, Path(scratch), part.form),
            suite.alone(part.runs, Path(scratch), part.form),
        ]
    skips = suite.skips(logs)
    say(*skips)
    if sum(log.ran - sum(log.skipped.values()) for log in logs) <= 0:
        raise suite.Ended(suite.NO_TESTS, "all of its tests were skipped.")
    return suite.closing(logs, 0, time.monotonic() - began), skips


def _dev(*arguments: str, form: str = "native") -> None:
    switch = {suite.SWITCH: "0"} if form == "python" else {}
    done = subprocess.run(  # noqa: S603 - a command of this repository
        [ROOT / "dev", *arguments], cwd=ROOT, env={**os.environ, **switch}, check=False
    )
    if done.returncode:
        raise suite.Ended(
            done.returncode, f"./dev {' '.join(arguments)} ended with status {done.returncode}."
        )


def main(arguments: Sequence[str]) -> int:
    """Return 1 if a part failed, 2 for wrong arguments."""
    parser = argparse.ArgumentParser("./dev nightly", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--status", action="store_true", help="print the result of each part")
    parser.add_argument("--keep", action="store_true", help="write those that count, to commit")
    parser.add_argument("parts", nargs="*", metavar="PART", help="these parts alone")
    chosen = parser.parse_args(arguments)
    known = {one.name: one for one in PARTS}
    if unknown := [one for one in chosen.parts if one not in known]:
        parser.error(f"there is no part {', '.join(unknown)}; parts: {', '.join(known)}")
    if chosen.status:
        say(*status(tree()))
        return 0
    if chosen.keep:
        say(f"{keep(tree())} results count; they are in {KEPT.relative_to(ROOT)}")
        return 0
    if suite.forms()[0] != "native":
        parser.error("the parts need the native form of Sealyard")
    # As in CI, a tool that is missing fails the tests that use it, rather than skip them.
    os.environ["REQUIRE_RUNTIME"] = "1"
    parts = [known[one] for one in chosen.parts] or [one for one in PARTS if not one.named]
    ended = [_result(part, again=bool(chosen.parts)) for part in parts]
    say(*status(tree()))
    failed = [one.part for one in ended if not one.passed]
    names = f": {', '.join(failed)}" if failed else ""
    say(f"{len(ended) - len(failed)} parts passed, {len(failed)} failed{names}")
    return int(bool(failed))


def _result(part: Part, *, again: bool) -> Result:
    before = read(part)
    if before and not again and not why_not(part, before, loads(part, tree())):
        say(f"== {part.name}: counts, from {before.commit}")
        return before
    say(f"== {part.name}: about {part.minutes:g} minutes")
    result = run(part)
    result.write(RESULTS)
    say(f"== {part.name}: {'passed' if result.passed else 'failed'}; {result.told}")
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
