"""Whether the certificates in a file are valid now, and are a chain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

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
