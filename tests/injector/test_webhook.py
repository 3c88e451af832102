"""The real command over real TLS, as an API server would call it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from proxy.injector.policy import REVIEW_BYTES
from proxy.injector.webhook import Webhook
from tests.factories import Ear
from tests.injector.chain import a_review
from tests.injector.pods import SETTINGS, STRICT, a_pod, applied, container, variables
from tests.servers import await_log, child, free_port

NAME = "sealyard-injector.sealyard.svc"
ROOT = Path(__file__).parent.parent.parent


def publish(folder: Path, issued: trustme.LeafCert) -> None:
    """Put a certificate where the webhook reads it, as Kubernetes does: by swapping a link."""
    generation = folder / f"..{time.monotonic_ns()}"
    generation.mkdir()
    issued.private_key_pem.write_to_path(generation / "tls.key")
    for pem in issued.cert_chain_pems:
        pem.write_to_path(generation / "tls.crt", append=True)
    fresh = folder / "..new"
    fresh.symlink_to(generation.name)
    fresh.replace(folder / "..data")


@dataclass(frozen=True, slots=True)
class Running:
    """A webhook that runs, its CA, and where it reads its certificate."""

    port: int
    ca: trustme.CA
    folder: Path
    log: Path
    process: int

    def trusting(self, *authorities: trustme.CA) -> ssl.SSLContext:
        """Return the context of an API server whose caBundle holds these."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for one in authorities or (self.ca,):
            one.configure_trust(context)
        return context

    def events(self) -> list[dict[str, object]]:
        """Return what the log tells so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Start `sealyard injector`, and end it by SIGTERM."""
    ca = trustme.CA()
    folder = tmp_path / "tls"
    folder.mkdir()
    publish(folder, ca.issue_cert(NAME))
    for name in ("tls.crt", "tls.key"):
        (folder / name).symlink_to(f"..data/{name}")
    port = free_port()
    log = tmp_path / "log"
    command = [sys.executable, "-P", "-m", "proxy", "injector", "--image", SETTINGS.image]
    command += ["--listen", f"127.0.0.1:{port}"]
    command += ["--cert", str(folder / "tls.crt"), "--key", str(folder / "tls.key")]
    with child(command, log, {"PYTHONPATH": str(ROOT)}) as process:
        await_log(process, log, "injector.started")
        yield Running(port, ca, folder, log, process.pid)
    assert process.returncode == 0


async def mutate(
    running: Running,
    tls: ssl.SSLContext,
    body: bytes,
    *,
    name: str = NAME,
) -> tuple[int, bytes]:
    """Call the webhook over a connection of its own; return the status and the answer."""
    head = (
        f"POST /mutate?timeout=5s HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = await asyncio.to_thread(exchange, running.port, tls, name, head.encode() + body)
    told, _, content = answer.partition(b"\r\n\r\n")
    return int(told.split()[1]), content


def exchange(port: int, tls: ssl.SSLContext, name: str, request: bytes) -> bytes:
    """Send a request over a connection of its own; return all that comes back."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as raw,
        tls.wrap_socket(raw, server_hostname=name) as connection,
    ):
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)  # an answer may come before all was sent
        return b"".join(iter(lambda: connection.recv(65536), b""))


def a_body() -> bytes:
    """Return a review as it comes over the wire."""
    return json.dumps(a_review(a_pod())).encode()


async def test_an_api_server_gets_the_patch(running: Running) -> None:
    tls = running.trusting()
    status, answer = await mutate(running, tls, a_body())

    assert status == 200
    assert json.loads(answer)["response"]["patchType"] == "JSONPatch"
    assert running.events()[-1]["outcome"] == "injected"


async def test_who_does_not_know_the_ca_or_asks_for_another_name_gets_nothing(
    running: Running,
) -> None:
    tls = running.trusting(trustme.CA())
    with pytest.raises(ssl.SSLCertVerificationError):
        await mutate(running, tls, a_body())
    tls = running.trusting()
    with pytest.raises(ssl.SSLCertVerificationError):
        await mutate(running, tls, a_body(), name="other.sealyard.svc")


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> TestClient[web.Request, web.Application]:
    """Run the webhook in this process, without TLS."""
    settings = replace(SETTINGS, interception="redirect")
    return await aiohttp_client(Webhook(settings, Ear()).app)


@pytest.mark.parametrize(
    ("path", "labels", "expected"),
    [
        ("/mutate", {}, "redirect"),
        ("/mutate/mesh", {}, "mesh"),
        ("/mutate/mesh", {"sidecar.istio.io/inject": "false"}, "redirect"),
        ("/mutate/ambient", {}, "mesh"),
        ("/mutate/ambient", {"sidecar.istio.io/inject": "false"}, "mesh"),
        ("/mutate/ambient", {"istio.io/dataplane-mode": "none"}, "redirect"),
    ],
)
async def test_the_path_tells_of_the_mesh_of_the_namespace(
    client: TestClient[web.Request, web.Application],
    path: str,
    labels: dict[str, str],
    expected: str,
) -> None:
    pod = a_pod()
    pod["metadata"]["labels"] |= labels
    answer = await (await client.post(path, json=a_review(pod))).json()
    patched = applied(pod, json.loads(base64.b64decode(answer["response"]["patch"])))

    assert variables(container(patched, "sealyard"))["SEALYARD_INTERCEPTION"] == expected


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (a_body(), "text/yaml", 400),
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b" " * (REVIEW_BYTES + 1), "application/json", 413),
    ],
    ids=["type", "half", "deep", "no-utf-8", "large"],
)
async def test_what_is_no_review_is_an_error_of_http(
    client: TestClient[web.Request, web.Application], body: bytes, content_type: str, status: int
) -> None:
    answer = await client.post(
        "/mutate", data=io.BytesIO(body), headers={"Content-Type": content_type}
    )

    assert answer.status == status


def resident(process: int) -> int:
    """Return how many bytes of memory a process had at most."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


async def test_many_large_bodies_at_once_take_no_more_than_one_may_and_a_review_passes(
    running: Running,
) -> None:
    tls, before = running.trusting(), resident(running.process)
    head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    sent = f"{head}Content-Length: {REVIEW_BYTES}\r\n\r\n".encode() + bytes(REVIEW_BYTES - 1)
    refused = []

    async def hold() -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=tls, server_hostname=NAME
        )
        try:
            writer.write(sent)
            refused.append((await reader.readline()).split()[1])
        finally:
            writer.transport.abort()

    async with asyncio.TaskGroup() as group:
        held = [group.create_task(hold()) for _ in range(30)]
        async with asyncio.timeout(20):
            while len(refused) < 25:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.05)
        assert (await mutate(running, tls, a_body()))[0] == 200
        for one in held:
            one.cancel()

    assert set(refused) == {b"503"}
    # Half of all bodies: beside what is held there are the buffers of TLS, for each connection.
    assert resident(running.process) - before < len(held) * REVIEW_BYTES / 2


async def test_a_review_that_does_not_end_is_given_up(
    client: TestClient[web.Request, web.Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.injector.webhook.READ_SECONDS", 0.1)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    answer = await client.post(
        "/mutate", data=endless(), headers={"Content-Type": "application/json"}
    )

    assert (answer.status, await answer.text()) == (408, "too-slow\n")


async def test_an_exception_takes_effect_without_a_restart(
    aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    ear = Ear()
    client = await aiohttp_client(Webhook(STRICT, ear, tmp_path).app)
    body = a_review(a_pod(hostPID=True))

    async def allowed() -> bool:
        answer = await (await client.post("/mutate", json=body)).json()
        return bool(answer["response"]["allowed"])

    assert not await allowed()
    (tmp_path / "shop").write_text("hosts")
    assert not await allowed()
    assert not await allowed()
    (tmp_path / "shop").write_text("host")
    assert await allowed()
    assert ear.all("injector.exception_unknown") == [{"namespace": "shop"}]


async def test_metrics_count_what_became_of_pods(
    client: TestClient[web.Request, web.Application],
) -> None:
    headers = {"Content-Type": "application/json"}
    before = await (await client.get("/metrics")).text()
    assert before.count("sealyard_injector_refusals_total{") == 6
    assert (await client.post("/mutate", data=a_body(), headers=headers)).status == 200
    assert (await client.post("/mutate", data=b"{", headers=headers)).status == 400
    text = await (await client.get("/metrics")).text()

    assert 'sealyard_injector_reviews_total{outcome="injected",pod_namespace="shop"} 1.0' in text
    assert 'sealyard_injector_refusals_total{reason="malformed"} 1.0' in text
    assert "sealyard_build_info" in text


async def test_forged_reviews_make_no_more_time_series(
    client: TestClient[web.Request, web.Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.injector.webhook.MOST_NAMESPACES", 3)
    for namespace in ("shop", 'x"y', "a" * 64, "one", "two", "three", "four", "shop"):
        forged = a_review(a_pod())
        forged["request"]["namespace"] = namespace
        assert (await client.post("/mutate", json=forged)).status == 200
    text = await (await client.get("/metrics")).text()

    told = re.findall(r'reviews_total\{.*pod_namespace="(.*)"\} (.*)', text)
    assert dict(told) == {"shop": "2.0", "one": "1.0", "two": "1.0", "other": "4.0"}


async def test_neither_log_nor_refusal_holds_what_stands_in_a_pod(running: Running) -> None:
    pod = a_pod(
        {"sealyard.io/unknown": "canary-annotation"},
        containers=[{"name": "web", "env": [{"name": "SECRET", "value": "canary-value"}]}],
    )
    tls = running.trusting()
    _, answer = await mutate(running, tls, json.dumps(a_review(pod)).encode())

    assert b"`sealyard.io/unknown` is unknown" in answer
    assert b"canary" not in answer
    assert "canary" not in running.log.read_text()


@pytest.mark.parametrize("changes", [2, pytest.param(6, marks=pytest.mark.slow)])
async def test_certificates_change_under_load_and_nobody_is_turned_away(
    running: Running, changes: int
) -> None:
    """Each change is to another CA; an API server that trusts both sees no error."""
    authorities = [running.ca, *(trustme.CA() for _ in range(changes))]
    tls = running.trusting(*authorities)
    answered = 0
    changing = True

    async def calls() -> None:
        nonlocal answered
        while changing:
            status, _ = await mutate(running, tls, a_body())
            assert status == 200
            answered += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(calls())
        for ca in authorities[1:]:
            publish(running.folder, ca.issue_cert(NAME))
            await until_trusted(running, running.trusting(ca))
        async with asyncio.timeout(20):
            while answered <= 50:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.05)
        changing = False

    renewed = [one for one in running.events() if one["event"] == "injector.certificate_changed"]
    assert [one["renewed"] for one in renewed] == [True] * changes


async def until_trusted(running: Running, tls: ssl.SSLContext) -> None:
    """Wait until the certificate is one that this context trusts."""
    async with asyncio.timeout(20):
        while True:
            try:
                await mutate(running, tls, a_body())
            except ssl.SSLCertVerificationError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_certificate_that_cannot_be_used_leaves_the_one_before(running: Running) -> None:
    other = trustme.CA().issue_cert(NAME)
    broken = running.folder / "..broken"
    broken.mkdir()
    (broken / "tls.crt").write_text("not a certificate")
    other.private_key_pem.write_to_path(broken / "tls.key")
    (running.folder / "..new").symlink_to(broken.name)
    (running.folder / "..new").replace(running.folder / "..data")
    deadline = time.monotonic() + 20
    while not any(one["event"] == "injector.certificate_changed" for one in running.events()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    tls = running.trusting()
    assert (await mutate(running, tls, a_body()))[0] == 200

    assert running.events()[-2]["renewed"] is False


def test_old_tls_is_not_spoken(running: Running) -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None
    tried = subprocess.run(
        [openssl, "s_client", "-connect", f"127.0.0.1:{running.port}", "-tls1_1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=15,
        check=False,
    )

    assert not re.search(rb"Cipher\s*(is|:) [A-Z]", tried.stdout)
