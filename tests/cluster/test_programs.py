"""The programs of the suite's pods do what it expects of them, on this machine: no cluster."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme

from tests.chart.conftest import ROOT
from tests.cluster.kube import APP, SECOND
from tests.cluster.second_webhook import patch
from tests.injector.chain import a_review
from tests.injector.pods import a_pod
from tests.servers import await_port, child, free_port

CANARY = "CANARY-of-the-programs"


@contextmanager
def running(folder: Path, name: str, port: int, *command: str, **given: str) -> Iterator[None]:
    """Run a program until the block ends, once it listens."""
    log = folder / f"{name}.log"
    environment = {"PYTHONPATH": str(ROOT), **given}
    with child([sys.executable, *command], log, environment) as process:
        await_port(process, port, log)
        yield


def ask(port: int) -> dict[str, int]:
    """Return what the asking program counts in a second."""
    url = f"http://127.0.0.1:{port}/api/messages"
    done = subprocess.run(  # noqa: S603 - a program of the suite
        [sys.executable, str(APP), "ask", url, "20", "1", CANARY],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def collected(port: int) -> str:
    """Return what the collector was sent."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10) as answer:
        kept: bytes = answer.read()
    return kept.decode()


def test_a_sidecar_between_them_keeps_the_canary_from_the_collector(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-P", "-m", "proxy", "init", "keys"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    configuration = (ROOT / "deploy" / "kustomize" / "sealed" / "sealyard.yaml").read_text()
    file = tmp_path / "sealyard.yaml"
    file.write_text(configuration.replace("/etc/sealyard/keys", str(tmp_path / "keys")))
    collector, backend, sidecar = free_port(), free_port(), free_port()
    given = {
        "SEALYARD_LISTEN": f"127.0.0.1:{sidecar}",
        "SEALYARD_UPSTREAM": f"http://127.0.0.1:{backend}",
        "SEALYARD_HEALTH": f"127.0.0.1:{free_port()}",
    }
    onward = f"http://127.0.0.1:{collector}"
    serve = ("-P", "-m", "proxy", "serve", "--config", str(file))
    with ExitStack() as stack:
        for each in (
            running(tmp_path, "collector", collector, str(APP), "collector", str(collector)),
            running(tmp_path, "backend", backend, str(APP), "backend", str(backend), onward),
            running(tmp_path, "sidecar", sidecar, *serve, **given),
        ):
            stack.enter_context(each)
        sealed, kept = ask(sidecar), collected(collector)
        open_, seen = ask(backend), collected(collector)

    assert (set(sealed), set(open_)) == ({"200"}, {"200"})
    assert "eyJ0eXAiOiJzeTEi" in kept
    assert CANARY not in kept
    assert CANARY in seen  # so that the suite would notice


def test_the_second_webhook_answers_as_an_api_server_asks(tmp_path: Path) -> None:
    authority, port = trustme.CA(), free_port()
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    pair = (str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    asked = a_review(a_pod())
    call = urllib.request.Request(f"https://127.0.0.1:{port}/", json.dumps(asked).encode())
    with (
        running(tmp_path, "second", port, str(SECOND), str(port), *pair, "image:1"),
        urllib.request.urlopen(call, timeout=10, context=trust) as answer,  # noqa: S310 - the webhook
    ):
        review = json.load(answer)

    assert review["apiVersion"] == asked["apiVersion"]
    assert review["response"]["uid"] == asked["request"]["uid"]
    operations = json.loads(base64.b64decode(review["response"]["patch"]))
    assert operations == patch(asked["request"]["object"], "image:1")
    assert review["response"]["patchType"] == "JSONPatch"
