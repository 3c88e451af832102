from __future__ import annotations

import time
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.admin.auth import certificates
from proxy.admin.auth.tokens import Caller
from proxy.config.settings import AdminClient, AdminScope
from proxy.process.certificates import RevocationLists
from tests.traffic.callers.test_connections import revocations

AUTHORITY = trustme.CA()
SCOPES: frozenset[AdminScope] = frozenset({"read"})
NOW = time.time()


def der(*names: str, common_name: str | None = None) -> bytes:
    issued = AUTHORITY.issue_cert(*names, common_name=common_name)
    pem = issued.cert_chain_pems[0].bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


SHOWN = der("ops.example", common_name="ops")
SUBJECT = x509.load_der_x509_certificate(SHOWN).subject.rfc4514_string()


def client(kind: str, value: str) -> AdminClient:
    return AdminClient("ops", (kind, value), SCOPES)


# The certificate is made anew for each run: names of tests must not hold anything of it.
@pytest.mark.parametrize(
    ("kind", "value"),
    [("subject", SUBJECT), ("dns", "ops.example"), ("dns", "OPS.example")],
    ids=["subject", "name", "name in capitals"],
)
def test_a_certificate_is_known_by_its_names(kind: str, value: str) -> None:
    found = certificates.caller(SHOWN, [client("dns", "a.example"), client(kind, value)], NOW)

    assert found == Caller("ops", SCOPES)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("subject", "CN=ops"),
        ("subject", SUBJECT.upper()),
        ("dns", "example"),
        ("dns", "*.example"),
        ("dns", "ops"),
        ("uri", "ops.example"),
    ],
    ids=["part", "capitals", "parent", "wildcard", "host", "another kind"],
)
def test_what_is_not_quite_the_name_is_nobody(kind: str, value: str) -> None:
    assert certificates.caller(SHOWN, [client(kind, value)], NOW) is None


def test_a_certificate_that_has_ended_is_nobody() -> None:
    ends = x509.load_der_x509_certificate(SHOWN).not_valid_after_utc.timestamp()
    known = [client("subject", SUBJECT)]

    assert certificates.caller(SHOWN, known, ends) is not None
    assert certificates.caller(SHOWN, known, ends + 1) is None


@pytest.mark.parametrize(
    "shown", [b"", b"0", SHOWN[:-1], SHOWN[:100]], ids=["nothing", "a byte", "cut", "cut early"]
)
def test_what_is_no_certificate_is_nobody(shown: bytes) -> None:
    assert certificates.caller(shown, [client("subject", SUBJECT)], NOW) is None


def test_a_certificate_that_was_revoked_meanwhile_is_nobody(tmp_path: Path) -> None:
    number = x509.load_der_x509_certificate(SHOWN).serial_number
    for numbers, expected in (((), Caller("ops", SCOPES)), ((number,), None)):
        (tmp_path / "crl").write_bytes(revocations(AUTHORITY, *numbers))
        revoked = RevocationLists(tmp_path / "crl")
        clients = [client("dns", "ops.example")]
        assert certificates.caller(SHOWN, clients, NOW, revoked) == expected
