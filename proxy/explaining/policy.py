"""Limits of a trial, and of what is played without a message."""

from typing import Final

TRIAL_SECONDS: Final = 10.0  # nothing in it waits for anybody else
FRAME_BYTES: Final = 1 << 30
READ_BYTES: Final = 1 << 16
PLAYED_RULES: Final = 200  # of a listener: each takes some milliseconds
PLAYED_CHARS: Final = 1000  # of a value that is made for `min_chars`
