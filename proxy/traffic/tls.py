"""TLS on either side: contexts made from files, and one clear error where a file cannot be used."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..config.settings import ListenerTls, UpstreamTls
from ..core.errors import UnfitEnvironment


def listener_context(settings: ListenerTls) -> ssl.SSLContext:
    """Return the context of a listener: TLS 1.2 or newer, HTTP/1.1 only.

    With `client_ca`, clients must show a certificate that it signed, and with `client_crl` one that
    was not revoked. Raises UnfitEnvironment, naming the file, where one cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, settings.cert, settings.key)
    if settings.client_ca is not None:
        _load_authorities(context, settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        if settings.client_crl is not None:
            _refuse_authorities(settings.client_crl)
            _load_authorities(context, settings.client_crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def upstream_context(settings: UpstreamTls) -> ssl.SSLContext:
    """Return the context towards an upstream, whose certificate and name are always verified.

    Raises UnfitEnvironment, naming the file, where one cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.ca is not None:
        # A configured authority replaces those of the system.
        context = _only_from(settings.ca)
    if settings.cert is not None and settings.key is not None:
        _load_chain(context, settings.cert, settings.key)
    return context


def _only_from(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_authorities(context, authority)
    return context


def _load_chain(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise UnfitEnvironment("tls", detail=f"{cert}, {key}: {_reason(error)}") from None


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise UnfitEnvironment("tls", detail=f"{path}: {_reason(error)}") from None


def _refuse_authorities(path: Path) -> None:
    """Refuse a file of revocation lists that would also say whom to trust."""
    with suppress(OSError):  # loading it says so
        if b"CERTIFICATE-----" in path.read_bytes():
            raise UnfitEnvironment("tls", detail=f"{path}: it holds certificates beside the lists")


def _no_password() -> str:
    # Without this, OpenSSL would ask on the terminal, and a service would hang.
    raise ValueError("the key is encrypted")


_REASONS: Final = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
    "NO_START_LINE": "it holds no PEM block of that kind",
    "NO_CERTIFICATE_OR_CRL_FOUND": "it holds no PEM certificate or revocation list",
    "PEM_LIB": "it holds no PEM block of that kind",
    "EE_KEY_TOO_SMALL": "the key of the certificate is too small",
    "CA_MD_TOO_WEAK": "a certificate is signed by way of a weak hash",
}


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "not usable"
        return _REASONS.get(reason, reason.lower().replace("_", " "))
    return getattr(error, "strerror", None) or str(error)
