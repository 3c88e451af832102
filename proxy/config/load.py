"""From a configuration file to settings, or to every mistake in it at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .settings import Loaded


def find(chosen: Path | None, environ: Mapping[str, str], folder: Path) -> Path:
    """Return the file to load: the one chosen, or the first that is there.

    `chosen` is `--config`; `folder` is where the relative places are looked up. Raises
    ConfigurationError where there is none.
    """
    raise NotImplementedError


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Return the settings of the file at `path`; raise ConfigurationError with all its mistakes.

    `environ` is what `${env:NAME}` is looked up in. Nothing is connected to, opened or changed.
    """
    raise NotImplementedError
