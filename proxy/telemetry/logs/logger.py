"""The log of this process: the one Reporter through which every line goes, and where lines go."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from structlog import BoundLoggerBase, DropEvent
from structlog.typing import EventDict, Processor

from . import code_location
from .access_line import ALL, AccessLines, MessageLine, Sampling
from .event_keys import ECS, LEVELS, OTEL, Level
from .events import EVENTS
from .processors import Clock, Format, chain

Sink = Callable[[bytes], None]

_NONE: Final[Mapping[str, Processor]] = MappingProxyType({})
_PREPARED: Final = {"json": OTEL, "ecs": ECS}
_PIPE_BYTES: Final = 1 << 20
"""How many bytes a pipe is asked to hold; Linux allows as much to every user (`pipe-max-size`)."""


class Logs:
    """Writes declared events as lines, drops what is not declared, and never raises.

    This is the Reporter of traffic and keys. Lines below `level` are not written. `sampling` says
    which messages that went well are left out.
    """

    __slots__ = (
        "_access_lines",
        "_checked",
        "_clock",
        "_events",
        "_failed",
        "_lost",
        "_nested",
        "_sink",
        "_wanted",
        "_wants_handled",
        "_wants_refused",
        "sampling",
    )

    def __init__(  # noqa: PLR0913 - what a log can be asked for, each with a default
        self,
        sink: Sink,
        log_format: Format = "json",
        *,
        clock: Clock = time.time,
        level: Level = "info",
        colors: bool = False,
        processors: Mapping[str, Processor] = _NONE,
    ) -> None:
        """Write to `sink`, by way of the operator's `processors`, which have their names."""
        self._sink = sink
        self._clock = clock
        self.sampling: Sampling | None = None
        self._wanted = frozenset(LEVELS[LEVELS.index(level) :])
        self._wants_handled = EVENTS["message.handled"].level in self._wanted
        self._wants_refused = EVENTS["message.refused"].level in self._wanted
        self._lost = 0
        self._failed: set[str] = set()
        self._nested = threading.local()
        lines, make = _Lines(sink), partial(chain, log_format, clock=clock, colors=colors)
        extra = [self._guarded(name, processor) for name, processor in processors.items()]
        self._checked = _Events(lines, make(), {})
        self._events = _Events(lines, make(extra=extra), {}) if extra else self._checked
        # An operator's processors get every event, so that with them no line has a shorter way.
        names = None if extra else _PREPARED.get(log_format)
        self._access_lines = None if names is None else AccessLines(names)

    @property
    def lost(self) -> int:
        """How many lines could not be made or written."""
        return self._lost + (self._sink.lost if isinstance(self._sink, DescriptorSink) else 0)

    def report(self, event: str, **fields: object) -> None:
        """Write the line of one event. Fields hold names, codes, sizes: never a value."""
        declared = EVENTS.get(event)
        if declared is None:
            # Its name is not shown: it may have been formatted, and hold a value.
            self.report("log.undeclared", where=code_location.calling())
        else:
            self.report_at(declared.level, event, **fields)

    def report_at(self, level: Level, event: str, **fields: object) -> None:
        """Write an event at a level of its own, as messages of libraries have it."""
        if level not in self._wanted:
            return
        events = self._checked if getattr(self._nested, "inside", False) else self._events
        try:
            events.write(level, event, fields)
        except Exception:  # noqa: BLE001 - a line that cannot be made must not fail a message
            self._lost += 1

    def message(self, line: MessageLine) -> None:
        """Write the line of one message, unless its rule leaves it out."""
        share = ALL
        if line.refusal is not None:
            if not self._wants_refused:
                return
        elif not self._wants_handled:
            return
        elif self.sampling is not None:
            taken = self.sampling.share(line)
            if taken is None:
                return
            share = taken
        if self._access_lines is not None:
            try:
                text = self._access_lines(self._clock(), line, share)
            except Exception:  # noqa: BLE001, S110 - whatever it is, the processors write or drop it
                pass
            else:
                self._sink(text)
                return
        sample = None if share == ALL else share
        self.report(line.event, **line.fields(), sample=sample)

    def _guarded(self, name: str, processor: Processor) -> Processor:
        """Return an operator's processor that loses the line where it fails."""

        def guarded(_logger: object, level: str, entry: EventDict) -> EventDict:
            # What it logs itself does not come to it again.
            self._nested.inside = True
            try:
                made = processor(None, level, entry)
            except DropEvent:
                raise
            except BaseException as error:  # noqa: BLE001 - nor may one exit or cancel a message
                self._report_failed(name, error)
            else:
                if isinstance(made, dict):
                    return made
                self._report_failed(name, TypeError())
            finally:
                self._nested.inside = False
            raise DropEvent

        return guarded

    def _report_failed(self, name: str, error: BaseException) -> None:
        """Count a line that was lost, and report the processor once."""
        self._lost += 1
        if name not in self._failed:
            self._failed.add(name)
            self.report(
                "log.processor_failed",
                processor=name,
                exception=code_location.name(error),
                raised_at=code_location.raised_at(error.__traceback__),
            )


class _Events(BoundLoggerBase):
    """structlog's logger: it hands an event to the processors, and their line to the sink."""

    def write(self, level: Level, event: str, fields: Mapping[str, object]) -> None:
        """Write one event at a level."""
        self._proxy_to_logger(level, event, **fields)


class _Lines:
    """What structlog calls the wrapped logger: a method for each level."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.debug = self.info = self.warning = self.error = self._write

    def _write(self, line: str) -> None:
        self._sink(f"{line}\n".encode("ascii", "backslashreplace"))


def to_stderr(
    log_format: Format = "json",
    *,
    level: Level = "info",
    processors: Mapping[str, Processor] = _NONE,
) -> Logs:
    """Return the log of a server: to stderr, in the format that the operator chose."""
    descriptor = sys.stderr.fileno()
    colors = os.isatty(descriptor) and "NO_COLOR" not in os.environ
    return Logs(
        DescriptorSink(descriptor), log_format, level=level, colors=colors, processors=processors
    )


class DescriptorSink:
    """Writes lines to a descriptor. A lost log never fails a message: `lost` counts the lines.

    Nor does it hold one up: a pipe or socket whose reader has stopped takes no more lines until
    there is room again. Files and terminals are waited for.
    """

    __slots__ = ("_closing", "_torn", "_write", "lost")

    def __init__(self, descriptor: int) -> None:
        """Write to `descriptor`, which stays open and the caller's."""
        self._closing: Callable[[], None] | None = None
        self._write: Callable[[bytes], int]
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(kind):
            self._write_to_pipe(descriptor)
        elif stat.S_ISSOCK(kind):
            own = socket.socket(fileno=os.dup(descriptor))
            self._write = partial(_send, own)
            self._closing = own.close
        else:
            self._write = partial(os.write, descriptor)
        self._torn = False
        self.lost = 0

    def __call__(self, line: bytes) -> None:
        """Write one line, given with its line feed."""
        rest = b"\n" + line if self._torn else line
        try:
            written = self._write(rest)
            while written < len(rest):
                rest = rest[written:]
                self._torn = True
                written = self._write(rest)
            self._torn = False
        except OSError:  # the reader is gone, or does not keep up
            self.lost += 1

    def _write_to_pipe(self, descriptor: int) -> None:
        """Write to a pipe without waiting for its reader.

        O_NONBLOCK belongs to what all holders of a descriptor share, such as the shell that started
        the process. So the pipe is opened once more, for this sink alone.
        """
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # no procfs, or a pipe of another user
            poller = select.poll()
            poller.register(descriptor, select.POLLOUT)
            self._write = partial(_write_where_room_is, poller, descriptor)
        else:
            self._write = partial(os.write, own)
            self._closing = partial(os.close, own)

    def __del__(self) -> None:
        """Close what was opened beside the caller's descriptor."""
        if self._closing is not None:
            self._closing()


def _send(own: socket.socket, data: bytes) -> int:
    return own.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def _write_where_room_is(poller: select.poll, descriptor: int, data: bytes) -> int:
    """Write up to a page, for which a pipe has room as soon as it has any (POSIX: PIPE_BUF)."""
    if not poller.poll(0):
        raise BlockingIOError
    return os.write(descriptor, data[: select.PIPE_BUF])
