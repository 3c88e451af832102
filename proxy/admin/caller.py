"""Who calls the admin API, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.settings import AdminScope


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose credentials are right; `name` is that of the credentials."""

    name: str
    scopes: frozenset[AdminScope]
