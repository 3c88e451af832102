"""A configuration file, read once: what it says, its text, and the hash that names it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config.load import parse
from ..config.settings import Loaded
from ..config.yaml import composer
from ..config.yaml.nodes import Problems


@dataclass(frozen=True, slots=True)
class Source:
    """One state of a configuration file."""

    loaded: Loaded
    text: str
    sha256: str

    @property
    def rules(self) -> int:
        """How many rules there are, over all listeners."""
        return sum(len(one.rules) for one in self.loaded.settings.listeners)


def read(path: Path, environ: Mapping[str, str]) -> Source:
    """Return the state of the file at `path`; raise ConfigurationError with all its mistakes."""
    problems = Problems(str(path))
    text = composer.read(path, problems) or ""
    problems.raise_if_any()
    return given(text, path, environ)


def given(text: str, path: Path, environ: Mapping[str, str]) -> Source:
    """Do as `read` with a text that was read before."""
    return Source(parse(text, path, environ), text, hashlib.sha256(text.encode()).hexdigest())
