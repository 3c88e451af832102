"""Callers by their client certificate, whose chain the TLS handshake has verified."""

from __future__ import annotations

from collections.abc import Sequence

from ...config.settings import AdminClient
from ...process.certificates import RevocationLists, names_of
from .tokens import Caller


def caller(
    certificate: bytes,
    clients: Sequence[AdminClient],
    now: float,
    revoked: RevocationLists | None = None,
) -> Caller | None:
    """Return the caller of a certificate (DER); None for an unknown, expired or revoked one.

    That is looked at again, since a connection may outlive the certificate it began with.
    """
    try:
        read = names_of(certificate)
    except ValueError:
        return None
    if now > read.ends or (revoked is not None and revoked.has(read)):
        return None
    for client in clients:
        value = client.value.lower() if client.kind == "dns" else client.value
        if value in read.names[client.kind]:
            return Caller(client.name, client.scopes)
    return None
