"""The operator's policy: what pods may do although it weakens their protection.

A *violation* is something in a pod that weakens its protection. The pod is denied, unless the
violation has a permission and the operator gives that to the namespace of the pod.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .pod_reader import CannotInject

PERMISSIONS: Final = (
    "audit",
    "capabilities",
    "config",
    "disabled",
    "host",
    "interception",
    "keys",
    "mesh-init",
    "ports",
)
"""What operators can allow: see docs/how-to/kubernetes.md."""

ANY_NAMESPACE: Final = "*"


@dataclass(frozen=True, slots=True)
class Policy:
    """What operators allow: pairs of a namespace, or `*`, and a permission."""

    allowed: frozenset[tuple[str, str]] = frozenset()

    def permits(self, namespace: str, permission: str) -> bool:
        """Return whether pods of a namespace have a permission."""
        return not self.allowed.isdisjoint({(namespace, permission), (ANY_NAMESPACE, permission)})


@dataclass(frozen=True, slots=True)
class Violation:
    """One sentence about a pod, and the permission that admits it; empty: there is none."""

    sentence: str
    permission: str = ""


def require_permitted(violations: Iterable[Violation], policy: Policy, namespace: str) -> None:
    """Raise CannotInject with all violations that the policy does not permit in `namespace`."""
    left = dict.fromkeys(one for one in violations if not policy.permits(namespace, one.permission))
    if left:
        raise CannotInject(*map(_denial, left))


def _denial(violation: Violation) -> str:
    if not violation.permission:
        return violation.sentence
    return f"{violation.sentence} (only with the operator's permission `{violation.permission}`)"
