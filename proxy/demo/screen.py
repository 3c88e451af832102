"""The output of the demo: headings, three columns, and whether each claim holds."""

from __future__ import annotations

import base64
import json
import shutil
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, quote_plus

_MIN_WIDTH: Final = 72
_MAX_WIDTH: Final = 120
_BOLD: Final = "\x1b[1m"
_GREEN: Final = "\x1b[32m"
_RED: Final = "\x1b[31m"
_DIM: Final = "\x1b[2m"
_END: Final = "\x1b[0m"


@dataclass(slots=True)
class Screen:
    """Writes lines by `write`, and remembers every claim that did not hold."""

    write: Callable[[str], None]
    colors: bool = False
    failed: list[str] = field(default_factory=list)
    claims: list[tuple[str, bool]] = field(default_factory=list)

    def chapter(self, title: str, *text: str) -> None:
        """Begin a chapter with a sentence or two."""
        self.write("")
        self.write(self._painted(_BOLD, title))
        for paragraph in text:
            for line in textwrap.wrap(paragraph, self._width()):
                self.write(line)

    def claim(self, holds: bool, text: str) -> None:  # noqa: FBT001 - a claim and its text
        """Print whether a claim holds. One that does not makes the demo fail."""
        self.claims.append((text, holds))
        if not holds:
            self.failed.append(text)
        mark = self._painted(_GREEN, "ok") if holds else self._painted(_RED, "FAILED")
        self.write(f"  {mark}  {text}")

    def side_by_side(self, columns: dict[str, str]) -> None:
        """Print texts beside each other, each under its heading."""
        width = (self._width() - 2 * (len(columns) - 1)) // len(columns)
        cells = [_cell(text, width) for text in columns.values()]
        height = max(len(cell) for cell in cells)
        self.write("")
        self.write("  ".join(self._painted(_BOLD, name.ljust(width)) for name in columns))
        for at in range(height):
            row = [(cell[at] if at < len(cell) else "").ljust(width) for cell in cells]
            self.write("  ".join(row).rstrip())
        self.write("")

    def quote(self, text: str) -> None:
        """Print the output of a program."""
        for line in text.splitlines():
            self.write(self._painted(_DIM, f"    {line}"))

    def refusal(self, status: int, body: bytes) -> None:
        """Print the status, title and type of a problem (RFC 9457)."""
        problem = json.loads(body)
        self.quote(f"{status} {problem.get('title')} ({problem.get('type')})")

    def _width(self) -> int:
        return max(_MIN_WIDTH, min(_MAX_WIDTH, shutil.get_terminal_size().columns))

    def _painted(self, color: str, text: str) -> str:
        return f"{color}{text}{_END}" if self.colors else text


def pretty(value: object) -> str:
    """Return a value as JSON over several lines."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def _cell(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        lines += textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    return lines


def spellings(text: str) -> dict[str, bytes]:
    """Return the spellings of `text` that are searched for, by name.

    base64 encodes a text differently at three offsets. The part that does not depend on its
    neighbours is searched for.
    """
    raw = text.encode()
    found = {
        "raw": raw,
        "JSON": json.dumps(text)[1:-1].encode(),
        "hex": raw.hex().encode(),
        "percent": quote(text).encode(),
        "form": quote_plus(text).encode(),
        "UTF-16": text.encode("utf-16-le"),
    }
    for offset in range(3):
        padded = b"\0" * offset + raw
        whole = len(padded) // 3 * 3
        encoded = base64.b64encode(padded[:whole])[4 if offset else 0 :]
        found[f"base64 at {offset}"] = encoded
        found[f"base64url at {offset}"] = encoded.replace(b"+", b"-").replace(b"/", b"_")
    return found


def search(text: str, places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return each place that contains `text`, with the spelling in which it was found."""
    hex_upper = text.encode().hex().upper().encode()
    return [
        (place, spelling)
        for place, content in places.items()
        for spelling, needle in {**spellings(text), "HEX": hex_upper}.items()
        if needle in content
    ]
