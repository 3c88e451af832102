"""The names that a verified token gives: all its texts, its tenant as `tenants` admits it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...config.settings.callers import CallerTenants
from ...core.errors import CallerUnverified, UnfitEnvironment
from ...keys.keyring.jwk_set import parse_object
from ..policy import NAME_CHARACTERS, TABLE_BYTES


class Tenants:
    """Which tenants one issuer may name."""

    __slots__ = ("_prefix", "_table", "claim", "one_of")

    def __init__(self, settings: CallerTenants) -> None:
        """Read the table, if there is one; raise UnfitEnvironment, naming the file, if unusable."""
        self.claim: Final = settings.claim
        self.one_of: Final = (settings.one_of or "").removeprefix("path:")
        names = settings.names
        self._prefix = names if isinstance(names, str) else ""
        self._table: Mapping[str, str] | None = None
        if isinstance(names, Path):
            self._table = _table(names)
        elif isinstance(names, tuple):
            self._table = {one: one for one in names}

    def of(self, claims: Mapping[str, Any]) -> str | tuple[str, ...] | None:
        """Return the tenants that a token names; several only where a label says which is meant.

        Raises CallerUnverified where it names one that the issuer may not name.
        """
        named = claims.get(self.claim)
        if named is None:
            return None
        if isinstance(named, str):
            return self._admitted([named])[0]
        if not isinstance(named, list) or not self.one_of:
            raise CallerUnverified("tenant-not-text")
        return tuple(self._admitted([one for one in named if isinstance(one, str)]))

    def _admitted(self, named: list[str]) -> list[str]:
        if self._table is None:
            found = [f"{self._prefix}{one}" for one in named if one]
        else:
            found = [self._table[one] for one in named if one in self._table]
        if not found:
            raise CallerUnverified("tenant-not-allowed")
        return found


def texts_of(
    claims: Mapping[str, Any], tenants: Tenants | None
) -> Mapping[str, str | tuple[str, ...]]:
    """Return the claims that can be names: texts, with the tenant as it is admitted."""
    found: dict[str, str | tuple[str, ...]] = {
        name: value
        for name, value in claims.items()
        if isinstance(value, str) and 0 < len(value) <= NAME_CHARACTERS
    }
    if tenants is not None:
        found.pop(tenants.claim, None)
        if (tenant := tenants.of(claims)) is not None:
            found[tenants.claim] = tenant
    return found


def _table(path: Path) -> Mapping[str, str]:
    try:
        with path.open("rb") as file:
            found = parse_object(file.read(TABLE_BYTES + 1))
    except OSError as error:
        raise UnfitEnvironment("caller-tenants", detail=f"{path}: {error.strerror}") from None
    if found is None or not all(
        isinstance(one, str) and one for pair in found.items() for one in pair
    ):
        told = f"{path}: not a JSON object of texts with each name once"
        raise UnfitEnvironment("caller-tenants", detail=told)
    return found
