"""Who calls the admin API, what they may do, and that it could not be found out."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.settings import AdminScope


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose credentials are right; `name` is that of the credentials."""

    name: str
    scopes: frozenset[AdminScope]


class ReviewFailed(Exception):
    """The API server of Kubernetes gave no usable answer about a caller."""
