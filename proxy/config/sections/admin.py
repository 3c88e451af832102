"""The section `admin`: where it listens, who is admitted, and with which scopes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final, TypeVar, cast

from ..schema.addresses import Files
from ..schema.admin_keys import ADMIN, ADMIN_ACCOUNT, ADMIN_CLIENT, ADMIN_KUBERNETES, ADMIN_TOKEN
from ..schema.tables import Fields
from ..settings import (
    ADMIN_SCOPES,
    AdminAccount,
    AdminClient,
    AdminKubernetes,
    AdminScope,
    AdminSettings,
    AdminToken,
    TcpAddress,
)
from ..yaml.nodes import Place, Problems, Scalar, show
from ..yaml.scalars import choice, elements, switch, text
from .traffic import listener_tls

SIMPLE_SCOPES: Final[frozenset[AdminScope]] = frozenset({"read", "keys", "reload"})
"""The scopes of the single `token`: it may neither accept keys nor seal or open values."""

SIMPLE_NAME: Final = "token"
_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CLUSTER: Final = TcpAddress("kubernetes.default.svc", 443)
_ACCOUNT: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

Read = TypeVar("Read")


def admin_settings(place: Place | None, files: Files, problems: Problems) -> AdminSettings | None:
    """Return the settings of the admin API; report what is wrong."""
    if place is None:
        return None
    fields = Fields(place, ADMIN, problems)
    listen = fields.read("listen", files.listen, problems)
    tokens = (*_simple(fields, files, problems), *_tokens(fields, files, problems))
    tls = listener_tls(fields.get("tls"), files, problems)
    clients = _each(fields.get("clients"), _client, problems)
    cluster = _kubernetes(fields.get("kubernetes"), files, problems)
    if fields.whole and not any(
        fields.get(name) for name in ("token", "tokens", "clients", "kubernetes")
    ):
        problems.add(place, "admits no caller", "write `token: {file: path}`")
    clients_place = fields.get("clients")
    if clients_place is not None and (tls is None or tls.client_ca is None):
        problems.add(clients_place, "needs `tls` in `admin`", "write `tls: {…, client_ca: path}`")
    _report_duplicates(
        place, (*(one.name for one in tokens), *(one.name for one in clients)), problems
    )
    if listen is None:
        return None
    page, tap = (bool(fields.read(name, switch, problems)) for name in ("status_page", "tap"))
    ladder_file = fields.read("ladder_file", files.path, problems)
    return AdminSettings(listen, tokens, tls, clients, cluster, page, tap, ladder_file)


def _simple(fields: Fields, files: Files, problems: Problems) -> tuple[AdminToken, ...]:
    secret = fields.read("token", files.secret, problems)
    return () if secret is None else (AdminToken(SIMPLE_NAME, secret, SIMPLE_SCOPES),)


def _tokens(fields: Fields, files: Files, problems: Problems) -> tuple[AdminToken, ...]:
    def token(place: Place, problems: Problems) -> AdminToken | None:
        one = Fields(place, ADMIN_TOKEN, problems)
        name, scopes = _name(one, problems), _scopes(one, problems)
        secret = one.read("token", files.secret, problems)
        expires = one.read("expires", _time, problems) if one.get("expires") else 0
        if name is None or secret is None or not scopes or expires is None:
            return None
        return AdminToken(name, secret, scopes, expires)

    return _each(fields.get("tokens"), token, problems)


def _client(place: Place, problems: Problems) -> AdminClient | None:
    one = Fields(place, ADMIN_CLIENT, problems)
    name, scopes = _name(one, problems), _scopes(one, problems)
    kind = one.alternative(problems)
    value = None if kind is None else text(one[kind], problems)
    if name is None or kind is None or value is None or not scopes:
        return None
    return AdminClient(name, kind, value, scopes)


def _kubernetes(place: Place | None, files: Files, problems: Problems) -> AdminKubernetes | None:
    if place is None:
        return None
    fields = Fields(place, ADMIN_KUBERNETES, problems)
    accounts = _each(fields.get("accounts"), _account, problems)
    audience = fields.read("audience", text, problems)
    address: object = _CLUSTER
    if fields.get("api"):
        upstream = files.upstream(fields["api"], problems)
        address = upstream.address if upstream is not None and upstream.tls else None
        if upstream is not None and not upstream.tls:
            problems.add(fields["api"], "must be an `https` address", "write `https://host:port`")
    ca, token = (fields.read(name, files.path, problems) for name in ("ca", "token_file"))
    if audience is None or not isinstance(address, TcpAddress):
        return None
    return AdminKubernetes(
        accounts, audience, address, ca or _POD / "ca.crt", token or _POD / "token"
    )


def _account(place: Place, problems: Problems) -> AdminAccount | None:
    one = Fields(place, ADMIN_ACCOUNT, problems)
    written, scopes = one.read("account", text, problems), _scopes(one, problems)
    if written is not None and not _ACCOUNT.fullmatch(written):
        problems.add(
            one["account"], f"{show(written)} is not a service account", "write `namespace/name`"
        )
        return None
    return None if written is None or not scopes else AdminAccount(written, scopes)


def _each(
    place: Place | None, reader: Callable[[Place, Problems], Read | None], problems: Problems
) -> tuple[Read, ...]:
    places = [] if place is None else elements(place, problems)
    return tuple(found for one in places if (found := reader(one, problems)) is not None)


def _scopes(fields: Fields, problems: Problems) -> frozenset[AdminScope]:
    places = fields.read("scopes", elements, problems) or []
    words = [choice(one, ADMIN_SCOPES, problems) for one in places]
    return frozenset(cast("AdminScope", word) for word in words if word is not None)


def _name(fields: Fields, problems: Problems) -> str | None:
    written = fields.read("name", text, problems)
    if written is not None and not _NAME.fullmatch(written):
        problems.add(
            fields["name"],
            f"{show(written)} is not a name: 1 to 64 of the characters A-Z a-z 0-9 . _ -",
        )
        return None
    return written


def _time(place: Place, problems: Problems) -> int | None:
    """Return a day (in UTC), or a time with its offset, as seconds since 1970."""
    node = place.node
    written = node.text if isinstance(node, Scalar) else ""
    said = _parsed(written)
    if said is None or said.tzinfo is None:
        hint = "write `2027-06-01` or `2027-06-01T12:00:00Z`"
        problems.add(place, f"{show(written)} is not a time", hint)
        return None
    return max(int(said.timestamp()), 1)  # 0 is never


def _parsed(written: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(written), time(), UTC)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return None


def _report_duplicates(place: Place, names: Iterable[str], problems: Problems) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problems.add(place, f"the name {show(name)} is given twice", "give each its own")
        seen.add(name)
