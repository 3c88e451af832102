"""How commands end, what signals do, and numbers of commands that are no option.

`serve`: the first SIGTERM or SIGINT stops it when its messages have ended (`--drain-delay`,
`--grace`), the second at once. SIGHUP reloads (proxy/wiring/policy.py).
"""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import Final, Self


class ExitCode(IntEnum):
    """The exit codes of every command, and the `meaning` of each in its manual."""

    OK = 0, "success"
    # Invalid, refused, not found, not confirmed; of `serve`: messages were aborted.
    NEGATIVE = 1, "negative result"
    USAGE = 2, "wrong usage"
    ENVIRONMENT = 3, "an error of the environment: files, keys, the machine"

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make a number that has a meaning."""
        made = int.__new__(cls, code)
        made._value_ = code
        made.meaning = meaning
        return made


STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
RELOAD_SIGNAL: Final = signal.SIGHUP

# --- waiting ----------------------------------------------------------------------
CONNECT_SECONDS: Final = 10.0  # to the admin API
ANSWER_SECONDS: Final = 30.0  # whole; a process that is stuck accepts connections all the same
UNLOCK_SECONDS: Final = 10.0  # for the process that takes a share
PROBE_SECONDS: Final = 2.0  # for a connection to the backend with its handshake, and an answer
DOCTOR_SECONDS: Final = 5.0
MOST_READY_SECONDS: Final = 3600.0  # a root may wait for operators; a script must end
READY_ANSWER_SECONDS: Final = 5.0  # for one answer; a process that starts may be slow
READY_PAUSE_SECONDS: Final = 0.1  # between two questions
LEAVING_SECONDS: Final = 5.0  # a process that has stopped waits for its threads
INJECTOR_GRACE_SECONDS: Final = 10.0

# --- how much is read -------------------------------------------------------------
TOKEN_BYTES: Final = 16 << 20  # a token or value: as `limits.body`, unless that is set
REPORT_BYTES: Final = 16 << 20
EXAMPLE_BYTES: Final = 64 << 20  # a body for `explain`
RECEIPT_BYTES: Final = 1 << 20
SUMS_BYTES: Final = 1 << 20  # of SHA256SUMS, its signature and the provenance of a release
PEM_BYTES: Final = 64 * 1024
JWK_BYTES: Final = 8192
AUDIT_KEY_BYTES: Final = 256
SHARE_CHARS: Final = 1024  # typed, with what separates groups
UNLOCK_ANSWER_BYTES: Final = 4096

# --- how much is shown, judged or made --------------------------------------------
STEP_DAYS: Final = 7  # of a step, unless the operator says more: a week has its weekend
SHOWN_REFUSALS: Final = 20  # kinds of one rule, the most frequent first
USUAL_BYTES: Final = (0, 1, 16, 20, 32, 64, 100, 128, 256, 512, 1024, 4096, 10240, 65536)
USUAL_CHARACTERS: Final = (191, 255, 512, 1024, 2048, 4096, 10000, 65535)
MOST_WORKERS: Final = 64  # processes of `serve` or `migrate`
MOST_RATE: Final = 10**9  # rows a second
MOST_COUNTED: Final = 4_194_304  # processes, messages, lines, days; the highest pid of Linux
MOST_POISON: Final = 65_536  # tokens of one call
ROOM_BYTES: Final = 256 * 1024  # that `doctor` wants free: a keyring, or some hundred audit lines
SANE_CLOCK: Final = 1_700_000_000  # 2023: a clock before it was never set
LIKE: Final = 0.7  # from this likeness on, 0 to 1, a word is a command that was mistyped
LABELLED_SHOWN: Final = 20  # of namespaces, and of pods, that still have the label
