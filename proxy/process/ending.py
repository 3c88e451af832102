"""How long the end of a process may take, for whoever starts it and for the process itself."""

from __future__ import annotations

from typing import Final

MOST_SECONDS: Final = 3600
"""The most that `serve` takes for its grace, and for its delay before that."""
