"""Configurations as `serve` has them once they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.config.load import parse
from proxy.config.settings import Loaded
from proxy.wiring.reload import reading
from proxy.wiring.reload.config_files import Source


def given(text: str, file: Path = Path("sealyard.yaml")) -> Source:
    """Return the state of a file with this text, which need not exist."""
    return Source(parse(text, file, {}), text)


def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be read in this process: to start another one takes a quarter of a second."""

    def read(path: Path, environ: Mapping[str, str]) -> tuple[str, Loaded]:
        text = path.read_text()
        return text, parse(text, path, environ)

    monkeypatch.setattr(reading, "read", read)
