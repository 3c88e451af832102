"""The log: the one Reporter through which every line of this process goes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Literal

from . import code_location
from .access_line import MessageLine
from .events import EVENTS, Event, Level
from .json_lines import LEVELS, EcsLines, JsonLines, Renderer
from .sampling import ALL, Sampling
from .sink import DescriptorSink

Format = Literal["json", "console", "ecs"]
Sink = Callable[[bytes], None]


class Logs:
    """Writes declared events as lines, drops what is not declared, and never raises.

    This is the Reporter of traffic and keys. Lines below `level` are not written.
    """

    __slots__ = ("_clock", "_render", "_sink", "_wanted", "_wants_messages", "sampling")

    def __init__(
        self,
        sink: Sink,
        *,
        render: Renderer | None = None,
        clock: Callable[[], float] = time.time,
        level: Level = "info",
    ) -> None:
        """Write to `sink` what `render` makes of events (JSON lines unless given)."""
        self._sink = sink
        self._render = render or JsonLines()
        self._clock = clock
        self.sampling: Sampling | None = None
        self._wanted = frozenset(LEVELS[LEVELS.index(level) :])
        self._wants_messages = EVENTS["message.handled"].level in self._wanted

    @property
    def lost(self) -> int:
        """How many lines could not be written."""
        return self._sink.lost if isinstance(self._sink, DescriptorSink) else 0

    def report(self, event: str, **fields: object) -> None:
        """Write the line of one event. Fields hold names, codes, sizes: never a value."""
        declared = EVENTS.get(event)
        if declared is None:
            # Its name is not shown: it may have been formatted, and hold a value.
            self.report("log.undeclared", where=code_location.calling())
        elif declared.level in self._wanted:
            self._sink(self._render(self._clock(), declared, declared.level, fields))

    def message(self, line: MessageLine) -> None:
        """Write the line of one message, if its rule does not leave it out."""
        if line.refusal is not None:
            self.report(line.event, **line.fields())
        elif self._wants_messages:
            share = ALL if self.sampling is None else self.sampling.share(line)
            if share is not None:
                self._sink(self._render.message(self._clock(), line, share))

    def report_at(self, level: Level, event: Event, fields: Mapping[str, object]) -> None:
        """Write a line whose level is not the event's own, as messages of libraries need it."""
        if level in self._wanted:
            self._sink(self._render(self._clock(), event, level, fields))


def to_stderr(log_format: Format = "json", *, level: Level = "info") -> Logs:
    """Return the log of a server: to stderr, in the format that the operator chose."""
    descriptor = sys.stderr.fileno()
    render: Renderer = EcsLines() if log_format == "ecs" else JsonLines()
    if log_format == "console":
        from .console import ConsoleLines  # noqa: PLC0415 - structlog is for people's eyes only

        render = ConsoleLines(colors=os.isatty(descriptor) and "NO_COLOR" not in os.environ)
    return Logs(DescriptorSink(descriptor), render=render, level=level)
