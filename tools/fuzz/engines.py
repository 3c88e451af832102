"""A process for each run of a target.

Those of atheris are forked from one that has imported what is fuzzed: its instruments take seconds
to put in.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import sys
import tempfile
import traceback
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Final

_CONTEXTS: Final[dict[str, ForkServerContext | SpawnContext]] = {
    "by_coverage": multiprocessing.get_context("forkserver"),
    "by_examples": multiprocessing.get_context("spawn"),
}


def run(engine: str, arguments: list[str], seconds: float) -> tuple[int | None, str]:
    """Return the exit code, None if it did not end in so many seconds, and what it printed."""
    multiprocessing.set_forkserver_preload([f"{__package__}.by_coverage"])
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as told:
        process = _CONTEXTS[engine].Process(target=_inside, args=(engine, arguments, told.name))
        process.start()
        process.join(seconds)
        status = process.exitcode
        process.kill()
        process.join()
        return status, told.read()


def _inside(engine: str, arguments: list[str], told: str) -> None:
    """Run one target in this process, which prints into that file."""
    with Path(told).open("w", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    status: object = 1
    try:
        status = importlib.import_module(f".{engine}", __package__).main(arguments)
    except SystemExit as end:
        status = end.code
    except Exception:  # noqa: BLE001 - a broken law, whatever it raises
        traceback.print_exc()
    sys.stdout.flush()
    # Not by _exit, as multiprocessing ends it: libFuzzer saves a crash in a handler of exit.
    ctypes.CDLL(None).exit(status)
