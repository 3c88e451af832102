"""Where log lines go: a file descriptor, written line by line, whatever becomes of its reader."""

from __future__ import annotations

import os


class DescriptorSink:
    """Writes lines to a descriptor. A lost log never fails a message: `lost` counts the lines."""

    __slots__ = ("_descriptor", "_torn", "lost")

    def __init__(self, descriptor: int) -> None:
        """Write to `descriptor`, which stays open and the caller's."""
        self._descriptor = descriptor
        self._torn = False
        self.lost = 0

    def __call__(self, line: bytes) -> None:
        """Write one line, given with its line feed."""
        rest = b"\n" + line if self._torn else line
        try:
            written = os.write(self._descriptor, rest)
            while written < len(rest):
                rest = rest[written:]
                self._torn = True
                written = os.write(self._descriptor, rest)
            self._torn = False
        except OSError:  # the reader is gone, or does not keep up with a non-blocking pipe
            self.lost += 1
