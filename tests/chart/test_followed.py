"""docs/how-to/kubernetes.md, followed: each command that it has, as far as there is no API server.

What writes to a cluster renders or patches here instead, by the same tool with the same arguments.
A command that is neither followed nor listed as one that needs a cluster fails the test.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

from proxy.demo.screen import search
from proxy.injector.pod_reader import Json
from tests.injector.pods import container, variables
from tests.servers import child, free_port, serving

from .conftest import CHART, ROOT, TOOLS, Tool

PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
IMAGE = "--set=image.repository=REGISTRY/sealyard"
DIGEST = f"sha256:{'0' * 64}"
UNTRIED = {
    "helm -n sealyard test sealyard": "its pod needs a cluster; tests/chart holds what it asks",
    "kubectl -n shop rollout restart deployment": "a cluster's",
    "kubectl rollout restart": "as above",
    "kubectl -n shop describe replicaset": "a cluster's",
    "kubectl logs POD -c sealyard-check": "a running pod's; tests/injector runs the container",
    "kubectl apply -f -": "the manifest is held to what the webhook makes of the pod",
    "kubectl delete mutatingwebhookconfiguration sealyard-injector": "a cluster's",
    "docker build -t REGISTRY/sealyard .": "tests/chart/test_image.py builds it",
    "helm uninstall": "a cluster's",
    "kubectl get ns,pods,deploy,sts,ds,cj -A -o json | sealyard cluster status -": "a cluster's",
    "kubectl delete validatingadmissionpolicy,validatingadmissionpolicybinding"
    " -l app.kubernetes.io/name=sealyard": "a cluster's",
    "kubectl exec -it POD -c sealyard -- sealyard keys unlock": "a running pod's",
}
"""Commands of the page that need a cluster, and what is done about them."""
MENTIONED = re.compile(
    r"kubectl (?:exec|debug|port-forward|replace)|helm (?:test|upgrade)"
    r"|sealyard (?:audit verify|inject)"
)
"""Names of commands that the page speaks of, and does not say to run."""
PIECES = re.compile(r"^(```)(\w*)\n(.*?)^```$|`([^`\n]+)`", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:helm|kubectl|sealyard|docker) .+", re.DOTALL)
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [{"name": "web", "image": "web", "ports": [{"containerPort": 8080}]}]
            },
        },
    },
}


def commands() -> list[str]:
    """Return the commands of the page, in its order: of scripts, and of texts."""
    text = PAGE.read_text("utf-8")
    found: list[str] = []
    for fenced, language, block, inline in PIECES.findall(text):
        lines = re.sub(r"\s*\\\n\s*", " ", block).splitlines() if language == "sh" else []
        found += [part for line in lines for part in line.split(" | ")] if fenced else [inline]
    return [one for one in found if COMMAND.fullmatch(one) and not MENTIONED.fullmatch(one)]


def sealyard(folder: Path, *arguments: str) -> str:
    """Return what a command of Sealyard prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "proxy", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Follower:
    """Who follows the page in a folder. `made` are the objects that a cluster would have got."""

    def __init__(self, folder: Path, tool: Tool) -> None:
        self.folder = folder
        self.tool = tool
        self.made: dict[str, Json] = {}
        self.seconds: dict[str, float] = {}

    def follow(self, command: str) -> None:
        """Carry out one command; keep what it makes."""
        began = time.monotonic()
        words = shlex.split(command)
        if "web.yaml" in words:  # the Deployment that has been labelled
            (self.folder / "web.yaml").write_text(yaml.safe_dump(self.made["deployment/web"]))
        if words[0] == "sealyard":
            self._keep(sealyard(self.folder, *words[1:]))
        elif words[0] == "helm":
            self._helm(words)
        else:
            self._kubectl(words)
        self.seconds[command] = time.monotonic() - began

    def _helm(self, words: list[str]) -> None:
        """Render what would be installed or upgraded."""
        assert words[1] in {"install", "upgrade"}
        assert words[3] == str(CHART.relative_to(ROOT))
        left = [
            one
            for one in words[4:]
            if one not in {"--create-namespace", "--reset-then-reuse-values"}
        ]
        left = [one.replace("sha256:…", DIGEST) for one in left]
        done = self.tool("helm4", "template", words[2], CHART, IMAGE, *left)
        assert done.code == 0, done.complained
        self._keep(done.said)

    def _kubectl(self, words: list[str]) -> None:
        """Create or change what the cluster would have, here."""
        verb = next(one for one in words if one in {"create", "patch", "label"})
        words = [self._path(one) for one in words[1:]]
        if verb == "create":
            words += ["--dry-run=client", "-o", "yaml"]
        else:
            at = words.index(verb)
            kind, name = words[at + 1], words[at + 2]
            place = self.folder / "object.yaml"
            place.write_text(yaml.safe_dump(self.made[f"{kind.lower()}/{name}"]))
            words[at + 1 : at + 3] = ["--local", "-f", str(place), "-o", "yaml"]
        done = self.tool("kubectl", *words)
        assert done.code == 0, done.complained
        self._keep(done.said)

    def _path(self, word: str) -> str:
        option, equals, path = word.partition("=")
        return f"{option}={self.folder / path}" if equals and option == "--from-file" else word

    def _keep(self, text: str) -> None:
        for one in yaml.safe_load_all(text) if "apiVersion:" in text else ():
            if one:
                self.made[f"{one['kind'].lower()}/{one['metadata']['name']}"] = one


def example_of_the_page() -> str:
    """Return the configuration that the page shows, with the rules that it leaves out."""
    text = PAGE.read_text("utf-8")
    (shown,) = re.findall(r"```yaml\n(health: .*?)```", text, re.DOTALL)
    return f"""\
version: 1
keys:
  keyring: {{file: keys/keyring.jwe, key: {{file: keys/root.key}}}}
{shown}    unmatched: reject
    defaults: {{others: pass, tenant: "const:clinic", conversation: $.room}}
    rules:
      - name: send
        match: POST /messages
        request: {{encrypt: $.text}}
        response: {{decrypt: $.text}}
"""


async def test_the_page_leads_to_a_sealed_message(tmp_path: Path, tool: Tool) -> None:
    if not TOOLS.exists():
        pytest.skip("`./dev test tests/chart` installs the tools")
    follower = Follower(tmp_path, tool)
    (tmp_path / "sealyard.yaml").write_text(example_of_the_page())
    follower.made["deployment/web"] = WEB
    shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    follower.made["namespace/shop"] = shop
    listed = commands()
    for command in listed:
        certificate = follower.made.get("secret/sealyard-injector-certificate", {})
        certificate.setdefault("data", {})["tls.crt"] = ""  # as the injector fills it
        if command not in UNTRIED:
            follower.follow(command)

    assert UNTRIED.keys() <= set(listed)
    made = follower.made
    assert "mutatingwebhookconfiguration/sealyard-injector" in made
    assert "secret/sealyard-injector-certificate" in made
    assert made["namespace/shop"]["metadata"]["labels"] == {"sealyard.io/inject": "enabled"}
    pod = made["deployment/web"]["spec"]["template"]
    assert "sealyard.io/status" in pod["metadata"]["annotations"]
    told = await sealed_message(tmp_path, pod, made)
    print(json.dumps({"seconds": follower.seconds, **told}, indent=1))  # noqa: T201 - `pytest -s` measures


async def sealed_message(folder: Path, pod: Json, made: dict[str, Json]) -> dict[str, float]:
    """Start the sidecar that the pod got, with what was created for it, and send a message."""
    place, canary = folder / "pod", "canary-of-the-page"
    (place / "keys").mkdir(parents=True)
    for name, data in made["secret/sealyard-keys"]["data"].items():
        (place / "keys" / name).write_bytes(base64.b64decode(data))
        (place / "keys" / name).chmod(0o400)  # ours: 0440 is for what belongs to root
    (place / "sealyard.yaml").write_text(made["configmap/sealyard"]["data"]["sealyard.yaml"])
    stored: list[bytes] = []

    async def store(request: web.Request) -> web.Response:
        stored.append(await request.read())
        return web.Response(body=stored[-1], content_type="application/json")

    application, port = web.Application(), free_port()
    application.router.add_post("/messages", store)
    began = time.monotonic()
    async with serving(application) as upstream:
        given = variables(container(pod, "sealyard")) | {
            "SEALYARD_LISTEN": f"127.0.0.1:{port}",
            "SEALYARD_UPSTREAM": f"http://127.0.0.1:{upstream}",
            "SEALYARD_HEALTH": f"127.0.0.1:{free_port()}",
            "PYTHONPATH": str(ROOT),
        }
        arguments = list(container(pod, "sealyard")["args"])
        arguments[arguments.index("--config") + 1] = str(place / "sealyard.yaml")
        command = [sys.executable, "-P", "-m", "proxy", *arguments]
        with child(command, folder / "sidecar.log", given, cwd=place) as process:
            answer = await first_answer(port, canary)
            assert process.poll() is None
    assert answer == {"room": "r1", "text": canary}
    assert json.loads(stored[-1])["text"].startswith("eyJ0eXAiOiJzeTEi")
    logs = {"log": (folder / "sidecar.log").read_bytes(), "stored": b"".join(stored)}
    assert search(canary, logs) == []
    return {"from the start of the sidecar to the sealed message": time.monotonic() - began}


async def first_answer(port: int, canary: str) -> Json:
    """Return the answer to a message, as soon as the sidecar listens."""
    deadline = time.monotonic() + 60
    url = f"http://127.0.0.1:{port}/messages"
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(url, json={"room": "r1", "text": canary}) as answer:
                    assert answer.status == 200, await answer.text()
                    found: Json = await answer.json()
                    return found
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
