"""The chart's default: the injector as the chart runs it, with the rights that the chart grants.

The API server is a small one of the tests. `helm test` is the chart's own script.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
import sys
from pathlib import Path

import trustme
import yaml
from aiohttp import ClientSession, web

from proxy.injector.webhook import Webhook
from tests.chart.conftest import CHART, ROOT, Render
from tests.factories import Ear
from tests.injector.chain import a_review
from tests.injector.cluster import Cluster
from tests.injector.pods import STRICT, a_pod
from tests.injector.test_certificate_keeper import listening
from tests.servers import await_log, child, free_port

# What a pod's resolver does: the Service's name leads to the injector.
_IN_THE_CLUSTER = """\
import runpy, socket, sys
port, script, *sys.argv[1:] = sys.argv[1:]
ask = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: ask("127.0.0.1", port, *rest[1:], **more)
runpy.run_path(script)
"""


async def test_a_fresh_install_passes_helm_test(render: Render, tmp_path: Path) -> None:
    rendered = render(CHART / "ci" / "default-values.yaml")
    cluster = Cluster()
    secret, webhook = rendered.one("Secret"), rendered.one("MutatingWebhookConfiguration")
    space, name = secret["metadata"]["namespace"], webhook["metadata"]["name"]
    group = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    kept = f"/api/v1/namespaces/{space}/secrets/{secret['metadata']['name']}"
    cluster.put(kept, secret)
    cluster.put(f"{group}/{name}", webhook)
    cluster.allow(rendered.one("Role")["rules"])
    cluster.allow(rendered.one("ClusterRole")["rules"])
    port, api = free_port(), free_port()
    [container] = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    arguments = [
        one.replace("--listen=*:10250", f"--listen=127.0.0.1:{port}").replace(
            "/run/sealyard", str(tmp_path)
        )
        for one in container["args"]
    ]
    arguments.append(f"--service-account={tmp_path}")
    environ = {
        "PYTHONPATH": str(ROOT),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(api),
    }
    log = tmp_path / "log"
    command = [sys.executable, "-P", "-m", "proxy", *arguments]
    async with listening(cluster, tmp_path, api):
        with child(command, log, environ) as process:
            await asyncio.to_thread(await_log, process, log, "injector.started")
            trusted = base64.b64decode(cluster.objects[kept]["data"]["ca.crt"])
            bundles = [
                one["clientConfig"]["caBundle"]
                for one in cluster.objects[f"{group}/{name}"]["webhooks"]
            ]
            assert {base64.b64decode(one) for one in bundles} == {trusted}
            await asyncio.to_thread(
                _helm_test, yaml.safe_dump_all(rendered.objects()), trusted, tmp_path, port
            )
            pod = a_pod()
            owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u"}
            pod["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
            tls = ssl.create_default_context(cadata=trusted.decode())
            tls.check_hostname = False
            async with (
                ClientSession() as session,
                session.post(
                    f"https://127.0.0.1:{port}/mutate", json=a_review(pod), ssl=tls
                ) as answer,
            ):
                assert (await answer.json())["response"]["allowed"]
            event = await asyncio.wait_for(cluster.made.get(), 20)
    assert {status for _, _, status in cluster.asked} == {200, 201}
    assert event["involvedObject"]["name"] == "web-1"


async def test_helm_test_waits_for_an_injector_that_starts_later(tmp_path: Path) -> None:
    """Helm does not wait: the pod of the test may run before the injector's."""
    authority, port = trustme.CA(), free_port()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    script = str(CHART / "files" / "mutate_test.py")
    pem = authority.cert_pem.bytes().decode()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", script, f"https://localhost:{port}/mutate", pem),
        stdout=asyncio.subprocess.PIPE,
    )
    await asyncio.sleep(1.5)
    assert process.returncode is None
    runner = web.AppRunner(Webhook(STRICT, Ear()).app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        said, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        await runner.cleanup()

    assert process.returncode == 0
    assert b"adds the sidecar: sealyard" in said


def _helm_test(rendered: str, trusted: bytes, folder: Path, port: int) -> None:
    [pod] = [one for one in yaml.safe_load_all(rendered) if one["kind"] == "Pod"]
    script, *arguments = pod["spec"]["containers"][0]["args"]
    # What the pod mounts of the Secret.
    [volume] = pod["spec"]["volumes"]
    assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    (folder / "mounted.crt").write_bytes(trusted)
    (folder / "script.py").write_text(script.replace("/ca/ca.crt", str(folder / "mounted.crt")))
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            _IN_THE_CLUSTER,
            str(port),
            str(folder / "script.py"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "adds the sidecar: sealyard" in done.stdout
