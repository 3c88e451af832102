"""kubectl and helm on the cluster that KUBECONFIG names, in namespaces of the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.injector.pod_reader import Json
from tests.chart.conftest import CHART, ROOT, TOOLS

PATIENCE: Final = 180
_SLACK: Final = 30
"""What a tool has beside its own time limit, so that it ends with its reason."""
APP: Final = Path(__file__).parent / "app.py"
SECOND: Final = Path(__file__).parent / "second_webhook.py"
PYTHON: Final = "/opt/sealyard/bin/python"


class Refused(Exception):
    """A tool ended with another status than 0; `str` is what it said."""


@dataclass
class Kube:
    """One cluster. `image` is Sealyard's, as REPOSITORY:TAG; the cluster has it or can pull it."""

    image: str
    space: str
    """The namespace of the injector; that of the applications is `shop`."""
    made: list[str] = field(default_factory=list)

    @property
    def shop(self) -> str:
        """The namespace of the applications."""
        return f"{self.space}-shop"

    @property
    def release(self) -> str:
        """The release of the chart."""
        return self.space

    @property
    def webhook(self) -> str:
        """The webhook configuration, the Service and the Deployment of the injector.

        The chart's name is in that of the release already.
        """
        return f"{self.release}-injector"

    def run(
        self, *command: str | Path, given: str | None = None, patience: int = PATIENCE + _SLACK
    ) -> str:
        """Return what a tool of `.venv-k8s` printed; raise Refused."""
        tool = TOOLS / str(command[0])
        done = subprocess.run(  # noqa: S603 - kubectl or helm
            [str(tool), *map(str, command[1:])],
            input=given,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
            env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"},
        )
        if done.returncode:
            raise Refused(done.stdout + done.stderr)
        return done.stdout

    def ctl(self, *words: str | Path, given: str | None = None, space: str = "") -> str:
        """Run kubectl in the namespace of the applications, or another."""
        return self.run("kubectl", "-n", space or self.shop, *words, given=given)

    def get(self, *words: str, space: str = "") -> Json:
        """Return an object, or a list of them."""
        found: Json = json.loads(self.ctl("get", *words, "-o", "json", space=space))
        return found

    def apply(self, *objects: Json, space: str = "") -> None:
        """Create or change objects."""
        self.ctl("apply", "-f", "-", given=yaml.safe_dump_all(objects), space=space)

    def settings(self, **more: str) -> list[str]:
        """Return the values that every release of the tests has."""
        repository, _, tag = self.image.rpartition(":")
        values = {
            "image.repository": repository,
            "image.tag": tag,
            "injector.podDisruptionBudget.enabled": "false",
            **more,
        }
        return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]

    def install(self, *words: str, chart: Path = CHART, helm: str = "helm4") -> None:
        """Install or upgrade the chart, and wait until it is ready."""
        command = ("upgrade", "--install", self.release, chart, "-n", self.space)
        self.run(
            helm, *command, "--wait", "--timeout", f"{PATIENCE}s", *words, patience=2 * PATIENCE
        )

    def prepare(self, folder: Path) -> None:
        """Make both namespaces, and keys, configuration and programs of the applications."""
        for name in (self.space, self.shop):
            self.run("kubectl", "create", "namespace", name)
            self.made.append(name)
        subprocess.run(
            [sys.executable, "-P", "-m", "proxy", "init", "keys"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=60,
            check=True,
        )
        keys = [f"--from-file={folder / 'keys' / name}" for name in ("keyring.jwe", "root.key")]
        self.ctl("create", "secret", "generic", "sealyard-keys", *keys)
        configuration = ROOT / "deploy" / "kustomize" / "sealed" / "sealyard.yaml"
        self.ctl("create", "configmap", "sealyard", f"--from-file={configuration}")
        self.ctl("create", "configmap", "app", f"--from-file={APP}")
        self.apply(*self.deployment("collector", "collector", "9000"), self.pod("ask"))
        self.rolled_out("collector")
        self.ctl("wait", "--for=condition=Ready", "pod/ask", f"--timeout={PATIENCE}s")

    def remove(self) -> None:
        """Delete all that was made."""
        for command in (
            ("helm4", "uninstall", self.release, "-n", self.space, "--ignore-not-found"),
            *(("kubectl", "delete", "namespace", one, "--wait=false") for one in self.made),
        ):
            self.run(*command)

    def pod(self, name: str, *, sealed: bool = False, **spec: Any) -> Json:  # noqa: ANN401 - JSON
        """Return a pod with the image, which only waits."""
        waits = {
            "name": "web",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": [PYTHON, "-c", "import time; time.sleep(1e6)"],
            "volumeMounts": [{"name": "app", "mountPath": "/app"}],
            "ports": [{"containerPort": 8080}],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": _labels(name, sealed=sealed)},
            "spec": {
                "terminationGracePeriodSeconds": 5,
                "containers": [waits],
                "volumes": [{"name": "app", "configMap": {"name": "app"}}],
                **spec,
            },
        }

    def deployment(
        self, name: str, *arguments: str, sealed: bool = False, replicas: int = 1
    ) -> Sequence[Json]:
        """Return a Deployment that runs a role of `app.py`, and its Service."""
        port = int(arguments[1])
        pod = self.pod(name, sealed=sealed)
        [container] = pod["spec"]["containers"]
        container["command"] = [PYTHON, "/app/app.py", *arguments]
        container["ports"] = [{"name": "http", "containerPort": port}]
        container["readinessProbe"] = {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1}
        pod["spec"]["terminationGracePeriodSeconds"] = 20
        labels = {"app": name}
        template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
        return (
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                    "template": template,
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": labels, "ports": [{"port": port, "targetPort": port}]},
            },
        )

    def rolled_out(self, name: str) -> None:
        """Wait until a Deployment has all its pods."""
        self.ctl("rollout", "status", f"deployment/{name}", f"--timeout={PATIENCE}s")

    def ask(self, canary: str, *, rate: int = 10, seconds: int = 2) -> dict[str, int]:
        """Post messages to the Service `web` from a pod beside it; return what came of them."""
        url = f"http://web.{self.shop}.svc:8080/api/messages"
        words = ("exec", "ask", "--", PYTHON, "/app/app.py", "ask", url, str(rate), str(seconds))
        found: dict[str, int] = json.loads(self.ctl(*words, canary))
        return found

    def collected(self) -> str:
        """Return all that backends were sent so far."""
        script = (
            "import urllib.request as r; print(r.urlopen('http://collector:9000').read().decode())"
        )
        return self.ctl("exec", "ask", "--", PYTHON, "-c", script)

    def containers(self, pod: Json) -> list[str]:
        """Return the names of a pod's containers, those that start first first."""
        spec = pod["spec"]
        return [one["name"] for one in [*spec.get("initContainers", []), *spec["containers"]]]

    def pods_of(self, name: str) -> list[Json]:
        """Return the pods of a Deployment that are not about to end."""
        found = self.get("pods", "-l", f"app={name}")["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def until(self, condition: Any, what: str) -> None:  # noqa: ANN401 - any call
        """Wait until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
            time.sleep(1)


def _labels(name: str, *, sealed: bool) -> dict[str, str]:
    return {"app": name} | ({"sealyard.io/inject": "enabled"} if sealed else {})
