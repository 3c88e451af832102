"""Processes of Sealyard that begin with its imports done: what `python -P -m proxy` would start.

An interpreter takes two thirds of a second of a processor to import what serves, which is most of
what a test of a command costs. Here a process that has imported it forks instead. The child has
the arguments, environment, folder, streams and limits that it was to have, and runs the same
`proxy/__main__.py`; to whoever started it, it is a child like any other, with a pid of its own.

Only the environment block and the command line that the kernel shows, memory, and the modules that
are there are those of the process that forked. Tests of these are marked `cold`, or have a block of
`cold`: each process of theirs is started as users start it. So is every process whose environment
differs in what an interpreter or an import may read (SEALYARD_NATIVE), and one at a terminal.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import ctypes
import gc
import json
import os
import resource
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[1]
_COMMAND: Final = (sys.executable, "-P", "-m", "proxy")
_IMPORTED: Final = ("proxy.cli.commands.serve", "proxy.wiring.service")
_READ_LATER: Final = ("SEALYARD_", "AWS_", "OTEL_", "PYTEST_")
_READ_BEFORE: Final = "SEALYARD_NATIVE"
_PLAIN: Final = {
    "executable": None,
    "preexec_fn": None,
    "close_fds": True,
    "pass_fds": (),
    "shell": False,
    "gid": None,
    "gids": None,
    "uid": None,
    "umask": -1,
    "start_new_session": False,
    "process_group": -1,
}
_PR_SET_CHILD_SUBREAPER: Final = 36
_LIMITS: Final = tuple(sorted(one for name, one in vars(resource).items() if name[:7] == "RLIMIT_"))
_usual = subprocess.Popen


def _read_before(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that may decide something before the first line of Sealyard runs."""
    return {
        name: text
        for name, text in environ.items()
        if name == _READ_BEFORE or not name.startswith(_READ_LATER)
    }


# --- Where tests run ---------------------------------------------------------------------------


class Forge:
    """The process that forks, started when it is asked first."""

    def __init__(self) -> None:
        self._environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._signature = signature(_usual._execute_child)  # type: ignore[attr-defined]  # of the library
        self.cold = True

    def takes(self, wanted: Mapping[str, Any]) -> bool:
        """Whether a process that Popen is to start is one that can be forked."""
        environ = os.environ if wanted["env"] is None else wanted["env"]
        return (
            not self.cold
            and isinstance(wanted["args"], list | tuple)
            and tuple(wanted["args"][: len(_COMMAND)]) == _COMMAND
            and all(wanted[name] == usual for name, usual in _PLAIN.items())
            and not any(map(os.isatty, _streams(wanted)))
            and _read_before({"PYTHONPATH": str(_ROOT), **environ}) == _read_before(self._environ)
        )

    def execute(self, process: subprocess.Popen[Any], *arguments: Any) -> None:  # noqa: ANN401 - as Popen hands them on
        """Start a child for `process`, as Popen's own method of that name does."""
        wanted = self._signature.bind(process, *arguments).arguments
        if not self.takes(wanted):
            _usual._execute_child(process, *arguments)  # type: ignore[attr-defined]  # of the library
            return
        environ = os.environ if wanted["env"] is None else wanted["env"]
        asked = {
            "args": [os.fspath(one) for one in wanted["args"][len(_COMMAND) :]],
            "cwd": os.path.abspath(wanted["cwd"] or "."),  # noqa: PTH100 - links stay
            "environ": dict(environ),
            "limits": [resource.getrlimit(one) for one in _LIMITS],
        }
        process.pid = self._forked(json.dumps(asked).encode(), _streams(wanted))
        process._child_created = True  # type: ignore[attr-defined]  # as in Popen's own
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        process._close_pipe_fds(*(wanted[name] for name in names))  # type: ignore[attr-defined]  # as above

    def close(self) -> None:
        """End the process that forks."""
        if self._process is not None and self._socket is not None:
            self._socket.close()
            self._process.wait()

    def _forked(self, asked: bytes, streams: tuple[int, ...]) -> int:
        with self._lock, _adopting():
            if self._socket is None:
                self._socket = self._begin()
            streams_sent = array.array("i", streams)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams_sent)]
            self._socket.sendmsg([len(asked).to_bytes(4, "big")], ancillary)
            self._socket.sendall(asked)
            return int.from_bytes(_exactly(self._socket, 4), "big")

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _usual(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env=self._environ,
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        return ours


def _streams(wanted: Mapping[str, Any]) -> tuple[int, ...]:
    given = (wanted["p2cread"], wanted["c2pwrite"], wanted["errwrite"])
    return tuple(usual if one == -1 else one for usual, one in enumerate(given))


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of what a process of ours leaves behind: of the child that it forks."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class WarmPopen(subprocess.Popen[Any]):
    """Popen that forks Sealyard where it can."""

    def _execute_child(self, *arguments: Any) -> None:  # noqa: ANN401 - as Popen hands them on
        FORGE.execute(self, *arguments)


FORGE: Final = Forge()


def begin() -> None:
    """Fork Sealyard from now on, for all that is started by `subprocess`."""
    if sys.platform == "linux":
        subprocess.Popen = WarmPopen  # type: ignore[misc]  # until `end`


def end() -> None:
    """Start everything as usual again."""
    subprocess.Popen = _usual  # type: ignore[misc]  # as before
    FORGE.close()


@contextlib.contextmanager
def cold() -> Iterator[None]:
    """Start everything as usual within the block."""
    before, FORGE.cold = FORGE.cold, True
    try:
        yield
    finally:
        FORGE.cold = before


def _exactly(channel: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = channel.recv(size - len(read))
        if not part:
            raise EOFError
        read += part
    return read


# --- The process that forks --------------------------------------------------------------------


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork a child for each request; return what the child has to do there, None at the end."""
    while True:
        head, streams, _, _ = socket.recv_fds(channel, 4, 3)
        if not head:
            return None
        asked: dict[str, Any] = json.loads(_exactly(channel, int.from_bytes(head, "big")))
        reading, writing = os.pipe()
        middle = os.fork()
        if not middle:
            child = os.fork()
            if child:
                os.write(writing, child.to_bytes(4, "big"))
                os._exit(0)  # whose child it is now is for the tests to say
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for one in (*streams, reading, writing, channel.detach()):
                os.close(one)
            return asked
        os.waitpid(middle, 0)
        channel.sendall(os.read(reading, 4))
        for one in (*streams, reading, writing):
            os.close(one)


def _become(asked: Mapping[str, Any]) -> None:
    """Run Sealyard as it was asked for."""
    for limit, values in zip(_LIMITS, asked["limits"], strict=True):
        if resource.getrlimit(limit) != tuple(values):
            resource.setrlimit(limit, tuple(values))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.argv[1:] = asked["args"]
    try:
        runpy.run_module("proxy", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            with contextlib.suppress(
                OSError, ValueError
            ):  # of a stream, which an interpreter tells
                _end(end.code or 0)
        raise


def _end(status: int) -> None:
    """End as an interpreter does, but leave it to the kernel to free what was imported."""
    threading._shutdown()  # type: ignore[attr-defined]  # what an interpreter does first
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def main() -> None:
    """Import, then fork at the socket that is named, and be the child there."""
    os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")  # as proxy/__main__.py does
    for name in _IMPORTED:
        __import__(name)
    gc.collect()
    gc.freeze()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        _become(asked)


if __name__ == "__main__":
    main()
