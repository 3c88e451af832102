"""Name an exception and the place that raised it, without its text or any value."""

from __future__ import annotations

import inspect
from pathlib import PurePath
from types import TracebackType
from typing import Final

_LOGGING: Final = (__name__.rsplit(".", 2)[0] + ".", "structlog.")


def name(error: BaseException | type[BaseException]) -> str:
    """Return the name of the class, with the module where it is not Python's own."""
    kind = error if isinstance(error, type) else type(error)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def raised_at(traceback: TracebackType | None) -> str | None:
    """Return `module:line` of the innermost frame, or None without a traceback."""
    if traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = traceback.tb_frame.f_globals.get("__name__", "?")
    return f"{module}:{traceback.tb_lineno}"


def calling() -> str:
    """Return `module:line` of the innermost frame outside of telemetry and structlog."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "?").startswith(_LOGGING):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"


def in_file(filename: str, line: int) -> str:
    """Return `folder/file:line`, which names a place in code and not on a machine."""
    return f"{'/'.join(PurePath(filename).parts[-2:])}:{line}"
