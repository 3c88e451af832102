"""Run all tests, say truthfully how they ended, and what was skipped: a part of `./dev test`.

Tests with servers share ports and processors with the tests beside them, so one that failed there
is run again by itself and must pass then. That is done only where pytest itself ended with status
1, "some tests failed". After any other end, or without the log that the hooks below write, it is
not known which tests ran: the check ends with the status of pytest.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
_STATUSES: Final = {
    2: "it was interrupted, or could not collect all tests",
    3: "it failed by itself (an internal error)",
    4: "it was called wrongly",
    5: "it found no tests",
}
_PROCESSORS: Final = os.cpu_count() or 1
_MOST_WORKERS: Final = 8
_LONGEST: Final = ("tests/linear/", "tests/openapi/test_schemathesis.py", "tests/soak/")
"""What takes a minute at once: begun last, it would keep all other workers waiting."""
NO_LOG: Final = 3
CRASHED: Final = 3


@dataclass(slots=True)
class Log:
    """What became known of one run: its status, and tests by their ids."""

    status: int = 0
    ran: int = 0
    failed: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)


class Ended(Exception):
    """The check cannot go on; `status` is the one to end with."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


# --- Inside pytest: `-p tests.suite --suite-log FILE` ------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know where the log of the run shall be."""
    parser.addoption("--suite-log", type=Path, help="write there how the tests ended")


def pytest_configure(config: pytest.Config) -> None:
    """Keep a log in the process that hears of all tests, not in the workers of xdist."""
    file = config.getoption("--suite-log")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Logger(file))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, behind what puts all of them into a random order."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


class _Logger:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._log = Log()
        self._skipped: Counter[str] = Counter()
        self._failed: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self._log.ran += 1
        if report.failed:
            self._failed[report.nodeid] = None
        elif report.skipped and not hasattr(report, "wasxfail"):
            self._skip(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skip(report)

    def _skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        where = report.nodeid.partition("::")[0]
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self._skipped[f"{where}: {reason.removeprefix('Skipped: ')}"] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        self._log.crashed.append(crashitem)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._log.status = int(exitstatus)
        self._log.failed = list(self._failed)
        self._log.skipped = dict(self._skipped)
        self._file.write_text(json.dumps(asdict(self._log)), encoding="utf-8")


# --- Outside of it -----------------------------------------------------------------------------


def run(arguments: Sequence[str], folder: Path, scratch: Path) -> Log:
    """Run pytest in `folder` and return its log, with status 0 or 1; raise Ended after all else."""
    file = scratch / "log.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "tests.suite", "--suite-log", str(file)]
    # A cache of its own: what failed in another run is not run again in this one's name.
    command += ["-o", f"cache_dir={scratch / 'cache'}", *arguments]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(  # noqa: S603 - pytest, with arguments of this file
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    return _judged(done.returncode, file)


def _judged(status: int, file: Path) -> Log:
    if status < 0:
        name = signal.Signals(-status).name
        raise Ended(128 - status, f"pytest was killed by {name}; which tests ran is not known.")
    if status > 1:
        raise Ended(
            status, f"pytest ended with status {status}: {_STATUSES.get(status, 'unknown')}."
        )
    if not file.exists():
        raise Ended(NO_LOG, f"pytest ended with status {status} and left no log of its tests.")
    log = Log(**json.loads(file.read_text(encoding="utf-8")))
    if log.crashed:
        raise Ended(CRASHED, f"a worker of pytest crashed in {', '.join(log.crashed)}.")
    if log.status != status or (status == 1 and not log.failed):
        raise Ended(NO_LOG, f"pytest ended with status {status}, and its log says otherwise.")
    return log


def run_with_retry(
    arguments: Sequence[str], alone: Sequence[str], folder: Path, scratch: Path
) -> Log:
    """Run pytest with `arguments`; what failed is run again with `alone`, and must pass then."""
    log = run(arguments, folder, scratch)
    if log.status == 0:
        return log
    say(f"== {len(log.failed)} failed beside others: once more, by themselves")
    again = run([*alone, "--last-failed", "--last-failed-no-failures", "none"], folder, scratch)
    if again.status != 0:
        raise Ended(again.status, f"{len(again.failed)} tests failed, also by themselves.")
    if again.ran < len(log.failed):
        raise Ended(1, f"of {len(log.failed)} tests that failed, only {again.ran} ran again.")
    say("Failed beside others, passed by themselves:", *log.failed)
    return log


def say(*lines: str) -> None:
    """Print lines at once: what pytest prints comes between them."""
    print(*lines, sep="\n  ", flush=True)  # noqa: T201 - a command's output


def _skips(logs: Sequence[Log]) -> list[str]:
    reasons: Counter[str] = Counter()
    files: dict[str, dict[str, None]] = {}
    for log in logs:
        for text, count in log.skipped.items():
            where, _, reason = text.partition(": ")
            reasons[reason] += count
            files.setdefault(reason, {})[where] = None
    return [
        f"{count} skipped: {reason} ({', '.join(files[reason])})"
        for reason, count in reasons.most_common()
    ]


def main() -> None:
    """Run the core's tests with their coverage, then all others; end with 0 only if all passed."""
    with TemporaryDirectory() as scratch:
        try:
            logs = [_core(Path(scratch)), _others(Path(scratch))]
        except Ended as end:
            say(f"dev: {end}")
            sys.exit(end.status)
    say(f"== {sum(log.ran for log in logs)} tests passed or were skipped", *_skips(logs))


def _core(scratch: Path) -> Log:
    say("== tests of the core")
    beside = ["--numprocesses", str(_PROCESSORS)]
    log = run(["tests/core", *beside, "--cov", "--cov-report="], ROOT, scratch)
    if log.status:
        raise Ended(log.status, f"{len(log.failed)} tests of the core failed.")
    _covered()
    return log


def _others(scratch: Path) -> Log:
    """Run the tests with servers: most of their time they wait, so two share a processor."""
    say("== all other tests")
    chosen = ["--ignore=tests/core"]
    workers = str(min(2 * _PROCESSORS, _MOST_WORKERS))
    return run_with_retry(
        [*chosen, "--numprocesses", workers, "--dist", "worksteal"], chosen, ROOT, scratch
    )


def _covered() -> None:
    """Coverage is asked of the core alone, by its own tests: elsewhere it costs too much time."""
    report = ["report", "--show-missing", "--skip-covered", "--fail-under=100"]
    done = subprocess.run(  # noqa: S603 - coverage, on this repository
        [sys.executable, "-m", "coverage", *report], cwd=ROOT, check=False
    )
    if done.returncode:
        raise Ended(done.returncode, "the core's own tests do not run all of it.")


if __name__ == "__main__":
    main()
