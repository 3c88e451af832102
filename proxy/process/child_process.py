"""One question to a process of its own, which ends with its answer: JSON on stdin and on stdout.

Nothing is in its arguments or its environment, and what it prints besides is discarded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from ..core.errors import SealyardError
from .hardening import harden
from .policy import KILLED_SECONDS

PIPES: Final[Mapping[str, Any]] = {
    "stdin": subprocess.PIPE,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.DEVNULL,  # a traceback might hold what must not be in a log
    "start_new_session": True,
}
"""How such a process is started."""

_PASSED: Final = frozenset({"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TZ"})


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what such a process needs: until it is hardened, others can read its environment."""
    return {name: environ[name] for name in _PASSED & environ.keys()}


def command(module: str) -> tuple[str, ...]:
    """Return the command that runs a module of this package with our Python."""
    safe = ("-P",) if sys.flags.safe_path else ()
    return (sys.executable, *safe, "-m", module)


def ask(
    module: str, question: Mapping[str, object], environ: Mapping[str, str], *, seconds: float
) -> dict[str, Any]:
    """Return the answer of a process, which is killed after so many seconds.

    Raises TimeoutError then, and ValueError where it ends without an answer.
    """
    process = subprocess.Popen(command(module), env=environ, **PIPES)  # noqa: S603 - our own module
    try:
        output, _ = process.communicate(json.dumps(question).encode(), timeout=seconds)
        answered = json.loads(output)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        if process.poll() is None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # a driver may hold it in the kernel
                process.wait(KILLED_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
    if not isinstance(answered, dict):
        raise ValueError("no answer")  # noqa: TRY004 - as for any other answer that is none
    return answered


def forked(make: Callable[[], bytes]) -> bytes:
    """Return what `make` returns in a fork of this process, which must have one thread.

    It is empty where that fails.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writer, "wb") as output:
                output.write(make())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        made = source.read()
    with suppress(ChildProcessError):  # where SIGCHLD is ignored, the kernel has reaped it
        os.waitpid(child, 0)
    return made


def answer(make: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer the question on stdin, in such a process; an error becomes the member `problem`."""
    harden()
    output = os.fdopen(os.dup(1), "w")
    discarded = os.open(os.devnull, os.O_WRONLY)
    os.dup2(discarded, 1)  # a library may print to stdout
    try:
        made = make(json.load(sys.stdin))
    except SealyardError as error:
        made = {"problem": error.reason}
    with output:
        json.dump(made, output)
