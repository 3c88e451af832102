"""What one process that carries traffic can tell of itself: to the admin API or its supervisor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .samples import Samples


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of readiness; `detail` says in a few words how it stands.

    What is `degraded` goes on in part, so that it stays ready.
    """

    name: str
    ok: bool
    detail: str = ""
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Checks, samples and a status of names and numbers."""

    checks: tuple[Check, ...]
    samples: Samples
    status: Mapping[str, Any]

    @property
    def ready(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON holds them."""
        return {
            "checks": [asdict(check) for check in self.checks],
            "samples": self.samples.to_json(),
            "status": dict(self.status),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Facts:
        """Return the facts that another process of the same version sent."""
        checks = tuple(Check(**check) for check in value["checks"])
        return cls(checks, Samples.from_json(value["samples"]), value["status"])
