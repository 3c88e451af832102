"""The names and times of certificates, and whether those in a file are valid and a chain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from ..core.errors import UnfitEnvironment
from .fitness import Verdict
from .policy import SOON_DAYS


def faults(path: Path, now: float, *, chain: bool) -> list[tuple[Verdict, str]]:
    """Return what is wrong with the certificates of a PEM file `now` (seconds since 1970).

    With `chain`, each of them must be issued by the next. A file that cannot be read has no faults
    here: whoever loads it says so.
    """
    # Half of the start of a command that needs no certificate.
    from cryptography import x509  # noqa: PLC0415

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return []
    at = datetime.fromtimestamp(now, UTC)
    made: list[tuple[Verdict, str]] = []
    for one in found:
        name = one.subject.rfc4514_string() or "a certificate"
        if at > one.not_valid_after_utc:
            made.append(("failed", f"{name} expired on {one.not_valid_after_utc:%Y-%m-%d}"))
        elif at < one.not_valid_before_utc:
            made.append(("failed", f"{name} is valid from {one.not_valid_before_utc:%Y-%m-%d} on"))
        elif at > one.not_valid_after_utc - timedelta(days=SOON_DAYS):
            made.append(("warning", f"{name} expires on {one.not_valid_after_utc:%Y-%m-%d}"))
    if chain:
        for one, issuer in pairwise(found):
            if one.issuer != issuer.subject:
                name = issuer.subject.rfc4514_string()
                made.append(("failed", f"the chain is broken: {name} did not issue what is before"))
    return made


_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Whose a certificate is: names by kind (`subject`, `dns`, `uri`), issuer, when it ends.

    `ends` is in seconds since 1970. DNS names are in lower case; subject and issuer as in RFC 4514.
    The issuer counts the `serial` numbers.
    """

    names: dict[str, frozenset[str]]
    issuer: str
    ends: float
    serial: int


def get_ready() -> None:
    """Import what `names_of` needs, before the first certificate comes."""
    from cryptography import x509  # noqa: F401, PLC0415 - as above; for what it loads


def names_of(certificate: bytes) -> CertificateNames:
    """Return whose a certificate (DER) is; raise ValueError where it cannot be read."""
    from cryptography import x509  # noqa: PLC0415 - as above

    read = x509.load_der_x509_certificate(certificate)
    dns: frozenset[str] = frozenset()
    uri: frozenset[str] = frozenset()
    try:
        found = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        dns = frozenset(name.lower() for name in found.get_values_for_type(x509.DNSName))
        uri = frozenset(found.get_values_for_type(x509.UniformResourceIdentifier))
    subject = frozenset({read.subject.rfc4514_string()})
    names = {"subject": subject, "dns": dns, "uri": uri}
    issuer, ends = read.issuer.rfc4514_string(), read.not_valid_after_utc.timestamp()
    return CertificateNames(names, issuer, ends, read.serial_number)


class RevocationLists:
    """The revocation lists in a PEM file. Raises UnfitEnvironment, naming it, where it has none."""

    __slots__ = ("_ends", "_revoked")

    def __init__(self, path: Path) -> None:
        from cryptography import x509  # noqa: PLC0415 - as above

        try:
            lists = [x509.load_pem_x509_crl(one) for one in _CRL.findall(path.read_bytes())]
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or "a revocation list is malformed"
            raise UnfitEnvironment("tls", detail=f"{path}: {told}") from None
        if not lists:
            raise UnfitEnvironment("tls", detail=f"{path}: it holds no PEM revocation list")
        self._ends = [(one.issuer.rfc4514_string(), one.next_update_utc) for one in lists]
        self._revoked: dict[str, set[int]] = {}
        for one in lists:
            known = self._revoked.setdefault(one.issuer.rfc4514_string(), set())
            known.update(each.serial_number for each in one)

    def has(self, one: CertificateNames) -> bool:
        """Return whether a certificate was revoked by its issuer."""
        return one.serial in self._revoked.get(one.issuer, ())

    def faults(self, now: float) -> list[tuple[Verdict, str]]:
        """Return which lists have expired `now` (seconds since 1970): they refuse all clients."""
        at = datetime.fromtimestamp(now, UTC)
        return [
            ("failed", f"the revocation list of {issuer} expired on {ends:%Y-%m-%d}")
            for issuer, ends in self._ends
            if ends is not None and at > ends
        ]
