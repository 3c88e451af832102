"""Limits of a trial."""

from typing import Final

TRIAL_SECONDS: Final = 10.0  # nothing in it waits for anybody else
FRAME_BYTES: Final = 1 << 30
READ_BYTES: Final = 1 << 16
