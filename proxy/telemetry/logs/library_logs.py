"""Route the log records of Python and libraries: logging, structlog, warnings, exceptions.

Their texts are withheld. aiohttp logs a malformed header with its bytes, an exception carries
values in its arguments, and no pattern finds all of them; a class and a place in code are enough
to find the cause. For the same reason structlog's ProcessorFormatter is not used here: it formats
a record's text before any processor is asked.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import structlog
from structlog.typing import EventDict

from . import code_location
from .event_keys import Level
from .logger import Logs

_CONTEXT: Final = frozenset(
    {"asyncgen", "exception", "future", "handle", "protocol", "socket", "task", "transport"}
)
"""The documented keys of the context of loop.call_exception_handler."""


class LibraryHandler(logging.Handler):
    """Passes a record of `logging` to the processors: logger, level and place, never the text."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            where = code_location.in_file(record.pathname, record.lineno)
            _, error, _ = record.exc_info or (None, None, None)
            _message(self._logs, record.levelno, record.name, where, error)
        except Exception:  # noqa: BLE001 - a record of a library may hold anything
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: the standard library would print the record with its arguments."""


def route(logs: Logs) -> ExitStack:
    """Route all records to `logs`; closing the returned stack undoes it.

    A server never undoes it: the last objects die after its last line of code, and what they
    raise then must not be printed either.
    """
    undo = ExitStack()
    _route_logging(logs, undo)
    _route_structlog(logs, undo)
    _replace(warnings, "showwarning", partial(_warning, logs), undo)
    _replace(sys, "excepthook", lambda _, error, __: _unhandled(logs, "main", error), undo)
    _replace(sys, "unraisablehook", lambda one: _unhandled(logs, "unraisable", one.exc_value), undo)
    _replace(threading, "excepthook", lambda one: _unhandled(logs, "thread", one.exc_value), undo)
    return undo


def asyncio_handler(logs: Logs) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return a handler for `loop.set_exception_handler`."""

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # Its message may name a task, its values hold everything, and a library may add keys.
        known = ",".join(sorted(_CONTEXT.intersection(context)))
        _unhandled(logs, "asyncio", context.get("exception"), context=known)

    return handle


def _route_logging(logs: Logs, undo: ExitStack) -> None:
    root = logging.getLogger()
    handlers, level, captured = root.handlers[:], root.level, logging.raiseExceptions

    def restore() -> None:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.raiseExceptions = captured

    undo.callback(restore)
    root.handlers[:] = [LibraryHandler(logs)]
    # Without its text, a library's message below a warning says nothing.
    root.setLevel(logging.WARNING)
    logging.raiseExceptions = False


def _route_structlog(logs: Logs, undo: ExitStack) -> None:
    """Route what libraries log with structlog, which would print it on stdout."""

    def foreign(_logger: object, method: str, entry: EventDict) -> EventDict:
        given = entry.get("exc_info")
        error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
        level = logging.getLevelNamesMapping().get(method.upper(), logging.ERROR)
        _message(logs, level, "structlog", code_location.calling(), error)
        raise structlog.DropEvent

    if structlog.is_configured():
        undo.callback(structlog.configure, **structlog.get_config())
    else:
        undo.callback(structlog.reset_defaults)
    structlog.configure([foreign], structlog.make_filtering_bound_logger(logging.WARNING))


def _replace(module: Any, attribute: str, hook: object, undo: ExitStack) -> None:  # noqa: ANN401 - a module's attributes have no common type
    undo.callback(setattr, module, attribute, getattr(module, attribute))
    setattr(module, attribute, hook)


def _warning(  # as warnings.showwarning is called
    logs: Logs, _: object, category: type[Warning], filename: str, lineno: int, *_rest: object
) -> None:
    where = code_location.in_file(filename, lineno)
    logs.report("library.warning", category=code_location.name(category), where=where)


def _message(logs: Logs, number: int, logger: str, where: str, error: BaseException | None) -> None:
    logs.report_at(_level(number), "library.message", logger=logger, where=where, **_raised(error))


def _unhandled(
    logs: Logs, source: str, error: BaseException | None, context: str | None = None
) -> None:
    logs.report("exception.unhandled", source=source, **_raised(error), context=context)


def _raised(error: BaseException | None) -> dict[str, str | None]:
    if error is None:
        return {}
    return {
        "exception": code_location.name(error),
        "raised_at": code_location.raised_at(error.__traceback__),
    }


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
