"""Whether a process could run and did not, as the kernel shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_RUNNABLE: Final = "R"
_USER: Final = 11  # of the fields from the state on (proc_pid_stat(5))
_SYSTEM: Final = 12


class RunTime(NamedTuple):
    """The CPU time of all threads of a process in clock ticks, and the state of the first one."""

    state: str
    ticks: int

    def stands_still_since(self, before: RunTime | None) -> bool:
        """Whether it has used no CPU time since `before`, and does not wait for a processor.

        What waits for a processor, as in a cgroup whose quota is used up, is runnable.
        """
        return before is not None and self.state != _RUNNABLE and self.ticks == before.ticks


def of(pid: int, proc: Path = _PROC) -> RunTime | None:
    """Return that of a process; None where it is not shown."""
    try:
        _, _, fields = (proc / str(pid) / "stat").read_text().rpartition(")")
    except OSError:
        return None
    shown = fields.split()
    return RunTime(shown[0], int(shown[_USER]) + int(shown[_SYSTEM]))
