"""The composition root: settings in, a working sidecar out. It owns what it starts."""

from .material import root_provider
from .sidecar import Sidecar, build

__all__ = ["Sidecar", "build", "root_provider"]
