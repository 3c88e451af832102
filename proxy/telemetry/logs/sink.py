"""Where log lines go: a file descriptor, written line by line, whatever becomes of its reader."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
from collections.abc import Callable
from functools import partial
from typing import Final

_ROOM: Final = 1 << 20
"""How many bytes a pipe is asked to hold; Linux gives so many to anybody (`pipe-max-size`)."""


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
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _ROOM)
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
