"""Run every measurement, print the tables, and write them to docs/benchmarks.md with `--write`."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from . import transform, weight

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    """Measure, print, and write the page where asked to."""
    table = "\n".join(_table())
    sys.stdout.write(table + "\n")
    if "--write" in sys.argv[1:]:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        behind = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{behind}")


def _table() -> list[str]:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("aiohttp", "cryptography"))
    today = dt.datetime.now(dt.UTC).date()
    lines = [
        "",
        (
            f"Measured on {today} on {_processor()}, {os.cpu_count()} cores,"
            f" Python {platform.python_version()}, {versions}."
        ),
        "",
        "| what | µs of CPU: median (least to most of 9 rounds) | target |",
        "|---|---|---|",
    ]
    for case, timing in transform.run():
        figures = f"{timing.median:,.1f} ({timing.least:,.1f} to {timing.most:,.1f})"
        target = f"{case.target:,.0f}" if case.target is not None else "none"
        lines.append(f"| {case.name} | {figures} | {target} |")
    weighed = weight.run()
    lines += [
        "",
        "| what | median of 5 starts | target |",
        "|---|---|---|",
        f"| start to ready | {weighed.seconds_to_ready:.2f} s | 1 s |",
        f"| idle, resident (memory store) | {weighed.idle_mebibytes:.1f} MiB | 60 MiB |",
        "",
    ]
    return lines


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "an unnamed processor"


if __name__ == "__main__":
    main()
