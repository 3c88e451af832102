"""Where sessions get KEKs from: a source, which they ask by tenant.

Name key and record key are those of the deployment. What seals and opens the messages of a tenant
may be that tenant's own.
"""

from __future__ import annotations

from typing import Protocol

from ...core.crypto.joined_names import Name
from .kek import KekEntry
from .keyring import Keyring


class TenantKeks(Protocol):
    """The KEKs of one tenant. They do not change: a source that has others gives another object."""

    @property
    def keks(self) -> tuple[KekEntry, ...]:
        """All of them, also those that are disabled."""

    @property
    def primary(self) -> KekEntry:
        """The one that new sessions are sealed under."""

    def usable(self, *, kek_id: str | None = None, number: int | None = None) -> KekEntry | None:
        """Return the one with that id, or else that number, if it may open."""


class KekSource(Protocol):
    """Gives the KEKs of a tenant.

    It is asked for each session that is not cached: it answers from memory, and does not wait.
    """

    def of(self, tenant: Name | None) -> TenantKeks:
        """Return the KEKs of the tenant, as the rule binds it; None where it binds none."""


class OneKeyring:
    """The source of a deployment with one keyring: its KEKs are those of every tenant."""

    __slots__ = ("keyring",)

    def __init__(self, keyring: Keyring) -> None:
        """Answer with this keyring until `keyring` is set to another."""
        self.keyring = keyring

    def of(self, _: Name | None) -> TenantKeks:
        """Return the keyring."""
        return self.keyring
