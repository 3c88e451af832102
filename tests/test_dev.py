"""`./dev` tells the truth of a run of tests, and sets up what the tests under a path need."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import parts, suite
from tests.parts import Form, Selection

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
FOLDERS = sorted(one.name for one in TESTS.iterdir() if one.is_dir() and one.name[0] not in "._")
TWO = "def test_one():\n    pass\ndef test_two():\n    pass\n"
ONCE = """
from pathlib import Path
def test_that_fails_once():
    flag = Path(__file__).with_name("ran")
    if not flag.exists():
        flag.touch()
        assert False
"""
HUNG = """
import threading
from pathlib import Path
def test_that_hangs_once():
    flag = Path(__file__).with_name("hung")
    if not flag.exists():
        flag.touch()
        threading.Event().wait()
"""

HUNG_AGAIN = """
import threading
def test_that_hangs():
    try:
        threading.Event().wait()
    finally:
        threading.Event().wait()
"""


class Tree:
    """A few tests in a folder of their own, and the runs of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tree"
        self._scratch = folder / "scratch"
        for one in (self.folder, self._scratch):
            one.mkdir()
        self.write("pytest.ini", "[pytest]\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def run(self, *arguments: str, form: Form | None = None) -> suite.Log:
        return suite.run_with_retry(arguments, (), self.folder, self._scratch, form)

    def ended(self, *arguments: str) -> suite.Ended:
        with pytest.raises(suite.Ended) as caught:
            self.run(*arguments)
        return caught.value


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they would take seconds to load
    return Tree(tmp_path)


def test_what_passes_has_a_log(tree: Tree) -> None:
    tree.write("test_a.py", TWO + "import pytest\ndef test_three():\n    pytest.skip('no node')\n")

    log = tree.run()

    assert (log.status, log.ran, log.failed) == (0, 3, [])
    assert log.skipped == {"test_a.py: no node": 1}


def test_what_fails_once_must_pass_by_itself_and_is_named(
    tree: Tree, capfd: pytest.CaptureFixture[str]
) -> None:
    tree.write("test_a.py", TWO + ONCE)

    log = tree.run()

    assert log.failed == ["test_a.py::test_that_fails_once"]
    said = "unsteady: failed beside others, passed alone: test_a.py::test_that_fails_once"
    assert suite.unsteady([suite.Log(), log]) == [said]
    assert said in capfd.readouterr().out.splitlines()


def test_a_few_unsteady_tests_pass_and_more_fail_the_check() -> None:
    logs = [suite.Log(failed=["a", "b"]), suite.Log(failed=["c"])]

    suite.require_steady(logs)
    with pytest.raises(suite.Ended) as caught:
        suite.require_steady([*logs, suite.Log(failed=["d"])])

    assert (caught.value.status, caught.value.failed) == (1, 4)


def test_what_fails_twice_has_failed(tree: Tree) -> None:
    tree.write("test_a.py", TWO + "def test_three():\n    assert False\n")

    end = tree.ended()

    assert (end.status, end.failed) == (1, 1)
    assert str(end) == "failed, also by themselves: test_a.py::test_three."


def test_what_hangs_fails_and_lets_the_others_run(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "HUNG_SECONDS", 1)
    tree.write("test_a.py", TWO + HUNG)

    assert tree.run().failed == ["test_a.py::test_that_hangs_once"]


def test_what_hangs_for_ever_ends_the_check(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "HUNG_SECONDS", 1)
    tree.write("test_a.py", TWO + HUNG_AGAIN)

    assert tree.ended().status == suite.NO_LOG


@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [
        ("import os\ndef test_a(): os.kill(os.getpid(), 9)", 137, "killed by SIGKILL"),
        ("def test_a(): raise KeyboardInterrupt", 2, "interrupted"),
        ("import nothing_of_this_name", 2, "could not collect"),
        ("import pytest\ndef test_a(): pytest.exit('bye', returncode=77)", 77, "status 77"),
        ("import os\ndef test_a(): os._exit(0)", suite.NO_LOG, "left no log"),
        ("import os\ndef test_a(): os._exit(1)", suite.NO_LOG, "left no log"),
        ("", 5, "found no tests"),
    ],
    ids=["killed", "interrupted", "not-collected", "exit", "gone-with-0", "gone-with-1", "none"],
)
def test_any_other_end_ends_the_check(tree: Tree, text: str, status: int, sentence: str) -> None:
    # What a run before left as failed passes now: it must not speak for what did not run.
    tree.write("test_a.py", ONCE)
    subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tree.folder, check=False)
    tree.write("test_b.py", text)
    if not text:
        (tree.folder / "test_a.py").unlink()

    end = tree.ended()

    assert end.status == status
    assert sentence in str(end)


@pytest.mark.parametrize(("form", "switch"), [("python", "0"), ("native", None), (None, "x")])
def test_a_run_is_of_one_form_whatever_the_environment_says(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, form: Form | None, switch: str | None
) -> None:
    monkeypatch.setenv(suite.SWITCH, "x")
    tree.write(
        "test_a.py", f"import os\ndef test_a(): assert os.getenv({suite.SWITCH!r}) == {switch!r}"
    )

    assert tree.run(form=form).status == 0


def test_both_forms_are_tested_unless_one_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(suite.SWITCH, raising=False)
    monkeypatch.setattr(suite, "found", lambda: ("native", ""))
    assert suite.forms() == ("native", "python")

    monkeypatch.setenv(suite.SWITCH, "0")
    assert suite.forms() == ("python",)


def test_ci_does_not_pass_without_the_native_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_RUNTIME", "1")
    monkeypatch.delenv(suite.SWITCH, raising=False)
    monkeypatch.setattr(suite, "found", lambda: ("python", "not installed"))

    with pytest.raises(suite.Ended) as caught:
        suite.forms()

    assert caught.value.status == suite.NO_NATIVE


def test_the_closing_line_counts_what_passed_failed_and_was_skipped() -> None:
    logs = [suite.Log(ran=5, skipped={"test_a.py: no node": 2}), suite.Log(ran=4)]

    assert suite.closing(logs, 0, 61.2) == "7 passed, 0 failed, 2 skipped in 61 s"


def test_the_files_whose_tests_take_longest_are_told() -> None:
    logs = [
        suite.Log(seconds={"a.py": 2.0, "b.py": 0.4}),
        suite.Log(seconds={"c.py": 3.0, "a.py": 2}),
    ]
    assert suite.dearest(logs) == ["4 s in a.py", "3 s in c.py"]


def test_checks_run_beside_and_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dev").write_text("#!/bin/sh\necho said by $1\nexit $1\n")
    (tmp_path / "dev").chmod(0o755)
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    with suite.Checks(["0"], ["0"]) as checks:
        pass
    assert checks.passed().ran == 2

    with suite.Checks(["3"], ["0"], ["4"]) as checks, pytest.raises(suite.Ended) as caught:
        checks.passed()

    told = "failed: ./dev 3, ./dev 4.\nsaid by 3\nsaid by 4"
    assert (caught.value.failed, str(caught.value)) == (2, told)


# --- Where each test runs --------------------------------------------------------------------


def test_every_test_runs_in_ci_or_in_a_part_of_the_nightly() -> None:
    runs = [part.runs for part in parts.MOVED]
    moved = [path for one in runs if isinstance(one, Selection) for path in one.paths]

    assert [one for one in moved if not (ROOT / one).exists()] == []
    assert len(moved) == len(set(moved))
    assert parts.SUITES.paths == parts.TIMED.paths == ("tests",)
    assert set(parts.SUITES.without) == {*moved, "tests/core"}
    assert set(parts.TIMED.without) == {*moved}
    assert {*parts.in_ci()} >= {f"tests/{one}" for one in ("core", "scenarios", "test_dev.py")}


def test_tests_of_time_run_alone_after_the_others(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = "import pytest\n@pytest.mark.timing\ndef test_b(): pass\n"
    slow = "@pytest.mark.slow\n@pytest.mark.timing\ndef test_c(): pass\n"
    monkeypatch.setattr(parts, "ROOT", tree.folder)
    tree.write("pytest.ini", "[pytest]\nmarkers =\n  timing\n  slow\n")
    tree.write("test_a.py", TWO)
    tree.write("test_b.py", marked + slow)
    (tree.folder / "left_out").mkdir()
    tree.write("left_out/test_d.py", marked)
    tests = Selection((".",), ("left_out",))

    assert tree.run(*tests.beside()).ran == 2
    assert tests.alone() == ["test_b.py", "-m", "timing and not slow"]
    assert tree.run(*tests.alone()).ran == 1
    assert tree.run(*replace(tests, slow=True).alone()).ran == 2
    assert Selection(("test_a.py",)).alone() == []


def test_a_wrong_option_ends_the_check(tree: Tree) -> None:
    tree.write("test_a.py", TWO)

    assert tree.ended("--no-such-option").status == 4


def test_an_error_inside_pytest_ends_the_check(tree: Tree) -> None:
    tree.write("test_a.py", TWO)
    tree.write("conftest.py", "def pytest_runtestloop():\n    raise ValueError\n")

    assert tree.ended().status == 3


def test_a_worker_that_crashes_ends_the_check(tree: Tree) -> None:
    tree.write("test_a.py", TWO + ONCE)
    tree.write("test_b.py", "import os\ndef test_b(): os.kill(os.getpid(), 9)")

    end = tree.ended("-p", "xdist", "--numprocesses", "2")

    assert end.status == suite.CRASHED
    assert "test_b.py::test_b" in str(end)


# --- What the tests under a path need --------------------------------------------------------


def needs() -> dict[str, set[str]]:
    """Return for each folder of tests what `needs_of` in ./dev says."""
    script = (ROOT / "dev").read_text(encoding="utf-8")
    function = re.search(r"^needs_of\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL)
    assert function is not None
    loop = 'for one in "$@"; do echo "$one" $(needs_of "tests/$one"); done'
    done = subprocess.run(  # noqa: S603 - a function of this repository
        ["/bin/sh", "-c", f"{function.group()}\n{loop}", "sh", *FOLDERS],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: set(rest) for name, *rest in map(str.split, done.stdout.splitlines())}


def environments(folder: Path) -> set[str]:
    """Return what the files in a folder of tests name beside .venv."""
    text = "\n".join(one.read_text(encoding="utf-8") for one in folder.rglob("*.py"))
    named = set(re.findall(r"\.venv-(\w+)", text))
    if "node_modules" in text:
        locks = [
            one for one in folder.rglob("package-lock.json") if "node_modules" not in one.parts
        ]
        named |= {str(one.parent.relative_to(ROOT)) for one in locks}
    return named


def test_dev_sets_up_what_the_tests_of_a_folder_use() -> None:
    assert {name: environments(TESTS / name) for name in FOLDERS} == needs() | {
        # Their tests use the backends of others: the Express of tests/bypass, those of acceptance.
        "acceptance": environments(TESTS / "acceptance"),
        "fuzz_backends": set(),
        "searches": set(),
    }


BLOCKER = """
import importlib, sys
allowed, wanted = sys.argv[1].split(), sys.argv[2].split()
class Blocker:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        known = root in allowed or root in sys.stdlib_module_names or root[0] == "_"
        if path is None and not known:
            raise ImportError(f"{root} is not in tests/core/requirements-core.lock")
sys.meta_path.insert(0, Blocker())
for name in wanted:
    importlib.import_module(name)
"""


def test_the_tests_of_the_core_import_what_their_lock_names() -> None:
    lock = (TESTS / "core" / "requirements-core.lock").read_text(encoding="utf-8")
    locked = {one.replace("-", "_") for one in re.findall(r"^([a-z0-9-]+)", lock, re.MULTILINE)}
    inside = {"proxy", "tests", "tools", "yaml", "py", "sealyard_native"}
    texts = [one.read_text(encoding="utf-8") for one in (TESTS / "core").rglob("*.py")]
    texts.append((TESTS / "factories.py").read_text(encoding="utf-8"))
    imports = re.findall(
        r"^(?:from|import) ([\w.]+)( import \w+$)?", "\n".join(texts), re.MULTILINE
    )
    # `from fuzz import targets` imports a module; a test is not imported for another's helpers.
    wanted = {name for name, _ in imports if not name.startswith("tests.core")}
    wanted |= {f"tools.fuzz.{one.stem}" for one in (ROOT / "tools" / "fuzz").glob("targets.py")}

    subprocess.run(  # noqa: S603 - Python, with modules of this repository
        [sys.executable, "-c", BLOCKER, " ".join(locked | inside), " ".join(sorted(wanted))],
        cwd=ROOT,
        check=True,
    )


def packages() -> list[list[str]]:
    lines = (ROOT / ".ci" / "packages").read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def test_what_uses_a_debian_package_exists() -> None:
    commands = {"fuzz-backends", "fuzz-native", "bench", "overload", "all"}
    for package, _, *users in packages():
        assert users, package
        for user in users:
            assert user in commands or (ROOT / user).exists(), (package, user)
