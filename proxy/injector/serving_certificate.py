"""The webhook's own certificate: what its Secret holds, and the next step of its renewal.

The Secret is of type Opaque. `ca.crt` holds the authorities that the API server trusts, the newest
first; `tls.crt` and `tls.key` are in use; `next.crt` and `next.key` follow them. The key of an
authority signs one certificate and is never stored. A renewal takes two steps, so that no replica
ever serves a certificate that an API server does not trust yet:

1. a new authority is published beside the old one, and the certificate that it signed waits;
2. after OVERLAP, that certificate takes the place of the old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .policy import CERTIFICATE_SKEW, LIFETIME, OVERLAP, RENEW_BEFORE

Held = Mapping[str, bytes]
"""The data of the Secret, decoded."""


class ServedPair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def next_step(
    held: Held, names: Sequence[str], now: datetime, trusted: bytes = b""
) -> dict[str, bytes] | None:
    """Return the data that the Secret has to hold instead; None where it is as it should be.

    `names` are the DNS names of the webhook's Service. `trusted` is the bundle that the webhook
    configuration has: an empty Secret takes over its authorities, so that replicas which serve a
    certificate of another origin stay trusted until they are replaced. Whatever cannot be used (an
    empty Secret, a key that does not fit, an expired certificate, another name) is replaced at
    once. Authorities that are still valid stay trusted.
    """
    known = _read(held.get("ca.crt", b""))
    authorities = [one for one in known if now < one.not_valid_after_utc]
    current = _usable("tls", held, authorities, names, now)
    if current is None:
        former = [] if held.get("ca.crt") else _read(trusted)
        authority, made = _issued(names, now)
        valid = (one for one in former if now < one.not_valid_after_utc)
        return _data([authority, *authorities, *valid], made)
    waiting = _usable("next", held, authorities, names, now)
    if waiting is not None:
        if now < waiting.not_valid_before_utc + CERTIFICATE_SKEW + OVERLAP:
            return None
        return _data(authorities, ServedPair(held["next.crt"], held["next.key"]))
    if current.not_valid_after_utc - now < RENEW_BEFORE:
        authority, made = _issued(names, now)
        used = ServedPair(held["tls.crt"], held["tls.key"])
        return _data([authority, *authorities], used, waiting=made)
    if len(authorities) < len(known):
        return _data(authorities, ServedPair(held["tls.crt"], held["tls.key"]))
    return None


def _data(
    authorities: Sequence[x509.Certificate], used: ServedPair, *, waiting: ServedPair | None = None
) -> dict[str, bytes]:
    bundle = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in authorities)
    data = {"ca.crt": bundle, "tls.crt": used.certificate, "tls.key": used.key}
    if waiting is not None:
        data |= {"next.crt": waiting.certificate, "next.key": waiting.key}
    return data


def _read(bundle: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return []


def _usable(
    name: str,
    held: Held,
    authorities: Sequence[x509.Certificate],
    names: Sequence[str],
    now: datetime,
) -> x509.Certificate | None:
    """Return a certificate of the Secret if it may be served; None otherwise."""
    try:
        found = x509.load_pem_x509_certificate(held[f"{name}.crt"])
        key = serialization.load_pem_private_key(held[f"{name}.key"], None)
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (KeyError, ValueError, TypeError, x509.ExtensionNotFound):
        return None
    fits = (
        key.public_key() == found.public_key()
        and set(names) <= set(extension.value.get_values_for_type(x509.DNSName))
        and found.not_valid_before_utc <= now < found.not_valid_after_utc
        and any(_signed(found, one) for one in authorities)
    )
    return found if fits else None


def _signed(found: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        found.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _issued(names: Sequence[str], now: datetime) -> tuple[x509.Certificate, ServedPair]:
    """Return a new authority, and the one certificate that its key signs before it is forgotten."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own for each: verifiers find an issuer by its name.
    title = f"Sealyard injector {now:%Y-%m-%dT%H:%M:%SZ} {x509.random_serial_number():x}"[:64]
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        _builder(x509.Name([]), issuer, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        # Critical, since the subject is empty (RFC 5280, 4.2.1.6).
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=True
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    written = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return authority, ServedPair(leaf.public_bytes(serialization.Encoding.PEM), written)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - CERTIFICATE_SKEW)
        .not_valid_after(now.astimezone(UTC) + LIFETIME)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
