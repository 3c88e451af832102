"""Steps of the webhook's own certificate, checked by OpenSSL's verifier and by laws of time."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.injector.policy import LIFETIME, OVERLAP, RENEW_BEFORE
from proxy.injector.serving_certificate import next_step

NAMES = ("sealyard-injector.sealyard.svc", "sealyard-injector.sealyard.svc.cluster.local")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_secret(now: datetime = NOW) -> dict[str, bytes]:
    """Return what an empty Secret becomes."""
    made = next_step({}, NAMES, now)
    assert made is not None
    return made


def trusted(bundle: bytes, leaf: bytes, at: datetime) -> bool:
    """Tell whether a verifier that trusts the bundle accepts the certificate for our name."""
    store = Store(x509.load_pem_x509_certificates(bundle))
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(NAMES[0]))
    try:
        verifier.verify(x509.load_pem_x509_certificate(leaf), [])
    except x509.verification.VerificationError:
        return False
    return True


def test_an_empty_secret_is_filled_in_one_step_and_then_left_alone() -> None:
    made = a_secret()
    assert set(made) == {"ca.crt", "tls.crt", "tls.key"}
    assert trusted(made["ca.crt"], made["tls.crt"], NOW)
    assert next_step(made, NAMES, NOW) is None
    assert next_step(made, NAMES, NOW + LIFETIME - RENEW_BEFORE) is None


def test_an_empty_secret_takes_over_who_is_trusted_already() -> None:
    before = a_secret()
    made = next_step({}, NAMES, NOW, before["ca.crt"])
    assert made is not None
    assert made["ca.crt"].endswith(before["ca.crt"])
    assert trusted(made["ca.crt"], before["tls.crt"], NOW)
    expired = next_step({}, NAMES, NOW + LIFETIME, before["ca.crt"] + b"no PEM")
    assert expired is not None
    assert before["ca.crt"] not in expired["ca.crt"]
    assert next_step(made, NAMES, NOW, before["ca.crt"] * 2) is None


def test_the_key_of_the_authority_is_not_kept() -> None:
    made = a_secret()
    assert b"".join(made.values()).count(b"PRIVATE KEY-----") == 2  # one, in its two lines


def test_openssl_serves_and_trusts_it(tmp_path: Path) -> None:
    made = a_secret(datetime.now(UTC))
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    client = ssl.create_default_context(cadata=made["ca.crt"].decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(there, back, server_side=True)
    theirs = client.wrap_bio(back, there, server_hostname=NAMES[0])
    for side in (theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert theirs.version() == "TLSv1.3"


def test_a_renewal_publishes_the_authority_before_its_certificate_is_used() -> None:
    made = a_secret()
    late = NOW + LIFETIME - RENEW_BEFORE + HOUR

    first = next_step(made, NAMES, late)
    assert first is not None
    assert (first["tls.crt"], first["tls.key"]) == (made["tls.crt"], made["tls.key"])
    assert first["ca.crt"].endswith(made["ca.crt"])
    assert trusted(first["ca.crt"], first["tls.crt"], late)
    assert trusted(first["ca.crt"], first["next.crt"], late)
    assert next_step(first, NAMES, late + OVERLAP - timedelta(seconds=1)) is None

    second = next_step(first, NAMES, late + OVERLAP)
    assert second is not None
    assert (second["tls.crt"], second["tls.key"]) == (first["next.crt"], first["next.key"])
    assert set(second) == {"ca.crt", "tls.crt", "tls.key"}
    assert second["ca.crt"] == first["ca.crt"]
    assert next_step(second, NAMES, late + OVERLAP) is None

    third = next_step(second, NAMES, NOW + LIFETIME + HOUR)
    assert third is not None
    assert third["ca.crt"] == second["ca.crt"].removesuffix(made["ca.crt"])
    assert third["tls.crt"] == second["tls.crt"]


@pytest.mark.parametrize(
    "change",
    [
        {"tls.crt": b""},
        {"tls.key": b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"},
        {"tls.key": a_secret()["tls.key"]},
        {"tls.crt": a_secret()["tls.crt"], "tls.key": b""},
        {"ca.crt": a_secret()["ca.crt"]},
        {"ca.crt": b"no PEM"},
    ],
    ids=["empty", "bad key", "other key", "no key", "other authority", "no authority"],
)
def test_what_cannot_be_served_is_replaced_at_once(change: dict[str, bytes]) -> None:
    broken = a_secret() | change
    made = next_step(broken, NAMES, NOW)
    assert made is not None
    assert trusted(made["ca.crt"], made["tls.crt"], NOW)
    if b"BEGIN" in broken["ca.crt"]:
        assert made["ca.crt"].endswith(broken["ca.crt"])
    assert next_step(made, NAMES, NOW) is None


def test_another_name_and_an_expired_certificate_are_replaced_at_once() -> None:
    made = a_secret()
    assert next_step(made, (*NAMES, "other.sealyard.svc"), NOW) is not None
    later = next_step(made, NAMES, NOW + LIFETIME)
    assert later is not None
    assert trusted(later["ca.crt"], later["tls.crt"], NOW + LIFETIME)
    assert made["ca.crt"] not in later["ca.crt"]


@settings(deadline=None)  # thirty signatures
@given(st.lists(st.integers(min_value=1, max_value=24 * 60 * 60 * 40), max_size=40))
def test_no_step_serves_what_was_not_trusted_ten_minutes_before(seconds: list[int]) -> None:
    """Whenever replicas ask, each served certificate is trusted by a bundle of OVERLAP ago."""
    now, held = NOW, a_secret()
    published = [(now, held["ca.crt"])]
    for gap in seconds:
        now += timedelta(seconds=gap)
        held = next_step(held, NAMES, now) or held
        old = [bundle for made, bundle in published if made <= now - OVERLAP]
        assert trusted(held["ca.crt"], held["tls.crt"], now)
        if old:
            assert trusted(old[-1], held["tls.crt"], now)
        published.append((now, held["ca.crt"]))
