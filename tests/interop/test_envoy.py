"""Callers by the header that a real Envoy writes, as a gateway and as a sidecar."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.config.settings.callers import CallerSettings
from tests.servers import free_port
from tests.traffic.callers.issuers import by_xfcc, verifying
from tests.traffic.ours import local, proxied
from tests.traffic.wire import Origin, get, running

ROOT: Final = Path(__file__).parents[2]
ENVOY: Final = next(
    (str(one) for one in (ROOT / ".venv-envoy/lib").glob("*/site-packages/envoy/_bin/envoy")), None
)
pytestmark = pytest.mark.skipif(ENVOY is None, reason=".venv-envoy is not there: run `./dev setup`")
US: Final = "spiffe://clinic/ns/chat/sa/api"
GATE: Final = "spiffe://clinic/ns/edge/sa/gate"
NURSE: Final = "spiffe://clinic/ns/ward/sa/nurse"
DOCTOR: Final = "spiffe://clinic/ns/ward/sa/doctor"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
_ROUTER: Final = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


class Authority:
    """A CA whose certificates have a URI, as those of a mesh have. It writes into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mesh")])
        made = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._write("ca.pem", made.sign(self._key, hashes.SHA256()))

    def issue(self, uri: str) -> tuple[str, str]:
        """Return the paths of a certificate and of its key."""
        key, name = ec.generate_private_key(ec.SECP256R1()), uri.rpartition("/")[2]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")]
        made = self._builder(subject, key.public_key()).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return self._write(f"{name}.pem", made.sign(self._key, hashes.SHA256())), str(
            self.folder / f"{name}.key"
        )

    @property
    def path(self) -> str:
        return str(self.folder / "ca.pem")

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:  # noqa: ANN401 - a public key
        now, number = datetime.now(UTC), x509.random_serial_number()
        return x509.CertificateBuilder(
            self._name, subject, key, number, now - timedelta(1), now + timedelta(1)
        )

    def _write(self, name: str, certificate: x509.Certificate) -> str:
        (self.folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(self.folder / name)


def _tls(authority: Authority, uri: str, kind: str, **more: object) -> dict[str, Any]:
    certificate, key = authority.issue(uri)
    common = {
        "tls_certificates": [
            {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
        ],
        "validation_context": {"trusted_ca": {"filename": authority.path}},
    }
    typed = {"@type": f"{_TLS}.{kind}", "common_tls_context": common, **more}
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed}


def _listener(name: str, port: int, tls: dict[str, Any], to: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": to}}
    manager = {
        "@type": f"{_HTTP}.HttpConnectionManager",
        "stat_prefix": name,
        "forward_client_cert_details": "APPEND_FORWARD",
        "set_current_client_cert_details": {"subject": True, "uri": True, "dns": True},
        "route_config": {"virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
    }
    filters = [{"name": "http", "typed_config": manager}]
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"transport_socket": tls, "filters": filters}],
    }


def _cluster(name: str, port: int, tls: dict[str, Any] | None = None) -> dict[str, Any]:
    place = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": place}}]}]
    made: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }
    return made if tls is None else {**made, "transport_socket": tls}


@dataclass
class Mesh:
    """A running Envoy: a gateway, and the sidecar that it sends to."""

    gateway: int
    sidecar: int


@contextmanager
def envoy(authority: Authority, upstream: int) -> Iterator[Mesh]:
    """Run a gateway that sends to a sidecar, which sends to `upstream`."""
    mesh = Mesh(free_port(), free_port())
    kind, required = "DownstreamTlsContext", {"require_client_certificate": True}
    listeners = [
        _listener(
            "gate",
            mesh.gateway,
            _tls(authority, GATE, kind, **required),
            "sidecar",
        ),
        _listener("side", mesh.sidecar, _tls(authority, US, kind, **required), "ours"),
    ]
    clusters = [
        _cluster("sidecar", mesh.sidecar, _tls(authority, GATE, "UpstreamTlsContext")),
        _cluster("ours", upstream),
    ]
    path = authority.folder / "envoy.json"
    path.write_text(
        json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}})
    )
    process = subprocess.Popen(  # noqa: S603 - the Envoy of this checkout
        [str(ENVOY), "-c", str(path), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield mesh
    finally:
        process.kill()
        process.wait()


async def asked(authority: Authority, uri: str, port: int, *lines: bytes) -> int:
    """Return the status of a request by a workload of the mesh, once the port is there."""
    context = ssl.create_default_context(cafile=authority.path)
    context.load_cert_chain(*authority.issue(uri))
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context, server_hostname="localhost"
                )
                break
            except ConnectionError:
                await asyncio.sleep(0.1)
        writer.write(get(b"/", *lines))
        status = int((await reader.readline()).split(b" ")[1])
    writer.close()
    return status


HEADER: Final = "X-Forwarded-Client-Cert"
FORGED: Final = f"{HEADER}: By={US};Hash=00;URI={DOCTOR}".encode()
BEHIND: Final = f"{HEADER}: By={GATE};Hash=00;URI={DOCTOR},By={US};URI={GATE}".encode()


async def through(folder: Path, *callers: CallerSettings) -> list[str]:
    """Return who a nurse is for us: at the sidecar, at the gateway, and with forged elements."""
    authority, origin = Authority(folder), Origin()
    trusted = (ip_network("127.0.0.0/8"),)
    known = verifying(*callers, trusted_proxies=trusted)
    async with (
        running(origin),
        proxied(local(origin.port), callers=known, trusted_proxies=trusted) as ours,
    ):
        with envoy(authority, ours.port) as mesh:
            for port in (mesh.sidecar, mesh.gateway):
                for lines in ((), (FORGED,), (BEHIND,)):
                    await asked(authority, NURSE, port, *lines)
    return [str(one.caller or (one.refusal and one.refusal.reason)) for one in ours.ear.lines]


async def test_the_sidecar_names_the_workload_that_has_called_it(tmp_path: Path) -> None:
    nurse, doctor, gate = (
        by_xfcc(one.rpartition("/")[2], one, US) for one in (NURSE, DOCTOR, GATE)
    )

    assert await through(tmp_path, nurse, doctor, gate) == [*["nurse"] * 3, *["gate"] * 3]


async def test_behind_the_gateway_the_element_before_the_last_names_it(tmp_path: Path) -> None:
    nurse, doctor = (by_xfcc(one.rpartition("/")[2], one, US, 2, GATE) for one in (NURSE, DOCTOR))

    outside = ["xfcc-without-gateway"] * 3  # at the sidecar itself, nobody forges a gateway
    assert await through(tmp_path, nurse, doctor) == [*outside, *["nurse"] * 3]
