"""What the line of a message costs, `python -m bench.line`: made and counted, but not written.

CPU time of this process, the least of several rounds: other work on the machine only adds to it.
Writing the line is one call of the kernel, which depends on what reads the log.
"""

from __future__ import annotations

import time
from typing import Final

from proxy.telemetry.logs.access_line import MessageLine
from proxy.telemetry.logs.json_lines import EcsLines, JsonLines
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.reporter import MessageReporter, Tally

ROUNDS: Final = 7
LINES: Final = 100_000

REST: Final = ("api", "POST", "send", 201, 1234, 2345, 1.2345678)
COUNTS: Final = {"sealed": 1, "opened": 1, "response_opened": 1}
UPSTREAM_MS: Final = 0.98765


def microseconds(reporter: MessageReporter, *, lines: int = LINES, rounds: int = ROUNDS) -> float:
    """Return what one line costs."""
    return min(_round(reporter, lines) for _ in range(rounds))


def _round(reporter: MessageReporter, lines: int) -> float:
    began = time.process_time()
    for number in range(lines):
        # As a message does it: an id of its own.
        reporter.message(MessageLine(f"abcdef012345-{number:x}", *REST, COUNTS, {}, UPSTREAM_MS))
    return (time.process_time() - began) / lines * 1_000_000


def _nowhere(line: bytes) -> None:
    """Write nothing."""


if __name__ == "__main__":
    print(f"json           {microseconds(Logs(_nowhere, render=JsonLines())):5.2f} µs")  # noqa: T201 - the result
    print(f"ecs            {microseconds(Logs(_nowhere, render=EcsLines())):5.2f} µs")  # noqa: T201 - as above
    print(f"json, counted  {microseconds(Tally(Logs(_nowhere))):5.2f} µs")  # noqa: T201 - as above
