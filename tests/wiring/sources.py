"""Configurations as `serve` has them once they are read."""

from __future__ import annotations

from pathlib import Path

from proxy.config.load import parse
from proxy.wiring.reload.config_files import Source


def given(text: str, file: Path = Path("sealyard.yaml")) -> Source:
    """Return the state of a file with this text, which need not exist."""
    return Source(parse(text, file, {}), text)
