"""Which process listens at a TCP port of this machine, as far as this user may see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LISTENS: Final = "0A"
_TABLES: Final = ("tcp", "tcp6")


@dataclass(frozen=True, slots=True)
class Listening:
    """A process that listens: its number and its command line."""

    pid: int
    command: tuple[str, ...]

    @property
    def serves(self) -> bool:
        """Whether it is `sealyard serve`."""
        words = [word.rpartition("/")[2] for word in self.command]
        return "serve" in words and ("sealyard" in words or "proxy" in words)

    def __str__(self) -> str:
        """Return the program and its number; arguments may hold secrets."""
        name = self.command[0].rpartition("/")[2] if self.command else "a process"
        return f"{name} (pid {self.pid})"


def at_port(port: int, proc: Path = Path("/proc")) -> Listening | None:
    """Return who listens at a port; None where it cannot be seen."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    for pid in (one for one in proc.iterdir() if one.name.isdecimal()) if wanted else ():
        try:
            if any(str(one.readlink()) in wanted for one in (pid / "fd").iterdir()):
                words = (pid / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                return Listening(
                    int(pid.name), tuple(word.decode("utf-8", "replace") for word in words)
                )
        except OSError:  # another user's, or it has ended
            continue
    return None


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in _TABLES:
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]
