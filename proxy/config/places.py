"""Where a configuration file is, before anything of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..core.errors import ConfigurationError

VARIABLE: Final = "SEALYARD_CONFIG"
PLACES: Final = (
    Path("sealyard.yaml"),
    Path("config/sealyard.yaml"),
    Path("/etc/sealyard/sealyard.yaml"),
)


def find(chosen: Path | None, environ: Mapping[str, str], folder: Path) -> Path:
    """Return the path of the configuration: `chosen`, `$SEALYARD_CONFIG`, or the first that exists.

    `chosen` is `--config`; relative paths are relative to `folder`. Raises ConfigurationError if
    there is none.
    """
    if chosen is not None:
        return chosen
    named = environ.get(VARIABLE)
    if named:
        return folder / named
    for place in PLACES:
        if (folder / place).is_file():
            return folder / place
    looked = ", ".join(str(place) for place in PLACES)
    told = f"no configuration: none of {looked} exists; `sealyard init` writes one,"
    raise ConfigurationError((f"{told} --config or ${VARIABLE} names another",))
