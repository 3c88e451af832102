"""Modules that development has and an installation lacks; each is refused here, as if it were not.

structlog loads rich where it is, with 3.4 MiB. `AS_INSTALLED` keeps what is in this folder out of a
process of Sealyard.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

AS_INSTALLED: Final = {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[3]}"}
"""Variables of a process that imports what an installation has."""
