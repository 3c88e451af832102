"""The webhook's own certificate in a small cluster: replicas, conflicts, failures, a year."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from proxy.injector import certificate_keeper
from proxy.injector.certificate_keeper import CertificateKeeper, CertificatePlaces
from proxy.injector.policy import LIFETIME, OVERLAP
from proxy.process.kubernetes_api import ApiServer, trust
from tests.factories import Ear
from tests.injector.cluster import Cluster, serve
from tests.injector.pods import SETTINGS
from tests.injector.test_webhook import ROOT, a_body, exchange
from tests.servers import await_log, child, free_port

HOST = "sealyard-injector.sealyard.svc"
SECRET = "/api/v1/namespaces/sealyard/secrets/sealyard-injector-tls"
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sealyard-injector"
_SHA = hashes.SHA256()
NAMES = ("secrets", "sealyard-injector-tls"), ("mutatingwebhookconfigurations", "sealyard-injector")


def a_cluster() -> Cluster:
    """Return what the chart installs: an empty Secret, and a webhook that trusts nobody yet."""
    made = Cluster()
    made.put(SECRET, {"kind": "Secret", "type": "Opaque", "metadata": {"labels": {"a": "b"}}})
    client = {"service": {"name": "sealyard-injector", "namespace": "sealyard", "path": "/mutate"}}
    webhooks = [{"name": name, "clientConfig": dict(client)} for name in ("namespace", "pod")]
    made.put(WEBHOOK, {"metadata": {"name": "sealyard-injector"}, "webhooks": webhooks})
    (secrets, secret), (webhook, name) = NAMES
    made.rights = {("get", secrets, secret), ("update", secrets, secret)}
    made.rights |= {("get", webhook, name), ("patch", webhook, name)}
    return made


def bundles(cluster: Cluster) -> list[bytes]:
    """Return what each entry of the webhook trusts."""
    entries = cluster.objects[WEBHOOK]["webhooks"]
    return [base64.b64decode(one["clientConfig"].get("caBundle", "")) for one in entries]


def held(cluster: Cluster) -> dict[str, bytes]:
    """Return the data of the Secret."""
    return {
        name: base64.b64decode(value)
        for name, value in cluster.objects[SECRET].get("data", {}).items()
    }


@asynccontextmanager
async def listening(cluster: Cluster, folder: Path, port: int = 0) -> AsyncIterator[int]:
    """Serve a cluster; yield the port."""
    app, tls = serve(cluster, folder)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@dataclass
class Replica:
    """One keeper, what it reported, and its time."""

    keeper: CertificateKeeper
    ear: Ear
    file: Path


@dataclass
class Clock:
    """The time of all replicas."""

    now: datetime = datetime(2026, 11, 27, 12, tzinfo=UTC)


def replica(name: str, port: int, folder: Path, clock: Clock) -> Replica:
    """Return a keeper with a file of its own."""
    api = ApiServer(f"127.0.0.1:{port}", folder / "token", trust(folder / "ca.crt"))
    file = folder / f"{name}.pem"
    ear = Ear()
    places = CertificatePlaces("sealyard", "sealyard-injector-tls", "sealyard-injector", file)
    return Replica(CertificateKeeper(api, places, ear, lambda: clock.now), ear, file)


async def test_replicas_that_start_together_serve_one_certificate(tmp_path: Path) -> None:
    cluster = a_cluster()
    async with listening(cluster, tmp_path) as port:
        replicas = [replica(str(one), port, tmp_path, Clock()) for one in range(3)]
        async with asyncio.TaskGroup() as group:
            for one in replicas:
                group.create_task(one.keeper.first())
    data = held(cluster)
    assert {one.file.read_bytes() for one in replicas} == {data["tls.crt"] + data["tls.key"]}
    assert bundles(cluster) == [data["ca.crt"]] * 2
    assert cluster.objects[SECRET]["metadata"]["labels"] == {"a": "b"}
    assert {oct(one.file.stat().st_mode & 0o777) for one in replicas} == {"0o600"}
    made = [event for one in replicas for event, _ in one.ear.heard]
    assert made.count("injector.certificate_made") == 1
    assert "injector.certificate_failed" not in made


async def test_a_year_of_renewals_is_never_served_before_it_is_trusted(tmp_path: Path) -> None:
    cluster, clock = a_cluster(), Clock()
    served: set[bytes] = set()
    trusted_since: dict[bytes, datetime] = {}
    async with listening(cluster, tmp_path) as port:
        replicas = [replica(str(one), port, tmp_path, clock) for one in range(2)]
        for one in replicas:
            await one.keeper.first()
        end = clock.now + 2 * LIFETIME
        while clock.now < end:
            for one in replicas:
                await one.keeper.first()
                for authority in x509.load_pem_x509_certificates(bundles(cluster)[0]):
                    trusted_since.setdefault(authority.fingerprint(_SHA), clock.now)
                leaf = x509.load_pem_x509_certificate(one.file.read_bytes())
                [issuer] = [
                    each
                    for each in x509.load_pem_x509_certificates(bundles(cluster)[1])
                    if each.subject == leaf.issuer
                ]
                leaf.verify_directly_issued_by(issuer)
                if served and leaf.fingerprint(_SHA) not in served:
                    assert clock.now - trusted_since[issuer.fingerprint(_SHA)] >= OVERLAP
                served.add(leaf.fingerprint(_SHA))
                assert clock.now < leaf.not_valid_after_utc
            renewing = "next.crt" in held(cluster)
            clock.now += timedelta(minutes=1) if renewing else timedelta(days=5)
    assert len(served) == 3  # the first one, and one after each eight months
    assert len(x509.load_pem_x509_certificates(bundles(cluster)[0])) <= 2


async def test_a_change_of_somebody_else_is_met_by_another_attempt(tmp_path: Path) -> None:
    cluster = a_cluster()
    cluster.conflicts = 2
    async with listening(cluster, tmp_path) as port:
        one = replica("one", port, tmp_path, Clock())
        await one.keeper.first()
    assert [status for method, _, status in cluster.asked if method == "PUT"] == [409, 409, 200]


async def test_what_was_taken_out_of_the_webhook_is_put_back(tmp_path: Path) -> None:
    """A sync that renders without caBundle and replaces the object."""
    cluster = a_cluster()
    bare = cluster.objects[WEBHOOK]
    async with listening(cluster, tmp_path) as port:
        one = replica("one", port, tmp_path, Clock())
        await one.keeper.first()
        before = held(cluster)
        cluster.put(WEBHOOK, bare)
        assert bundles(cluster) == [b"", b""]
        await one.keeper.first()
    assert bundles(cluster) == [before["ca.crt"]] * 2
    assert held(cluster) == before


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda cluster: cluster.rights.clear(), "status 403"),
        (lambda cluster: cluster.objects.pop(SECRET), "status 404"),
        (lambda cluster: cluster.objects[SECRET].update(type="kubernetes.io/tls"), "Opaque"),
        (lambda cluster: cluster.objects[WEBHOOK].update(webhooks=[]), "no webhooks"),
        (lambda cluster: cluster.objects[WEBHOOK].pop("webhooks"), "no Service"),
    ],
    ids=["rights", "secret", "type", "entries", "webhooks"],
)
async def test_what_is_missing_is_said_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_it: object, reason: str
) -> None:
    monkeypatch.setattr(certificate_keeper, "KEEPER_RETRIES", (0.01,))
    cluster = a_cluster()
    assert callable(break_it)
    break_it(cluster)
    async with listening(cluster, tmp_path) as port:
        one = replica("one", port, tmp_path, Clock())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.keeper.first(), 0.5)
        assert len(cluster.asked) > 2
        [(event, fields)] = one.ear.heard
        assert event == "injector.certificate_failed"
        assert reason in str(fields["reason"])
        whole = a_cluster()
        cluster.objects, cluster.rights = whole.objects, whole.rights
        await one.keeper.first()
    assert one.file.exists()


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def commanded(tmp_path: Path) -> tuple[list[str], dict[str, str], Path, int, int]:
    """Return the command of an injector that keeps its own certificate, and where it calls."""
    port, api = free_port(), free_port()
    command = [sys.executable, "-P", "-m", "proxy", "injector", "--image", SETTINGS.image]
    command += ["--listen", f"127.0.0.1:{port}", "--cert", str(tmp_path / "tls.pem")]
    command += ["--certificate-secret", "sealyard/sealyard-injector-tls"]
    command += ["--webhook-configuration", "sealyard-injector"]
    command += ["--service-account", str(tmp_path)]
    environ = {
        "PYTHONPATH": str(ROOT),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(api),
    }
    return command, environ, tmp_path / "log", port, api


async def test_the_command_waits_for_the_api_server_and_serves_what_is_trusted(
    tmp_path: Path, commanded: tuple[list[str], dict[str, str], Path, int, int]
) -> None:
    command, environ, log, port, api = commanded
    cluster = a_cluster()
    serve(cluster, tmp_path)  # the files of the account, of a CA that is not the server's
    with ExitStack() as stack:
        process = stack.enter_context(child(command, log, environ))
        await asyncio.to_thread(await_log, process, log, "injector.certificate_failed")
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
    async with listening(cluster, tmp_path, api):
        with child(command, log, environ) as process:
            await asyncio.to_thread(await_log, process, log, "injector.started")
            trusting = ssl.create_default_context(cadata=bundles(cluster)[0].decode())
            head = (
                f"POST /mutate HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(a_body())}\r\n\r\n"
            ).encode()
            answer = await asyncio.to_thread(exchange, port, trusting, HOST, head + a_body())
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["response"]["allowed"]
        assert process.returncode == 0
    assert b"PRIVATE KEY" not in log.read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ["--certificate-secret", "a/b"],
        ["--webhook-configuration", "a"],
        ["--certificate-secret", "a/../b", "--webhook-configuration", "a"],
        ["--certificate-secret", "a/b", "--webhook-configuration", "a/b"],
        ["--certificate-secret", "a/b", "--webhook-configuration", "a", "--key", "k"],
    ],
)
async def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path, options: list[str]
) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-P", "-m", "proxy", "injector", "--image", "i", "--cert", "c"]
    with child([*command, *options], log, {"PYTHONPATH": str(ROOT)}) as process:
        assert await asyncio.to_thread(process.wait, 20) == 2
