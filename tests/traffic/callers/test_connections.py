"""Callers by their certificates, by what Envoy tells of them, and by headers of a gateway."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.config.settings import ListenerTls
from proxy.config.settings.callers import CallerCertificate, CallerTenants, CallerXfcc
from proxy.core.errors import CallersThrottled, CallerUnverified, UnfitEnvironment
from proxy.process.certificates import RevocationLists
from proxy.traffic.callers.identity import elements
from proxy.traffic.callers.tenants import Tenants, texts_of
from proxy.traffic.http1.forwarding_headers import Peer
from proxy.traffic.policy import FAILED_AT_ONCE
from proxy.traffic.tls import listener_context

from ..ours import local, proxied
from ..wire import Origin, get, running
from .issuers import (
    a_caller,
    by_certificate,
    by_header,
    by_xfcc,
    claims,
    signed,
    verifying,
)
from .test_tokens import a_request, name_of, reason_of

US = "spiffe://clinic/ns/chat/sa/api"
GATE = "spiffe://clinic/ns/edge/sa/gate"
ENVOY = Peer("10.0.0.9")
MESH = {"trusted_proxies": (ip_network("10.0.0.0/8"),)}
XFCC = b"X-Forwarded-Client-Cert"


def told(uri: str, by: str = US) -> str:
    return f'By={by};Hash=00;Subject="CN=x";URI={uri}'


# --- certificates -------------------------------------------------------------------------------


def server_tls(authority: trustme.CA, clients: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    clients.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def asked(port: int, authority: trustme.CA, certificate: trustme.LeafCert) -> int:
    """Return the status of a request with a client certificate."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    certificate.configure_cert(context)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(get(b"/"))
    answer = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return int(answer.split(b" ")[1])


async def test_a_caller_is_known_by_the_uri_of_its_certificate() -> None:
    authority, clients, others = trustme.CA(), trustme.CA(), trustme.CA()
    tls = server_tls(authority, clients)
    callers = verifying(
        by_certificate("reports", "uri", "spiffe://clinic/ns/reports/sa/*"),
        by_certificate("gateway", "dns", "Gateway.Clinic"),
        tls=tls,
    )
    origin = Origin()
    async with running(origin), proxied(local(origin.port), callers=callers, tls=tls) as ours:
        for name in ("gateway.clinic", "other.clinic"):
            assert await asked(ours.port, authority, clients.issue_cert(name)) == 200
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await asked(ours.port, authority, others.issue_cert("gateway.clinic"))
    assert [one.caller for one in ours.ear.lines] == ["gateway", ""]


def certificate(*names: str) -> bytes:
    """Return a certificate (DER) with some names, URIs among them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "reader")])
    known = [
        x509.UniformResourceIdentifier(one) if ":" in one else x509.DNSName(one) for one in names
    ]
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        subject, subject, key.public_key(), 7, now - timedelta(1), now + timedelta(1)
    )
    if known:
        made = made.add_extension(x509.SubjectAlternativeName(known), critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["spiffe://clinic/ns/a/sa/b"], "mesh"),
        (["spiffe://clinic/ns/a/sa/b/c"], None),
        (["spiffe://clinic/ns/a/x/sa/b"], None),
        (["spiffe://clinic/ns//sa/b"], None),
        (["spiffe://evil/ns/a/sa/b"], None),
        (["spiffe://clinic/ns/a/sa/b", "spiffe://evil/x"], None),
        (["mail.clinic"], "mail"),
        (["mail.clinic.evil"], None),
        ([], "subject"),
    ],
)
async def test_a_star_crosses_no_slash(names: list[str], expected: str | None) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    callers = verifying(
        by_certificate("mesh", "uri", "spiffe://clinic/ns/*/sa/*"),
        by_certificate("mail", "dns", "mail.clinic"),
        *([by_certificate("subject", "subject", "CN=reader")] if not names else ()),
        tls=tls,
    )
    peer = Peer("10.0.0.1", encrypted=True, certificate=certificate(*names), trust=tls)

    assert await name_of(callers, a_request(), peer) == expected
    assert await name_of(callers, a_request(), peer) == expected


async def test_a_certificate_that_has_expired_meanwhile_is_refused() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    now = time.time()
    callers = verifying(by_certificate("x", "subject", "CN=reader"), tls=tls, clock=lambda: now)
    peer = Peer("10.0.0.1", encrypted=True, certificate=certificate(), trust=tls)
    assert await name_of(callers, a_request(), peer) == "x"

    now += 86_500

    assert await reason_of(callers, a_request(), peer) == "certificate-expired"


async def test_a_certificate_under_a_replaced_authority_is_refused() -> None:
    """The connection goes on over a reload; whom its handshake trusted counts no more."""
    before, same, other = (ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) for _ in range(3))
    authority = trustme.CA()
    for one in (before, same):
        authority.configure_trust(one)
    trustme.CA().configure_trust(other)
    peer = Peer("10.0.0.1", encrypted=True, certificate=certificate(), trust=before)
    caller = by_certificate("x", "subject", "CN=reader")

    assert await name_of(verifying(caller, tls=same), a_request(), peer) == "x"
    reason = await reason_of(verifying(caller, tls=other), a_request(), peer)

    assert reason == "certificate-of-former-trust"


def revocations(authority: trustme.CA, *numbers: int, days: int = 1) -> bytes:
    """Return the list of an authority (PEM); it is due after so many days."""
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    now = datetime.now(UTC)
    made = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    made = made.last_update(now - timedelta(9)).next_update(now + timedelta(days))
    for one in numbers:
        entry = x509.RevokedCertificateBuilder().serial_number(one).revocation_date(now)
        made = made.add_revoked_certificate(entry.build())
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_a_revoked_certificate_gets_no_connection_and_ends_on_those_there_are(
    tmp_path: Path,
) -> None:
    authority, clients, others = trustme.CA(), trustme.CA(), trustme.CA()
    server = authority.issue_cert("localhost")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    server.private_key_pem.write_to_path(tmp_path / "key")
    clients.cert_pem.write_to_path(tmp_path / "ca")
    good, bad = (clients.issue_cert(f"{name}.clinic") for name in ("good", "bad"))
    read = x509.load_pem_x509_certificate(bad.cert_chain_pems[0].bytes())
    lists = revocations(others, 1) + revocations(clients, read.serial_number)
    (tmp_path / "crl").write_bytes(lists)
    settings = ListenerTls(*(tmp_path / name for name in ("cert", "key", "ca", "crl")))
    tls, revoked = listener_context(settings), RevocationLists(tmp_path / "crl")
    callers = [by_certificate(name, "dns", f"{name}.clinic") for name in ("good", "bad")]

    origin, verifier = Origin(), verifying(*callers, tls=tls)
    async with running(origin), proxied(local(origin.port), callers=verifier, tls=tls) as ours:
        assert await asked(ours.port, authority, good) == 200
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await asked(ours.port, authority, bad)
    shown = read.public_bytes(serialization.Encoding.DER)
    peer = Peer("10.0.0.1", encrypted=True, certificate=shown, trust=tls)
    assert await name_of(verifying(*callers, tls=tls), a_request(), peer) == "bad"
    after = verifying(*callers, tls=tls, revoked=revoked)
    assert await reason_of(after, a_request(), peer) == "certificate-revoked"


MALFORMED = "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n"


@pytest.mark.parametrize("content", ["", "no list", MALFORMED, "certificates", None])
def test_revocation_lists_are_lists_alone(tmp_path: Path, content: str | None) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "cert"
    )
    lists = tmp_path / "crl"
    if content is not None:
        more = authority.cert_pem.bytes() if content == "certificates" else content.encode()
        lists.write_bytes(more + revocations(authority) * (content == "certificates"))
    settings = ListenerTls(tmp_path / "cert", tmp_path / "cert", tmp_path / "ca", lists)
    with pytest.raises(UnfitEnvironment) as refused:
        listener_context(settings)
    assert str(lists) in refused.value.detail
    if content != "certificates":
        with pytest.raises(UnfitEnvironment) as refused:
            RevocationLists(lists)
        assert str(lists) in refused.value.detail


def test_a_list_that_is_overdue_is_told(tmp_path: Path) -> None:
    authority = trustme.CA()
    path = tmp_path / "crl"
    path.write_bytes(revocations(authority) + revocations(authority, days=-1))
    assert len(RevocationLists(path).faults(time.time())) == 1


# --- what Envoy tells ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (told("spiffe://clinic/ns/a/sa/b"), "mesh"),
        (f"{told('spiffe://clinic/ns/a/sa/b', 'spiffe://x')},{told('spiffe://evil/x')}", None),
        (told("spiffe://evil/ns/a/sa/b"), None),
        (f"By={US};URI=spiffe://clinic/ns/a/sa/b;URI=spiffe://evil/x", None),
        (f'By={US};Subject="CN=\\"a\\",O=b";URI=spiffe://clinic/ns/a/sa/b', "mesh"),
        (f'By={US};Subject="a,By={US};URI=spiffe://clinic/ns/a/sa/b";URI=spiffe://evil/x', None),
    ],
)
async def test_the_last_element_names_the_caller(value: str, expected: str | None) -> None:
    callers = verifying(by_xfcc("mesh", "spiffe://clinic/ns/*/sa/*", US), **MESH)  # type: ignore[arg-type]  # networks

    assert await name_of(callers, a_request((XFCC, value.encode())), ENVOY) == expected


@pytest.mark.parametrize(
    ("lines", "peer", "reason"),
    [
        ([told("spiffe://clinic/ns/a/sa/b")], Peer("192.0.2.1"), "xfcc-from-elsewhere"),
        ([told("spiffe://clinic/ns/a/sa/b", GATE)], ENVOY, "xfcc-by-another"),
        ([f"{told('spiffe://clinic/ns/a/sa/b')};By={GATE}"], ENVOY, "xfcc-by-another"),
        ([told("a"), told("b")], ENVOY, "two-credentials"),
        (["URI=spiffe://clinic/ns/a/sa/b"], ENVOY, "xfcc-by-another"),
        (["x" * 40_000], ENVOY, "xfcc-too-long"),
        ([f'By={US};URI="spiffe://x'], ENVOY, "malformed-xfcc"),
        ([f'By={US};URI="spiffe://x"y'], ENVOY, "malformed-xfcc"),
        ([f'By={US};URI=spi"ffe://x'], ENVOY, "malformed-xfcc"),
        ([f"By={US};URI"], ENVOY, "malformed-xfcc"),
        ([f"By={US};"], ENVOY, "malformed-xfcc"),
        ([f"By={US},"], ENVOY, "malformed-xfcc"),
        ([f'By={US};Subject="a";Subject="b"'], ENVOY, "malformed-xfcc"),
        ([f"By={US};URI=é"], ENVOY, "malformed-xfcc"),
        ([""], ENVOY, "malformed-xfcc"),
    ],
)
async def test_what_envoy_did_not_write_is_refused(
    lines: list[str], peer: Peer, reason: str
) -> None:
    callers = verifying(by_xfcc("mesh", "spiffe://clinic/ns/*/sa/*", US), **MESH)  # type: ignore[arg-type]  # networks
    raw = a_request(*((XFCC, one.encode()) for one in lines))

    assert await reason_of(callers, raw, peer) == reason


async def test_behind_a_gateway_that_appends_each_writer_is_checked() -> None:
    callers = verifying(by_xfcc("chat", "spiffe://clinic/ns/*/sa/chat", US, 2, GATE), **MESH)  # type: ignore[arg-type]  # networks
    chat, evil = "spiffe://clinic/ns/a/sa/chat", "spiffe://clinic/ns/a/sa/evil"

    def said(*of: str) -> object:
        return a_request((XFCC, ",".join(of).encode()))

    good = said(told(chat, GATE), told(GATE))
    assert await name_of(callers, good, ENVOY) == "chat"  # type: ignore[arg-type]  # as above
    assert await name_of(callers, said(told(evil, GATE), told(GATE)), ENVOY) is None  # type: ignore[arg-type]  # as above
    for forged in (
        said(told(chat)),
        said(told(chat, GATE), told(evil)),
        said(told(chat, evil), told(evil)),
        said(told(chat, evil), told(GATE)),
    ):
        assert await reason_of(callers, forged, ENVOY) == "xfcc-without-gateway"  # type: ignore[arg-type]  # as above


def test_values_are_read_without_their_quotes() -> None:
    (one,) = elements(b'By=a;Hash=0;Subject="CN=\\"x\\";,=";DNS=Mail.Clinic;DNS=b')

    assert one == {
        "by": {"a"},
        "hash": {"0"},
        "subject": {'CN="x";,='},
        "dns": {"mail.clinic", "b"},
    }


# --- headers of a gateway -----------------------------------------------------------------------


async def test_a_header_counts_over_the_gateway_alone_and_is_dropped_from_all_others() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    over = CallerCertificate(("dns", "gateway.clinic"))
    callers = verifying(by_header("portal", "portal", over), tls=tls)
    gateway = Peer("1.1.1.1", encrypted=True, certificate=certificate("gateway.clinic"), trust=tls)
    other = Peer("1.1.1.2", encrypted=True, certificate=certificate("other.clinic"), trust=tls)
    role, twin = (b"X-Role", b"portal"), (b"X_Role", b"portal")

    assert await name_of(callers, a_request(role), gateway) == "portal"
    assert await name_of(callers, a_request((b"X-Role", b"other")), gateway) is None
    assert await name_of(callers, a_request(), gateway) is None
    assert await reason_of(callers, a_request(role, role), gateway) == "two-credentials"
    assert callers.earned(a_request(role, twin), gateway).headers == (role,)
    for peer in (other, Peer("1.1.1.3")):
        assert await name_of(callers, a_request(role), peer) is None
        assert callers.earned(a_request(role, twin, (b"A", b"b")), peer).headers == ((b"A", b"b"),)


async def test_each_gateway_sets_its_own_header_alone() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    one, two = (CallerCertificate(("dns", name)) for name in ("one.clinic", "two.clinic"))
    callers = verifying(
        by_header("portal", "portal", one), by_header("desk", "desk", two, "X-Desk"), tls=tls
    )
    peer = Peer("1.1.1.1", encrypted=True, certificate=certificate("one.clinic"), trust=tls)
    raw = a_request((b"X-Role", b"portal"), (b"X-Desk", b"desk"))

    assert callers.earned(raw, peer).headers == ((b"X-Role", b"portal"),)
    assert await name_of(callers, raw, peer) == "portal"


async def test_a_header_over_what_envoy_tells() -> None:
    over = CallerXfcc(("uri", GATE), US)
    callers = verifying(by_header("portal", "portal", over), **MESH)  # type: ignore[arg-type]  # networks
    role = (b"X-Role", b"portal")

    assert await name_of(callers, a_request(role, (XFCC, told(GATE).encode())), ENVOY) == "portal"
    for line in (told("spiffe://evil"), told(GATE, "spiffe://evil")):
        raw = a_request(role, (XFCC, line.encode()))
        assert callers.earned(raw, ENVOY).headers == ((XFCC, line.encode()),)


# --- several credentials ------------------------------------------------------------------------


async def test_several_credentials_must_be_of_one_caller() -> None:
    mesh = (XFCC, told("spiffe://clinic/ns/a/sa/b").encode())
    raw = a_request((b"Authorization", b"Bearer " + signed().encode()), mesh)
    same = [a_caller("x"), by_xfcc("x", "spiffe://clinic/ns/*/sa/*", US)]
    differ = [a_caller("x"), by_xfcc("y", "spiffe://clinic/ns/*/sa/*", US)]
    expired = a_request((b"Authorization", b"Bearer " + signed(claims(exp=1)).encode()), mesh)

    assert await name_of(verifying(*same, **MESH), raw, ENVOY) == "x"  # type: ignore[arg-type]  # networks
    assert await reason_of(verifying(*differ, **MESH), raw, ENVOY) == "two-callers"  # type: ignore[arg-type]  # as above
    for order, name in ((("jwt",), "x"), (("xfcc", "jwt"), "y")):
        ordered = verifying(*differ, order=order, **MESH)  # type: ignore[arg-type]  # as above
        assert await name_of(ordered, raw, ENVOY) == name
        # A good certificate makes no bad token good.
        assert await reason_of(ordered, expired, ENVOY) == "expired"


# --- tenants ------------------------------------------------------------------------------------


def tenants(**of: object) -> Tenants:
    (names,) = of.values()
    return Tenants(CallerTenants("org", names, "path:org"))  # type: ignore[arg-type]  # one of its kinds


def test_an_issuer_names_the_tenants_that_it_may() -> None:
    allowed, prefixed = tenants(allow=("clinic", "lab")), tenants(prefix="idp2:")

    assert texts_of({"org": "clinic", "sub": "g", "n": 1}, allowed) == {"org": "clinic", "sub": "g"}
    assert texts_of({"org": "clinic"}, prefixed) == {"org": "idp2:clinic"}
    assert texts_of({"org": ["x", "lab", 1]}, allowed) == {"org": ("lab",)}
    assert texts_of({"sub": "g"}, allowed) == {"sub": "g"}
    for named in ("Clinic", "clinic ", "", ["x"], []):
        with pytest.raises(CallerUnverified, match="tenant-not-allowed"):
            texts_of({"org": named}, allowed)
    for other in (1, {"a": 1}, True):
        with pytest.raises(CallerUnverified, match="tenant-not-text"):
            texts_of({"org": other}, allowed)
    with pytest.raises(CallerUnverified, match="tenant-not-text"):
        texts_of({"org": ["clinic"]}, Tenants(CallerTenants("org", ("clinic",), None)))


def test_a_table_maps_names_of_the_issuer(tmp_path_factory: pytest.TempPathFactory) -> None:
    table = tmp_path_factory.mktemp("tenants") / "map.json"
    table.write_text('{"0123": "clinic"}')

    assert texts_of({"org": "0123"}, tenants(map=table)) == {"org": "clinic"}
    with pytest.raises(CallerUnverified, match="tenant-not-allowed"):
        texts_of({"org": "clinic"}, tenants(map=table))
    for wrong in ('{"a": 1}', "[]", '{"a": "b", "a": "c"}', "{", '{"a": ""}'):
        table.write_text(wrong)
        with pytest.raises(UnfitEnvironment, match="caller-tenants"):
            tenants(map=table)
    table.unlink()
    with pytest.raises(UnfitEnvironment, match="caller-tenants"):
        tenants(map=table)


async def test_the_second_issuer_cannot_name_the_tenant_of_the_first() -> None:
    first = a_caller("one", wanted=(), tenants=CallerTenants("org", ("clinic",), None))
    second = a_caller(
        "two", issuer="https://b", wanted=(), tenants=CallerTenants("org", ("lab",), None)
    )
    callers = verifying(first, second)
    raw = a_request((b"Authorization", b"Bearer " + signed(claims(iss="https://b")).encode()))

    assert await reason_of(callers, raw) == "tenant-not-allowed"


# --- tokens that services hand in ---------------------------------------------------------------


async def test_what_a_service_hands_in_is_a_token_and_no_other_credential() -> None:
    line = told("spiffe://clinic/ns/a/sa/b").encode()
    callers = verifying(
        by_xfcc("mesh", "spiffe://clinic/ns/*/sa/*", US),
        a_caller(),
        trusted_proxies=MESH["trusted_proxies"],
    )
    assert await name_of(callers, a_request((XFCC, line)), ENVOY) == "mesh"
    for shape in (b"0 1 0 1 0", b"0 1 0 0 0", b"jwt"):
        with pytest.raises(CallerUnverified):
            await callers.of_token(shape + b"\0" + line + b"\0")

    token = signed().encode()
    assert (await callers.of_token(token)).name == "doctor"
    shown = callers.presented(a_request((b"Authorization", b"Bearer " + token)), Peer())
    assert callers.known(shown) is not None


async def test_tokens_for_other_listeners_leave_room_for_its_own() -> None:
    callers = verifying()
    for _ in range(2 * FAILED_AT_ONCE):
        with pytest.raises(CallerUnverified, match="other-issuer"):
            await callers.of_token(signed(claims(iss="https://other")).encode())
    assert (await callers.of_token(signed().encode())).name == "doctor"
    for _ in range(FAILED_AT_ONCE):
        with pytest.raises(CallerUnverified):
            await callers.of_token(b"x.y.z")
    with pytest.raises(CallersThrottled):
        await callers.of_token(b"x.y.z")
