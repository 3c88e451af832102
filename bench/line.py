"""What the line of a message costs, `python -m bench.line`: made and counted, but not written.

CPU time of this process, the least of several rounds: other work on the machine only adds to it.
Writing the line is one call of the kernel, which depends on what reads the log.
"""

from __future__ import annotations

import time
from typing import Final

from proxy.telemetry.lines import EcsLines, JsonLines
from proxy.telemetry.logs import Logs
from proxy.telemetry.tally import Reporter, Tally

ROUNDS: Final = 7
LINES: Final = 100_000

FIELDS: Final[dict[str, object]] = {
    "listener": "api",
    "method": "POST",
    "rule": "send",
    "status": 201,
    "request_bytes": 1234,
    "response_bytes": 2345,
    "duration_ms": 1.2345678,
    "sealed": 1,
    "opened": 1,
    "response_opened": 1,
    "upstream_ms": 0.98765,
}


def microseconds(reporter: Reporter, *, lines: int = LINES, rounds: int = ROUNDS) -> float:
    """Return what one line costs."""
    return min(_round(reporter, lines) for _ in range(rounds))


def _round(reporter: Reporter, lines: int) -> float:
    began = time.process_time()
    for number in range(lines):
        # As a message does it: an id of its own, and a new mapping for each line.
        reporter.report("message.handled", request_id=f"abcdef012345-{number:x}", **FIELDS)
    return (time.process_time() - began) / lines * 1_000_000


def _nowhere(line: bytes) -> None:
    """Write nothing."""


if __name__ == "__main__":
    print(f"json           {microseconds(Logs(_nowhere, render=JsonLines())):5.2f} µs")  # noqa: T201 - the result
    print(f"ecs            {microseconds(Logs(_nowhere, render=EcsLines())):5.2f} µs")  # noqa: T201 - as above
    print(f"json, counted  {microseconds(Tally(Logs(_nowhere))):5.2f} µs")  # noqa: T201 - as above
