"""Callers by their client certificate, whose chain the TLS handshake has verified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509

from ...config.settings import AdminClient
from .tokens import Caller


def caller(certificate: bytes, clients: Sequence[AdminClient], now: float) -> Caller | None:
    """Return the caller of a certificate (DER); None for an unknown or expired one.

    Expiry is checked again, since a connection may outlive the certificate it began with.
    """
    try:
        read = x509.load_der_x509_certificate(certificate)
        ends = read.not_valid_after_utc
        shown = {"subject": {read.subject.rfc4514_string()}, **_alternatives(read)}
    except ValueError:
        return None
    if datetime.fromtimestamp(now, UTC) > ends:
        return None
    for client in clients:
        value = client.value.lower() if client.kind == "dns" else client.value
        if value in shown[client.kind]:
            return Caller(client.name, client.scopes)
    return None


def _alternatives(certificate: x509.Certificate) -> dict[str, set[str]]:
    """Return the names of the subjectAltName (RFC 5280), DNS names in lower case."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return {"dns": set(), "uri": set()}
    return {
        "dns": {name.lower() for name in found.get_values_for_type(x509.DNSName)},
        "uri": set(found.get_values_for_type(x509.UniformResourceIdentifier)),
    }
