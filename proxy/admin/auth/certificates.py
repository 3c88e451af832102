"""Callers by their client certificate, whose chain the TLS handshake has verified."""

from __future__ import annotations

from collections.abc import Sequence

from ...config.settings import AdminClient
from ...process.certificates import names_of
from .tokens import Caller


def caller(certificate: bytes, clients: Sequence[AdminClient], now: float) -> Caller | None:
    """Return the caller of a certificate (DER); None for an unknown or expired one.

    Expiry is checked again, since a connection may outlive the certificate it began with.
    """
    try:
        read = names_of(certificate)
    except ValueError:
        return None
    if now > read.ends:
        return None
    for client in clients:
        value = client.value.lower() if client.kind == "dns" else client.value
        if value in read.names[client.kind]:
            return Caller(client.name, client.scopes)
    return None
