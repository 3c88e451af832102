"""Run all tests, say truthfully how they ended, and what was skipped: a part of `./dev test`.

Sealyard has two forms, with the native leaves and without (`proxy/core/leaves`). Every test runs
in the native form, as most installations do, and those that a message of theirs could fail in one
form alone run in the Python form too: `ONCE` lists the others. `SEALYARD_NATIVE=0 ./dev test` runs
every test in the Python form.

Tests with servers share ports and processors with the tests beside them, so one that failed there
is run again by itself and must pass then. That is done only where pytest itself ended with status
1, "some tests failed". After any other end, or without the log that the hooks below write, it is
not known which tests ran: the check ends with the status of pytest.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import pytest

ROOT: Final = Path(__file__).parents[1]
_STATUSES: Final = {
    2: "it was interrupted, or could not collect all tests",
    3: "it failed by itself (an internal error)",
    4: "it was called wrongly",
    5: "it found no tests",
}
HUNG_SECONDS: Final = 900
"""A test that takes longer fails and tells where it stood, rather than hold up all of CI."""
_STDERR: Final = os.dup(2)
"""That of the process, before pytest captures it."""
_PROCESSORS: Final = os.cpu_count() or 1
_MOST_WORKERS: Final = 8
Form = Literal["native", "python"]
ONCE: Final = {
    "acceptance": "real servers, for minutes: tests/scenarios sends the same kinds of messages",
    "admin": "the admin API has no leaves of its own, and seals by what tests/keys runs",
    "bench": "the benchmark itself",
    "browser": "a browser, for minutes: its messages are those of tests/scenarios",
    "bypass": "ten real servers, for minutes: tests/smuggling sends the same kinds of requests",
    "chart": "manifests and charts",
    "cli": "commands, whose messages are those of tests/core",
    "cluster": "the suite for a cluster, whose messages are those of tests/scenarios",
    "config": "configuration files",
    "demo": "the demo runs in both forms in CI",
    "drills": "disasters of keys and stores, for minutes",
    "faults": "errors at every wait, which no leaf has",
    "flat": "memory over time, measured in the native form",
    "fuzz_backends": "real servers, for a minute: `./dev fuzz` holds that both forms send the same",
    "idle": "a process without messages",
    "injector": "pods and redirects",
    "keys": "keys: tests/archive and tests/contracts open what they write in both forms",
    "openapi": "the admin API",
    "pages": "documentation, whose messages are those of tests/scenarios",
    "process": "the environment of a process",
    "redis": "the store",
    "release": "packages: the forms are chosen where they are installed",
    "scorecard": "the scorecard itself",
    "site": "documentation",
    "soak": "the soak itself",
    "telemetry": "logs and metrics",
    "test_dev.py": "these checks",
    "test_docs.py": "documentation",
    "test_layers.py": "imports",
    "wiring": "what is started and stopped",
}
"""Folders and files of tests that run in the native form alone where there is one, and why."""
_LONGEST: Final = ("tests/linear/", "tests/openapi/test_schemathesis.py", "tests/soak/")
"""What takes a minute at once: begun last, it would keep all other workers waiting."""
SWITCH: Final = "SEALYARD_NATIVE"
NO_LOG: Final = 3
NO_NATIVE: Final = 3
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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """End where the setup hangs, although its time is over."""
    return (yield from _watched(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """End where the test hangs, although its time is over."""
    return (yield from _watched(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """End where the teardown hangs: the time of a test is over only once."""
    return (yield from _watched(item))


def _watched(item: pytest.Item) -> Generator[None, object, object]:
    """Print where all threads stand, and end the process, once a phase takes far too long."""
    seconds = item.config.getoption("timeout", None)
    if not seconds:
        return (yield)
    faulthandler.dump_traceback_later(1.25 * seconds, exit=True, file=_STDERR)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


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


def run(arguments: Sequence[str], folder: Path, scratch: Path, form: Form | None = None) -> Log:
    """Run pytest in `folder` and return its log, with status 0 or 1; raise Ended after all else.

    `form` is that of Sealyard; without it, the environment decides.
    """
    file = scratch / "log.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "tests.suite", "--suite-log", str(file)]
    command += ["-p", "timeout", f"--timeout={HUNG_SECONDS}"]
    # A cache of its own: what failed in another run is not run again in this one's name.
    command += ["-o", f"cache_dir={scratch / 'cache'}", *arguments]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**_environment(form), "PYTHONPATH": path}
    done = subprocess.run(  # noqa: S603 - pytest, with arguments of this file
        command, cwd=folder, env=environment, check=False
    )
    return _judged(done.returncode, file)


def _environment(form: Form | None) -> dict[str, str]:
    others = {name: text for name, text in os.environ.items() if name != SWITCH or form is None}
    return {**others, SWITCH: "0"} if form == "python" else others


def forms() -> tuple[Form, ...]:
    """Return the forms that can be tested here; raise Ended if CI has no native one."""
    if os.environ.get(SWITCH) == "0":
        return ("python",)
    form, reason = found()
    if form == "native":
        return ("native", "python")
    if "REQUIRE_RUNTIME" in os.environ:
        raise Ended(NO_NATIVE, f"the native part is required here, and it is {reason}.")
    say(f"== without the native part: it is {reason}")
    return ("python",)


def found() -> tuple[str, str]:
    """Return the form that Sealyard chooses here, and why, as another process: coverage begins."""
    ask = "from proxy.core import leaves; print(leaves.FORM, leaves.REASON)"
    told = subprocess.run(  # noqa: S603 - Python, with the line above
        [sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True
    )
    form, _, reason = told.stdout.strip().partition(" ")
    return form, reason


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
    arguments: Sequence[str],
    alone: Sequence[str],
    folder: Path,
    scratch: Path,
    form: Form | None = None,
) -> Log:
    """Run pytest with `arguments`; what failed is run again with `alone`, and must pass then."""
    log = run(arguments, folder, scratch, form)
    if log.status == 0:
        return log
    say(f"== {len(log.failed)} failed beside others: once more, by themselves")
    again = run(
        [*alone, "--last-failed", "--last-failed-no-failures", "none"], folder, scratch, form
    )
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
            logs = _in_all_forms(Path(scratch))
        except Ended as end:
            say(f"dev: {end}")
            sys.exit(end.status)
    say(f"== {sum(log.ran for log in logs)} tests passed or were skipped", *_skips(logs))


def _in_all_forms(scratch: Path) -> list[Log]:
    chosen = forms()
    logs = [_core(scratch, form, first=form == chosen[0]) for form in chosen]
    _covered()
    return logs + [_others(scratch, form, all_of=form == chosen[0]) for form in chosen]


def _core(scratch: Path, form: Form, *, first: bool) -> Log:
    say(f"== tests of the core, {form} form")
    beside = ["--numprocesses", str(_PROCESSORS), "--cov", "--cov-report="]
    log = run(["tests/core", *beside, *([] if first else ["--cov-append"])], ROOT, scratch, form)
    if log.status:
        raise Ended(log.status, f"{len(log.failed)} tests of the core failed.")
    return log


def _others(scratch: Path, form: Form, *, all_of: bool) -> Log:
    """Run the tests with servers: most of their time they wait, so two share a processor."""
    say(f"== {'all other tests' if all_of else 'other tests with messages'}, {form} form")
    left_out = ["core"] if all_of else ["core", *ONCE]
    chosen = [f"--ignore=tests/{name}" for name in left_out]
    workers = str(min(2 * _PROCESSORS, _MOST_WORKERS))
    return run_with_retry(
        [*chosen, "--numprocesses", workers, "--dist", "worksteal"], chosen, ROOT, scratch, form
    )


def _covered() -> None:
    """Coverage is asked of the core alone, by its own tests: elsewhere it costs too much time.

    A branch of the leaves may belong to one form, so that only both together run all of them.
    """
    report = ["report", "--show-missing", "--skip-covered", "--fail-under=100"]
    done = subprocess.run(  # noqa: S603 - coverage, on this repository
        [sys.executable, "-m", "coverage", *report], cwd=ROOT, check=False
    )
    if done.returncode:
        raise Ended(done.returncode, "the core's own tests do not run all of it.")


if __name__ == "__main__":
    main()
