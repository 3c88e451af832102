"""The composition root: it builds a working sidecar from settings, and owns what it starts."""

from .sidecar.sidecar import Sidecar, build

__all__ = ["Sidecar", "build"]
