"""Run what CI runs, say truthfully how it ended, and what was skipped: `./dev test`.

Sealyard has two forms, with the native leaves and without (`proxy/core/leaves`). Every test runs
in the native form, as most installations do, and the laws that a leaf could break run in the Python
form too (`tests/parts.py`). `SEALYARD_NATIVE=0 ./dev test` runs all of it in the Python form.

Lint, types, the demo and 20 seconds of fuzzing run beside the tests. Those marked `timing`, whose
bounds are of time, run last, with a processor for each.

Tests with servers share ports and processors with the tests beside them, so one that failed there
is run again by itself and must pass then. It is unsteady: the last lines name it, and more than
`MOST_UNSTEADY` fail the check. That is done only where pytest itself ended with status 1, "some
tests failed". After any other end, or without the log that the hooks below write, it is not known
which tests ran: the check ends with the status of pytest.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

import pytest

from tests.parts import CORE, LAWS, SUITES, TIMED, Form, Selection, in_ci

ROOT: Final = Path(__file__).parents[1]
NO_TESTS: Final = 5
_STATUSES: Final = {
    2: "it was interrupted, or could not collect all tests",
    3: "it failed by itself (an internal error)",
    4: "it was called wrongly",
    NO_TESTS: "it found no tests",
}
HUNG_SECONDS: Final = 900
"""A test that takes longer fails and tells where it stood, rather than hold up all of CI."""
_SLOWEST: Final = ("--durations=30", "--durations-min=3")
"""Each run tells which tests took longest, in seconds: where CI's time goes."""
MOST_UNSTEADY: Final = 3
"""So many tests of a run may fail beside others and pass by themselves."""
_TOLD_LINES: Final = 30
"""Of what a failed check printed, so many lines are told again at the end."""
_DEAREST: Final = 40
"""So many files are told whose tests take longest."""
_STDERR: Final = os.dup(2)
"""That of the process, before pytest captures it."""
_PROCESSORS: Final = os.cpu_count() or 1
_WORKERS: Final = min(3 * _PROCESSORS, 8)
"""Tests with servers wait most of their time, so that three share a processor."""
_LONGEST: Final = (
    "tests/description/test_law.py",
    "tests/faults/test_cuts.py",
    "tests/injector/test_mesh.py",
    "tests/linear/",
    "tests/openapi/test_schemathesis.py",
    "tests/redis/test_lies.py",
    "tests/scenarios/test_explain_is_serve.py",
    "tests/scenarios/test_forged_tokens.py",
    "tests/scenarios/test_passphrase.py",
    "tests/scrubbing/",
    "tests/soak/",
)
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
    seconds: dict[str, float] = field(default_factory=dict)
    """How long the tests of each file took, added up: those beside each other count each."""


class Ended(Exception):
    """The check cannot go on; `status` is the one to end with, and so many have `failed`."""

    def __init__(self, status: int, sentence: str, failed: int = 1) -> None:
        super().__init__(sentence)
        self.status = status
        self.failed = failed


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
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        self._seconds[file] = self._seconds.get(file, 0.0) + report.duration
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
        self._log.seconds = self._seconds
        self._file.write_text(json.dumps(asdict(self._log)), encoding="utf-8")


# --- Outside of it -----------------------------------------------------------------------------


def run(arguments: Sequence[str], folder: Path, scratch: Path, form: Form | None = None) -> Log:
    """Run pytest in `folder` and return its log, with status 0 or 1; raise Ended after all else.

    `form` is that of Sealyard; without it, the environment decides.
    """
    file = scratch / "log.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "tests.suite", "--suite-log", str(file)]
    command += ["-p", "timeout", f"--timeout={HUNG_SECONDS}", *_SLOWEST]
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
        raise Ended(
            again.status,
            f"failed, also by themselves: {', '.join(again.failed)}.",
            len(again.failed),
        )
    if again.ran < len(log.failed):
        raise Ended(1, f"of {len(log.failed)} tests that failed, only {again.ran} ran again.")
    say(*unsteady([log]))
    return log


def say(*lines: str) -> None:
    """Print lines at once: what pytest prints comes between them."""
    print(*lines, sep="\n", flush=True)  # noqa: T201 - a command's output


class Checks:
    """Commands of ./dev that run one after the other, beside the tests in the block."""

    def __init__(self, *commands: Sequence[str]) -> None:
        self._commands = commands
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._failed = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def passed(self) -> Log:
        """Wait for their end and return how many there were.

        Raise Ended if one failed, with the end of what each of those printed: what they printed at
        once stands far above.
        """
        if failed := self._failed.result():
            told = "\n".join((f"failed: {', '.join(failed)}.", *failed.values()))
            raise Ended(1, told, len(failed))
        return Log(ran=len(self._commands))

    def _run(self) -> dict[str, str]:
        failed = {}
        for command in self._commands:
            done = subprocess.run(  # noqa: S603 - a command of this repository
                [ROOT / "dev", *command],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            told = " ".join(("./dev", *command))
            say(f"== {told}\n{done.stdout.rstrip()}")
            if done.returncode:
                failed[told] = "\n".join(done.stdout.splitlines()[-_TOLD_LINES:])
        return failed


def beside(tests: Selection, scratch: Path, form: Form, workers: int = _WORKERS) -> Log:
    """Run tests beside each other, with so many workers."""
    chosen = tests.beside()
    return run_with_retry([*chosen, *_spread(workers)], chosen, ROOT, scratch, form)


def _spread(workers: int) -> list[str]:
    return ["--numprocesses", str(workers), "--dist", "worksteal"] if workers > 1 else []


def alone(tests: Selection, scratch: Path, form: Form, workers: int = 1) -> Log:
    """Run those of the tests that are marked `timing`, so many at a time."""
    chosen = tests.alone()
    if not chosen:
        return Log()
    try:
        return run_with_retry([*chosen, *_spread(workers)], chosen, ROOT, scratch, form)
    except Ended as end:
        if end.status == NO_TESTS:  # those in the files are slow, all of them
            return Log()
        raise


def skips(logs: Sequence[Log]) -> list[str]:
    """Return a line for each reason for which tests were skipped."""
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


def dearest(logs: Sequence[Log]) -> list[str]:
    """Return a line for each of the files whose tests take longest: where the time goes."""
    seconds: dict[str, float] = {}
    for log in logs:
        for file, took in log.seconds.items():
            seconds[file] = seconds.get(file, 0.0) + took
    files = sorted(seconds, key=lambda file: seconds[file], reverse=True)[:_DEAREST]
    return [f"{seconds[file]:.0f} s in {file}" for file in files if seconds[file] >= 1]


def unsteady(logs: Sequence[Log]) -> list[str]:
    """Return a line for each test that failed beside others and passed by itself."""
    failed = [one for log in logs for one in log.failed]
    return [f"unsteady: failed beside others, passed alone: {one}" for one in failed]


def require_steady(logs: Sequence[Log]) -> None:
    """Raise Ended where more tests are unsteady than may be."""
    if (count := len(unsteady(logs))) > MOST_UNSTEADY:
        raise Ended(1, f"{count} tests are unsteady; at most {MOST_UNSTEADY} may be.", count)


def closing(logs: Sequence[Log], failed: int, seconds: float) -> str:
    """Return the last line, from which a reader of the output knows how it ended."""
    skipped = sum(count for log in logs for count in log.skipped.values())
    passed = sum(log.ran for log in logs) - skipped
    return f"{passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f} s"


def main() -> None:
    """Run what CI runs; end with 0 only if all passed."""
    began = time.monotonic()
    status = failed = 0
    logs: list[Log] = []
    with TemporaryDirectory() as scratch:
        try:
            for log in _what_ci_runs(Path(scratch)):
                logs += [log]  # at once: the next may fail
            require_steady(logs)
        except Ended as end:
            say(f"dev: {end}")
            status, failed = end.status, end.failed
    say(*dearest(logs), *skips(logs), *unsteady(logs))
    say(closing(logs, failed, time.monotonic() - began))
    sys.exit(status)


def _what_ci_runs(scratch: Path) -> Iterator[Log]:
    form, *others = forms()
    with Checks(["lint"], ["types"], ["demo", "--check"], ["fuzz", "20"]) as checks:
        _compiled()
        say(f"== tests of the core, {form} form")
        yield _core(scratch, form)
        _covered()
        for other in others:
            say(f"== leaves, contracts, vectors and the laws of values, {other} form")
            yield beside(LAWS, scratch, other, _PROCESSORS)
        say(f"== all other tests, {form} form")
        yield beside(SUITES, scratch, form)
    yield checks.passed()
    say(f"== tests of time, {form} form")
    yield alone(TIMED, scratch, form, _PROCESSORS)  # most of their time, they wait


def _compiled() -> None:
    """In a fresh checkout, let one process compile what CI runs, and what Hypothesis reads in them.

    All workers would do so, each for itself, at the same time.
    """
    if not any((ROOT / "tests").rglob("__pycache__/*-pytest-*.pyc")):
        command = (sys.executable, "-m", "pytest", "--collect-only", "-qq", *in_ci())
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - pytest, on this repository


def _core(scratch: Path, form: Form) -> Log:
    beside = ["--numprocesses", str(_PROCESSORS), "--cov", "--cov-report="]
    log = run([*CORE.beside(), *beside], ROOT, scratch, form)
    if log.status:
        raise Ended(log.status, f"{len(log.failed)} tests of the core failed.", len(log.failed))
    return log


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
