"""The rows of the corpora: what can be sent to a server, and what their sources say of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

VECTORS: Final = Path(__file__).parent.parent / "vectors" / "smuggling"

_LINE: Final = re.compile(rb"\A(?:\r?\n)*[^\r\n]+ HTTP/1\.1\r?\n")
_HOST: Final = re.compile(rb"\n[\t ]*host[\t ]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """Bytes that somebody sent to a server of HTTP, and whether it had to refuse them."""

    id: str
    expect: str
    note: str
    raw: bytes


@cache
def rows() -> tuple[Row, ...]:
    """Return every row that is a request and tells all of its bytes.

    An HTTP/1.1 row without a Host comes twice: as it is, which every server refuses for that
    alone, and as `...+host` with one, so that its own point is met.
    """
    return tuple(row for name in ("corpus", "own") for row in _of(VECTORS / f"{name}.jsonl"))


def _of(file: Path) -> list[Row]:
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        kind = entry.get("kind", "")
        if entry.get("approx") or kind.startswith("response"):
            continue
        # What llhttp does in a lenient mode says nothing of what a strict server shall do.
        expect = "see_note" if "lenient" in kind else entry["expect"]
        row = Row(entry["id"], expect, entry.get("note", ""), entry["raw"].encode("latin-1"))
        found.append(row)
        start = _LINE.match(row.raw)
        if start and not _HOST.search(row.raw.partition(b"\r\n\r\n")[0]):
            raw = row.raw[: start.end()] + b"Host: localhost\r\n" + row.raw[start.end() :]
            found.append(Row(row.id + "+host", row.expect, row.note, raw))
    return found
