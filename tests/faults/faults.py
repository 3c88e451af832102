"""Faults: one exception at one point of a request's way, and what has been passed on it.

There are two kinds of points. At a *wait*, the coroutine is suspended, and the exception comes out
of what it waits for. At a *line*, the exception comes before the line has done anything, as out of
the first call in it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import gc
import inspect
import sys
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

import proxy

Place = tuple[str, int]
PACKAGE = Path(proxy.__file__).parent
FILES = (
    "traffic/exchange/changing.py",
    "traffic/exchange/exchange.py",
    "traffic/upstream/client.py",
    "traffic/upstream/outgoing_request.py",
    "traffic/upstream/pool.py",
    "traffic/upstream/permits.py",
    "traffic/upstream/fair_queue.py",
    "traffic/bodies/record_streams.py",
    "traffic/bodies/response_writer.py",
    "traffic/downstream/request.py",
    "traffic/bodies/transformed.py",
    "keys/sessions/sessions.py",
    "keys/sessions/session_start.py",
    "keys/sessions/opening_cache.py",
)
WITH_LINES = (
    *FILES,
    "traffic/exchange/admission.py",
    "traffic/exchange/steps.py",
    "traffic/exchange/prepared_steps.py",
    "traffic/exchange/request_ids.py",
)
"""Where an exception is put at lines too: all of them, and what borrows connections."""
EXCEPTIONS: tuple[type[BaseException], ...] = (
    RuntimeError,
    MemoryError,
    asyncio.CancelledError,
    TimeoutError,
    ConnectionResetError,
)
CALLED_BACK = frozenset({"_protocol", "idle", "size"})
"""What asyncio or a test calls in the middle of its own work: a fault there is theirs."""
_NAMES = {str(PACKAGE / name): name for name in WITH_LINES}


class Fault:
    """None: it only watches."""

    def __init__(self) -> None:
        self.waited_at: set[Place] = set()
        self.waits = 0
        self.lines: list[Place] = []
        self.happened = False

    def due_at_wait(self) -> BaseException | None:
        """Return what to throw into the present wait."""
        self.waits += 1
        return None

    def due_at_line(self) -> BaseException | None:
        """Return what to raise at the present line."""
        return None

    def forget(self) -> None:
        """Let go of the frames that the exception came through, as who handles one does."""

    def watching(self) -> contextlib.AbstractContextManager[None]:
        """Watch for the fault's point as long as this is open."""
        return contextlib.nullcontext()


class FaultAtWait(Fault):
    """An exception at the n-th wait."""

    def __init__(self, at: int, error: BaseException) -> None:
        super().__init__()
        self._at = at
        self._error = error

    def due_at_wait(self) -> BaseException | None:
        self.waits += 1
        if self.waits - 1 != self._at:
            return None
        self.happened = True
        return self._error


class LineWatch(Fault):
    """Looks at each line of these files that calls or waits."""

    def watching(self) -> contextlib.AbstractContextManager[None]:
        return _traced(self._line)

    def _line(self, place: Place) -> None:
        self.lines.append(place)
        if (error := self.due_at_line()) is not None:
            self.happened = True
            raise error


class FaultAtLine(LineWatch):
    """An exception at the n-th such line."""

    def __init__(self, at: int, error: BaseException) -> None:
        super().__init__()
        self._at = at
        self._error = error

    def forget(self) -> None:
        self._error = self._error.with_traceback(None)

    def due_at_line(self) -> BaseException | None:
        return self._error if len(self.lines) - 1 == self._at else None


@types.coroutine
def driven(inner: Coroutine[Any, Any, Any], fault: Fault) -> Generator[Any, Any, Any]:
    """Run a coroutine; throw the fault into it at its point."""
    step: Callable[[], Any] = lambda: inner.send(None)  # noqa: E731 - it is exchanged below
    while True:
        try:
            waited_for = step()
        except StopIteration as stop:
            return stop.value
        fault.waited_at.update(_places(inner))
        error = fault.due_at_wait()
        try:
            if error is not None:
                if asyncio.isfuture(waited_for):
                    # As a cancelled task does: nobody waits for it any more.
                    waited_for.add_done_callback(_looked_at)
                    waited_for.cancel()
                yield None
            else:
                yield waited_for
        except BaseException as thrown:  # noqa: BLE001 - it belongs to the coroutine
            error = thrown
        step = _throwing(inner, error) if error is not None else lambda: inner.send(None)


def _looked_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _throwing(inner: Coroutine[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: inner.throw(error)


def _places(awaited: object) -> Iterator[Place]:
    """Yield where each coroutine stands on the way from the outermost to what it waits for."""
    while awaited is not None:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{prefix}_frame", None)
            if frame is not None:
                if name := _NAMES.get(frame.f_code.co_filename):
                    yield name, frame.f_lineno
                follow = "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await"
                awaited = getattr(awaited, follow)
                break
        else:
            # The step of an asynchronous generator does not tell whose step it is.
            generators = [one for one in gc.get_referents(awaited) if inspect.isasyncgen(one)]
            awaited = generators[0] if generators else None


@contextlib.contextmanager
def _traced(line: Callable[[Place], None]) -> Iterator[None]:
    """Call `line` before each line of the files that calls or waits."""
    wanted = {name: calling_lines(name) for name in WITH_LINES}

    def local(frame: types.FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - itself
        name = _NAMES[frame.f_code.co_filename]
        wanted_here = frame.f_lineno in wanted[name] and frame.f_code.co_name not in CALLED_BACK
        if event == "line" and wanted_here:
            line((name, frame.f_lineno))
        return local

    def of_call(frame: types.FrameType, _: str, __: object) -> Any:  # noqa: ANN401 - as above
        return local if frame.f_code.co_filename in _NAMES else None

    before = sys.gettrace()
    sys.settrace(of_call)
    try:
        yield
    finally:
        sys.settrace(before)


@functools.cache
def _tree(name: str) -> ast.Module:
    return ast.parse((PACKAGE / name).read_text())


@functools.cache
def calling_lines(name: str) -> frozenset[int]:
    """Return the lines of a file that call or wait for anything."""
    kinds = (ast.Call, ast.Await, ast.AsyncFor, ast.AsyncWith)
    return frozenset(node.lineno for node in ast.walk(_tree(name)) if isinstance(node, kinds))


def waits(name: str, *, beside: tuple[str, ...] = ()) -> list[range]:
    """Return the lines of each wait of a file, without those in the functions `beside`.

    `async with asyncio.timeout` is no wait: it only sets a timer.
    """
    found: list[range] = []
    tree = _tree(name)
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef) and function.name not in beside:
            found += [
                lines for node in ast.walk(function) if (lines := _lines_of_wait(node)) is not None
            ]
    return found


def _lines_of_wait(node: ast.AST) -> range | None:
    if isinstance(node, ast.Await):
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    if isinstance(node, ast.AsyncFor):
        return range(node.lineno, (node.iter.end_lineno or node.lineno) + 1)
    if isinstance(node, ast.AsyncWith):
        opened = node.items[0].context_expr
        if ast.unparse(opened).startswith("asyncio.timeout("):
            return None
        return range(node.lineno, (opened.end_lineno or node.lineno) + 1)
    return None
