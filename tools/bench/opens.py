"""`python -m tools.bench.opens`: what it costs a message to be written down, in process.

Microseconds of CPU time, the least of nine rounds and the median: what the event loop does for a
line, and what the thread does that chains it to those before. The goal for both is 3. The last row
is a group of 64 lines on the disk, for one of them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy.core.callers import VerifiedCaller
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import AuditKey
from proxy.core.values.key_needs import Opening
from proxy.keys.audit import AuditLog, Entry, Trail
from proxy.keys.audit.line import ATTEMPTED, LineMac, encode
from proxy.keys.sessions.open_lines import OpenLines
from tests.factories import a_session
from tests.keys.builders import a_keyring

from .timing import measure

_KEY: Final = AuditKey(bytes(32))
_CALLER: Final = VerifiedCaller("doctor", "https://id.clinic", "grace")
_GROUP: Final = 64


class _Kept(Trail):
    """Keeps the last line in place of writing it."""

    members = b""

    def note_spelled(self, event: str, values: object, more: bytes = b"") -> None:
        self.members = more


def main() -> None:
    """Measure a line and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder) / "audit.log", time.time)
        kept, keyring = _Kept(log, _KEY, block=False), a_keyring()
        lines = OpenLines(
            kept,
            lambda scope: keyring.names_of(scope)[0],
            lambda: keyring.record_key,
            withheld=True,
            clear=False,
        )
        made = measure(_attempt(lines), seconds=0.05)
        members = kept.members
        mac_of = LineMac(_KEY)
        chained = measure(lambda: encode(1, b"x" * 43, members, mac_of), seconds=0.05)
        entries = [Entry(ATTEMPTED, time.time(), {}, members)] * _GROUP
        written = measure(lambda: log.append(_KEY, entries), seconds=0.05)
    sys.stdout.write("| a line | least | median |\n|---|--:|--:|\n")
    for name, one, lines_of in (
        ("made", made, 1),
        ("chained", chained, 1),
        ("on the disk, of 64", written, _GROUP),
    ):
        sys.stdout.write(f"| {name} | {one.least / lines_of:.2f} | {one.median / lines_of:.2f} |\n")


def _attempt(lines: OpenLines) -> Callable[[], object]:
    session = a_session(scope=Scope("clinic", "c1"))
    one = Opening(
        "api", "history", "response", "1a2b3c4d5e6f-1f", _CALLER, "treatment", (session,), {}
    )._replace(counts={("content", "opened"): 20})

    def attempt() -> None:
        waiting = lines.attempt(one)
        try:
            waiting.send(None)
        except StopIteration:
            return
        raise AssertionError

    return attempt


if __name__ == "__main__":
    main()
