"""The composition root: settings in, a working sidecar out. It owns what it starts."""

from .reload.material import root_provider
from .sidecar.sidecar import Sidecar, build

__all__ = ["Sidecar", "build", "root_provider"]
