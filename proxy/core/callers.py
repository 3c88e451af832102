"""Who sends a request, as a verifier found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANYONE = "anyone"
"""The name in rules for a client that has presented no credential."""


@dataclass(frozen=True, slots=True)
class VerifiedCaller:
    """A caller that was verified: `name` is its name in the configuration.

    `issuer` and `subject` tell who it is beyond that name (RFC 7519, `iss` and `sub`; of a
    certificate its issuer and what was matched). `claims` are what a name may be read from by
    `caller:`, verified and admitted by `tenants:`. `expires` is in seconds since 1970; None: while
    the connection lasts.
    """

    name: str
    issuer: str = ""
    subject: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    expires: float | None = None
