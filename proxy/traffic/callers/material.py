"""What is made of `callers` before a configuration takes effect. It reads files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...config.settings import ListenerTls
from ...config.settings.callers import CallerJwt, CallerKeys, CallerSettings
from ...process.certificates import RevocationLists
from .issuer_keys import Fetch, fetching, of_file
from .key_set import KeySet
from .table import CallerTable


@dataclass(frozen=True, slots=True)
class CallerMaterial:
    """The callers of a listener, and the keys of each issuer, or what fetches them.

    `revoked` are the certificates that count no more, also on connections that were made before.
    """

    table: CallerTable
    keys: Mapping[CallerKeys, KeySet | Fetch]
    revoked: RevocationLists | None = None


def gather(callers: Sequence[CallerSettings], tls: ListenerTls | None) -> CallerMaterial:
    """Return the material; raise UnfitEnvironment, naming the file, where one cannot be used."""
    wanted = {one.by.jwks for one in callers if isinstance(one.by, CallerJwt)}
    keys: dict[CallerKeys, KeySet | Fetch] = {
        one: of_file(one.place) if isinstance(one.place, Path) else fetching(one) for one in wanted
    }
    lists = None if tls is None else tls.client_crl
    revoked = None if lists is None else RevocationLists(lists)
    return CallerMaterial(CallerTable(callers), keys, revoked)
