"""`./dev nightly` runs a part again once a file that it loads has changed, and not before."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests import nightly, suite
from tests.nightly import Result
from tests.parts import COMMON, PARTS, ROOT, Part, Selection

PART = Part("own", 1, Selection(("tests/own",)), ("docs",))
FILES = {
    "dev": "",
    "docs/page.md": "page",
    "tests/conftest.py": "",
    "tests/elsewhere/conftest.py": "from tools import deep\n",
    "tests/elsewhere/rig.py": "import tests.elsewhere.data\nRUN = ['-m', 'tools.server']\n",
    "tests/elsewhere/data.py": "",
    "tests/elsewhere/kept/keys.json": "{}",
    "tests/elsewhere/other.py": "",
    "tests/own/test_a.py": "from ..elsewhere.rig import RUN\nfrom tests.own import more\n",
    "tests/own/more.py": "",
    "tests/own/data.json": "{}",
    "tools/__init__.py": "",
    "tools/deep.py": "",
    "tools/server/__main__.py": "",
    "tools/unused.py": "",
}


def git(root: Path, *arguments: str) -> str:
    who = {f"GIT_{one}": "t@localhost" for one in ("AUTHOR_NAME", "AUTHOR_EMAIL")}
    who |= {f"GIT_{one}": "t@localhost" for one in ("COMMITTER_NAME", "COMMITTER_EMAIL")}
    done = subprocess.run(  # noqa: S603 - git, on a folder of this test
        ["git", *arguments],  # noqa: S607 - wherever it is installed
        cwd=root,
        env={**os.environ, **who},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "begin")
    return tmp_path


def loaded(root: Path) -> set[str]:
    return {*nightly.loads(PART, nightly.tree(root), root)}


def a_result(root: Path) -> Result:
    return Result(
        part=PART.name,
        passed=True,
        told="2 passed",
        commit="abc",
        at="2026-01-02 03:04",
        seconds=1.5,
        python=platform.python_version(),
        definition=nightly.definition(PART),
        loads=nightly.loads(PART, nightly.tree(root), root),
    )


def why_not(root: Path, result: Result | None, part: Part = PART) -> str:
    return nightly.why_not(part, result, nightly.loads(part, nightly.tree(root), root))


def test_a_part_loads_its_paths_all_that_its_modules_name_and_the_data_beside_them(
    root: Path,
) -> None:
    assert loaded(root) == FILES.keys() - {"tests/elsewhere/other.py", "tools/unused.py"}


def test_a_result_counts_until_a_file_that_it_loads_changes(root: Path) -> None:
    result = a_result(root)
    assert why_not(root, result) == ""

    (root / "tools" / "unused.py").write_text("x = 1\n")
    (root / "tests" / "elsewhere" / "new.py").touch()
    assert why_not(root, result) == ""

    (root / "tests" / "own" / "data.json").write_text("[]")
    (root / "tests" / "own" / "test_new.py").touch()
    assert why_not(root, result) == "changed since: tests/own/data.json and 1 more"

    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "change")
    assert why_not(root, result).startswith("changed since: ")
    git(root, "checkout", "--quiet", "HEAD~", "--", "tests/own/data.json")
    (root / "tests" / "own" / "test_new.py").unlink()
    assert why_not(root, result) == ""

    (root / "docs" / "page.md").unlink()
    assert why_not(root, result) == "changed since: docs/page.md"


def test_figures_that_a_run_wrote_make_no_part_due(root: Path) -> None:
    result = a_result(root)
    (root / "docs" / "scorecard.md").write_text("a new figure")
    (root / "docs" / "assets").mkdir()
    (root / "docs" / "assets" / "benchmarks.json").write_text("{}")
    assert why_not(root, result) == ""


def test_to_look_at_the_files_changes_nothing_in_the_repository(root: Path) -> None:
    (root / "docs" / "new.md").write_text("new")
    before = git(root, "status", "--porcelain"), git(root, "count-objects")

    assert "docs/new.md" in nightly.tree(root)

    assert (git(root, "status", "--porcelain"), git(root, "count-objects")) == before


def test_other_results_do_not_count(root: Path) -> None:
    result = a_result(root)

    assert why_not(root, None) == "has not run"
    assert why_not(root, replace(result, passed=False)) == "failed"
    assert why_not(root, replace(result, python="3.9.1")) == "ran with Python 3.9.1"
    slower = replace(PART, runs=Selection(("tests/own",), slow=True))
    assert why_not(root, result, slower) == "is another part now"


def test_a_result_comes_back_as_it_was_kept(root: Path, tmp_path: Path) -> None:
    result = a_result(root)
    result.write(tmp_path / "results")

    assert nightly.read(PART, tmp_path / "results") == result
    assert nightly.read(PART, tmp_path) is None


def test_what_was_kept_counts_where_the_part_has_not_run(
    monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(nightly, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(nightly, "ROOT", root)
    monkeypatch.setattr(nightly, "KEPT", root / ".ci" / "nightly")
    failing = replace(PART, name="failing")
    monkeypatch.setattr(nightly, "PARTS", (PART, failing, replace(PART, name="missing")))
    here = a_result(root)
    here.write(tmp_path / "results")
    replace(here, part="failing", passed=False).write(tmp_path / "results")
    assert nightly.main(["--keep"]) == 0
    monkeypatch.setattr(nightly, "RESULTS", tmp_path / "elsewhere")

    kept = nightly.read(PART)
    assert kept is not None
    assert replace(kept, loads={}) == replace(here, loads={})
    assert why_not(root, kept) == ""
    assert nightly.read(failing) is None
    (root / "dev").write_text("changed")
    assert why_not(root, kept) == "changed since abc"
    replace(here, passed=False).write(tmp_path / "elsewhere")
    assert why_not(root, nightly.read(PART)) == "failed"


def test_the_status_has_a_line_for_each_part(
    monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(nightly, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(nightly, "ROOT", root)
    monkeypatch.setattr(nightly, "PARTS", (PART, replace(PART, name="other", named=True)))
    skips = ["2 skipped: no node (tests/own/test_a.py)"]
    replace(a_result(root), skips=skips).write(tmp_path / "results")

    heading, own, skipped, other = nightly.status(nightly.tree(root))

    assert heading.split() == ["part", "result", "commit", "seconds", "counts"]
    assert own.split() == ["own", "passed", "abc", "2", "counts"]
    assert skipped == "  2 skipped: no node (tests/own/test_a.py)"
    assert other.split() == ["other", "-", "-", "-", "has", "not", "run;", "runs", "when", "named"]


def run(
    monkeypatch: pytest.MonkeyPatch, root: Path, *arguments: str, exits: int = 0
) -> tuple[int, list[str]]:
    """Run the command with three parts, each a command that exits so; return which ran."""
    ran: list[str] = []
    for name in ("one", "two", "three"):
        (root / name).write_text(f"echo {name} >>ran; exit {exits}")
    (root / "dev").write_text('#!/bin/sh\n[ "$REQUIRE_RUNTIME" = 1 ] && sh "$1"\n')
    (root / "dev").chmod(0o755)
    made = [
        Part(name, 1, (name,), (name,), named=name == "three") for name in ("one", "two", "three")
    ]
    monkeypatch.setattr(nightly, "PARTS", tuple(made))
    monkeypatch.setattr(nightly, "ROOT", root)
    monkeypatch.setattr(nightly, "RESULTS", root / "build")
    monkeypatch.setattr(suite, "forms", lambda: ("native", "python"))
    monkeypatch.setenv("REQUIRE_RUNTIME", "")
    (root / ".gitignore").write_text("/ran\n/build\n")
    status = nightly.main(arguments)
    if (log := root / "ran").exists():
        ran = log.read_text().split()
        log.unlink()
    return status, ran


def test_what_counts_is_skipped_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    assert run(monkeypatch, root) == (0, ["one", "two"])
    assert run(monkeypatch, root) == (0, [])
    assert run(monkeypatch, root, "three", "one") == (0, ["three", "one"])
    assert run(monkeypatch, root, exits=1) == (1, ["one", "two"])
    assert run(monkeypatch, root, exits=1) == (1, ["one", "two"])
    assert run(monkeypatch, root, "--status") == (0, [])
    with pytest.raises(SystemExit):
        run(monkeypatch, root, "four")


def test_what_a_part_changes_under_itself_does_not_count(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    def ended(_: Part) -> tuple[str, list[str]]:
        (root / "docs" / "page.md").write_text("new")
        return "ended well", []

    monkeypatch.setattr(nightly, "_ended", ended)
    monkeypatch.setattr(nightly, "ROOT", root)

    result = nightly.run(PART)

    assert (result.passed, result.told) == (False, "a file that it loads has changed while it ran")
    assert result.commit.isalnum()


def test_a_part_runs_its_tests_in_its_own_form(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def noted(_tests: Selection, _scratch: Path, form: str) -> suite.Log:
        ran.append(form)
        return suite.Log(ran=1)

    monkeypatch.setattr(suite, "beside", noted)
    monkeypatch.setattr(suite, "alone", noted)
    monkeypatch.setattr(nightly, "_dev", lambda *_: None)
    for part in PARTS:
        if isinstance(part.runs, Selection):
            nightly._ended(part)
            assert ran == ["python" if part.name.startswith("python-") else "native"] * 2
            ran.clear()


def test_a_part_whose_tests_are_all_skipped_has_not_passed(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    skipped = suite.Log(ran=2, skipped={"tests/own/test_a.py: no node": 2})
    monkeypatch.setattr(suite, "beside", lambda *_: skipped)
    monkeypatch.setattr(suite, "alone", lambda *_: suite.Log())
    monkeypatch.setattr(nightly, "_dev", lambda *_: None)
    monkeypatch.setattr(nightly, "ROOT", root)

    result = nightly.run(PART)

    assert (result.passed, result.told) == (False, "all of its tests were skipped.")


def test_a_result_tells_what_was_skipped(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    skipped = suite.Log(ran=3, skipped={"tests/own/test_a.py: no node": 2})
    monkeypatch.setattr(suite, "beside", lambda *_: skipped)
    monkeypatch.setattr(suite, "alone", lambda *_: suite.Log())
    monkeypatch.setattr(nightly, "_dev", lambda *_: None)
    monkeypatch.setattr(nightly, "ROOT", root)

    result = nightly.run(PART)

    assert result.passed
    assert result.skips == ["2 skipped: no node (tests/own/test_a.py)"]


def test_each_part_names_what_is_there_and_its_time_is_bounded() -> None:
    files = nightly.tree()
    always = {one for one in COMMON if (ROOT / one).is_file()}
    imported = nightly._imported(ROOT, "tests/conftest.py", files)
    always |= {*imported} - {"tests/__init__.py"}  # which is empty
    assert always <= {*nightly.loads(Part("bare", 1, ("demo",)), files)}  # and all load as much
    for part in PARTS:
        paths = (*part.loads, *(part.runs.paths if isinstance(part.runs, Selection) else ()))
        assert [one for one in paths if not (ROOT / one).exists()] == [], part.name
    assert len({one.name for one in PARTS}) == len(PARTS)
    assert sum(part.minutes for part in PARTS if not part.named) <= 230
