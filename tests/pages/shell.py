"""A shell on a terminal, as a reader of the pages has one."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_END: Final = "== end of the command =="
_LOOP: Final = """\
exec 0<>{terminal}
trap 'kill $(jobs -p) 2>/dev/null' EXIT
exec 9<&{orders} {orders}<&-
while IFS= read -r -d '' order <&9; do
  eval "$order" 9<&-
  printf '\\n%s %d\\n' '{end}' $?
done
"""
_ENDED: Final = re.compile(rf"\n{_END} (\d+)\n")
_LINE_END: Final = re.compile(r"\r+\n")
_MOVES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""What clears a screen or moves its cursor."""
_SECONDS: Final = 60.0


class Shell:
    """Runs commands one after the other in one bash, which keeps variables and background jobs.

    `typed` has what is answered to a prompt, by the text with which the output ends then; it is
    made of all that the terminal shows.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.typed: dict[str, Callable[[str], str]] = {"[y/N]: ": lambda _: "y"}
        self._terminal, inner = pty.openpty()
        orders, self._orders = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603 - the shell of a test
            ["/bin/bash", "-c", _LOOP.format(orders=orders, end=_END, terminal=os.ttyname(inner))],
            cwd=folder,
            env=environ,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            pass_fds=(orders,),
            start_new_session=True,  # the first terminal that it opens becomes its own
        )
        os.close(inner)
        os.close(orders)

    def run(self, command: str) -> tuple[int, str]:
        """Return the exit status of a command, and all that the terminal showed meanwhile.

        Raises AssertionError if it takes longer than a minute, or ends the shell.
        """
        os.write(self._orders, command.encode() + b"\0")
        deadline = time.monotonic() + _SECONDS
        seen, answered = "", 0
        while not (end := _ENDED.search(seen)):
            assert time.monotonic() < deadline, f"{command} does not end:\n{seen}"
            if not select.select([self._terminal], [], [], 0.5)[0]:
                continue
            try:
                seen += os.read(self._terminal, 65536).decode(errors="replace")
            except OSError as error:
                raise AssertionError(f"{command} ended the shell:\n{seen}") from error
            seen = _MOVES.sub("", _LINE_END.sub("\n", seen))
            for prompt, answer in self.typed.items():
                if len(seen) > answered and seen.endswith(prompt):
                    os.write(self._terminal, answer(seen).encode() + b"\n")
                    answered = len(seen) + 1
        return int(end[1]), seen[: end.start()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._orders)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._terminal)
