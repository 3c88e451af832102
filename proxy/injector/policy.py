"""The operator's policy: what pods may do although it weakens their protection.

A *violation* is something in a pod that release 0.1.0 admitted and the policy does not. It is
denied, or, while `enforcement` is `warn`, admitted with a warning. One with a permission is
admitted without a word where the operator allows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from .pod_reader import CannotInject

Enforcement = Literal["warn", "deny"]

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
    """What is done about violations. `allowed`: pairs of a namespace, or `*`, and a permission."""

    enforcement: Enforcement = "deny"
    allowed: frozenset[tuple[str, str]] = frozenset()

    @property
    def denies(self) -> bool:
        """Whether violations are denied; otherwise they are warned of, for one release."""
        return self.enforcement == "deny"

    def permits(self, namespace: str, permission: str) -> bool:
        """Return whether pods of a namespace have a permission."""
        return not self.allowed.isdisjoint({(namespace, permission), (ANY_NAMESPACE, permission)})


@dataclass(frozen=True, slots=True)
class Violation:
    """One sentence about a pod, and the permission that admits it; empty: there is none."""

    sentence: str
    permission: str = ""


def judged(violations: Iterable[Violation], policy: Policy, namespace: str) -> tuple[str, ...]:
    """Return the warnings about the violations that are not permitted.

    Raises CannotInject with all of them where the policy denies.
    """
    left = dict.fromkeys(one for one in violations if not policy.permits(namespace, one.permission))
    if policy.denies and left:
        raise CannotInject(*map(_denial, left))
    return tuple(f"Sealyard: {one.sentence}. The next release denies it." for one in left)


def _denial(violation: Violation) -> str:
    if not violation.permission:
        return violation.sentence
    return f"{violation.sentence} (only with the operator's permission `{violation.permission}`)"
