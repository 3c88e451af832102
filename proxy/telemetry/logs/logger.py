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
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from structlog import BoundLoggerBase, DropEvent
from structlog.typing import EventDict, Processor

from ..policy import PIPE_BYTES
from . import code_location
from .access_line import ALL, AccessLines, MessageLine, Sampling
from .event_keys import ECS, LEVELS, OTEL, Level
from .events import EVENTS
from .lasting import Lasting
from .processors import Clock, Format, chain

Sink = Callable[[bytes], None]
"""Takes one or more lines, each with its line feed."""

_NONE: Final[Mapping[str, Processor]] = MappingProxyType({})
_PREPARED: Final = {"json": OTEL, "ecs": ECS}
_LINE_FEED: Final = b"\n"
_WRITE_BYTES: Final = select.PIPE_BUF - len(_LINE_FEED)
"""Lines of one write: up to PIPE_BUF bytes, processes that share a pipe do not tear each other's
lines (POSIX). A line feed that ends a torn line has room before them.
"""


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
        "_lasting",
        "_lost",
        "_nested",
        "_sink",
        "_wanted",
        "_wants_handled",
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
        self._lost = 0
        self._failed: set[str] = set()
        self._lasting = Lasting(clock)
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
            return
        try:
            told = self._lasting.told(declared, fields) if declared.lasts else fields
        except Exception:  # noqa: BLE001 - as in report_at
            self._lost += 1
            return
        if told is not None:
            self.report_at(declared.level, event, **told)

    def report_at(self, level: Level, event: str, **fields: object) -> None:
        """Write an event at a level of its own, as messages of libraries have it."""
        if level not in self._wanted:
            return
        events = self._checked if getattr(self._nested, "inside", False) else self._events
        try:
            events.write(level, event, fields)
        except Exception:  # noqa: BLE001 - a line that cannot be made must not fail a message
            self._lost += 1

    def messages(self, lines: Sequence[MessageLine]) -> None:
        """Write the lines of messages together, but for those that their rules leave out."""
        now, texts, render = self._clock(), [], self._access_lines
        all_handled = self._wants_handled and self.sampling is None
        for line in lines:
            share = ALL if all_handled and line.refusal is None else self._share(line)
            if share is None:
                continue
            if render is not None:
                try:
                    texts.append(render(now, line, share))
                except Exception:  # noqa: BLE001, S110 - whatever it is, the processors write or drop it
                    pass
                else:
                    continue
            self._write(texts)
            texts = []
            sample = None if share == ALL else share
            self.report(line.event, **line.fields(), sample=sample)
        self._write(texts)

    def _share(self, line: MessageLine) -> float | None:
        """Return the share that a line represents, or None where it is not wanted."""
        if line.refusal is not None:
            return ALL if EVENTS[line.event].level in self._wanted else None
        if not self._wants_handled:
            return None
        return ALL if self.sampling is None else self.sampling.share(line)

    def _write(self, texts: list[str]) -> None:
        if texts:
            self._sink("".join(texts).encode("ascii"))

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

    __slots__ = ("_closing", "_most", "_torn", "_write", "lost")

    def __init__(self, descriptor: int) -> None:
        """Write to `descriptor`, which stays open and the caller's."""
        self._closing: Callable[[], None] | None = None
        self._write: Callable[[bytes], int]
        self._most = _WRITE_BYTES
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(kind):
            self._write_to_pipe(descriptor)
        elif stat.S_ISSOCK(kind):
            own = socket.socket(fileno=os.dup(descriptor))
            self._write = partial(_send, own)
            if own.type != socket.SOCK_STREAM:
                self._most = 0  # one line is one datagram
            self._closing = own.close
        else:
            self._write = partial(os.write, descriptor)
        self._torn = False
        self.lost = 0

    def __call__(self, lines: bytes) -> None:
        """Write lines, each given with its line feed, in few writes of whole lines."""
        at, size, most = 0, len(lines), self._most
        while size - at > most:
            end = lines.rfind(_LINE_FEED, at, at + most) + 1 or lines.index(_LINE_FEED, at) + 1
            self._write_whole(lines[at:end])
            at = end
        if at < size:
            self._write_whole(lines[at:])

    def _write_whole(self, lines: bytes) -> None:
        rest = _LINE_FEED + lines if self._torn else lines
        try:
            while rest:
                written = self._write(rest)
                self._torn = not rest.endswith(_LINE_FEED, 0, written)
                rest = rest[written:]
        except OSError:  # the reader is gone, or does not keep up
            self.lost += rest.lstrip(_LINE_FEED).count(_LINE_FEED)

    def _write_to_pipe(self, descriptor: int) -> None:
        """Write to a pipe without waiting for its reader.

        O_NONBLOCK belongs to what all holders of a descriptor share, such as the shell that started
        the process. So the pipe is opened once more, for this sink alone.
        """
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
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
