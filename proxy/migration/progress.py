"""How a run tells how far it is: a bar on a terminal, a JSON line every few seconds elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

from .policy import LOG_SECONDS, TERMINAL_SECONDS

_BAR: Final = 24


@dataclass(slots=True)
class Progress:
    """Writes to `stream`; `clock` gives seconds. Nothing but names of tables and counts."""

    stream: TextIO
    clock: Callable[[], float]
    rows: int = 0
    total: int | None = None
    _began: float = 0.0
    _before: int = 0
    _written: float = 0.0
    _waits: bool = False

    def begin(self, total: int | None, rows: int = 0) -> None:
        """Expect so many rows, of which some are done."""
        self.total = total
        self.rows = self._before = rows
        self._began = self._written = self.clock()

    def reached(self, table: str, rows: int) -> None:
        """Count rows, and write where it is time to."""
        self.rows += rows
        self._waits = False
        now = self.clock()
        terminal = self.stream.isatty()
        if now - self._written >= (TERMINAL_SECONDS if terminal else LOG_SECONDS):
            self._written = now
            self.stream.write(self._bar(table, now) if terminal else self._line(table, now))
            self.stream.flush()

    def waits(self, why: str) -> None:
        """Say why the run waits: at once, and as often as it is time to."""
        now = self.clock()
        terminal = self.stream.isatty()
        if not self._waits or now - self._written >= LOG_SECONDS:
            self._written, self._waits = now, True
            said = f"\rwaits: {why}\x1b[K" if terminal else json.dumps({"waits": why}) + "\n"
            self.stream.write(said)
            self.stream.flush()

    def end(self) -> None:
        """Leave the line of the bar."""
        if self.stream.isatty() and self._written > self._began:
            self.stream.write("\n")

    def _rate(self, now: float) -> float:
        """Return how many rows a second there are in this run."""
        return (self.rows - self._before) / max(now - self._began, 0.001)

    def _left(self, now: float) -> int | None:
        """Return how many seconds are left, if the number of rows is known."""
        if self.total is None:
            return None
        return round(max(self.total - self.rows, 0) / max(self._rate(now), 0.001))

    def _line(self, table: str, now: float) -> str:
        said = {"table": table, "rows": self.rows, "of": self.total}
        rate = {"rows_per_second": round(self._rate(now)), "seconds_left": self._left(now)}
        return json.dumps(said | rate) + "\n"

    def _bar(self, table: str, now: float) -> str:
        left, rate = self._left(now), f"{self._rate(now):,.0f}/s"
        if self.total is None or left is None:
            return f"\r{table} {self.rows:,} rows {rate}\x1b[K"
        share = min(self.rows / max(self.total, 1), 1.0)
        bar = "#" * round(share * _BAR)
        minutes, seconds = divmod(left, 60)
        return f"\r{table} [{bar:-<{_BAR}}] {share:4.0%} {rate} {minutes}:{seconds:02} left\x1b[K"
