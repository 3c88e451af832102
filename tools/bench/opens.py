"""What it costs a message to be written down that opens something, in process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy.core.callers import VerifiedCaller
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import AuditKey
from proxy.core.values.key_needs import Opening
from proxy.keys.audit import AuditLog, Trail
from proxy.keys.audit.line import ATTEMPTED, LineMac, begun, encode
from proxy.keys.sessions.open_lines import OpenLines
from tests.factories import a_session
from tests.keys.builders import a_keyring

_KEY: Final = AuditKey(bytes(32))
_CALLER: Final = VerifiedCaller("doctor", "https://id.clinic", "grace")


class _Kept(Trail):
    """Keeps the last line in place of writing it."""

    members = b""

    def note_spelled(self, event: str, values: object, more: bytes = b"") -> None:
        self.members = more


def audited() -> Callable[[], object]:
    """Return what makes one line about a message, and chains it to the one before."""
    log, keyring = AuditLog(Path("audit.log"), time.time), a_keyring()
    kept, key = _Kept(log, _KEY, block=False), keyring.record_key
    name_of, key_of = lambda scope: keyring.names_of(scope)[0], lambda: key
    made = _attempt(OpenLines(kept, name_of, key_of, withheld=True, clear=False))
    mac_of = LineMac(_KEY)

    def work() -> object:
        made()
        return encode(1, b"x" * 43, begun(time.time(), ATTEMPTED) + kept.members, mac_of)

    return work


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
