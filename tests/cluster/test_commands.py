"""Every command of the suite is known to kubectl and helm: each is run once, without a cluster.

The tools must fail at the connection, and not before. What a cluster would have said is made up, so
that the suite goes on to its next command; what it asserts is worth nothing here.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import yaml

from proxy.injector.inject import inject
from proxy.injector.pod_reader import Json
from tests.chart.conftest import Tool
from tests.cluster import test_cluster as suite
from tests.cluster.kube import PATIENCE, Kube, Refused
from tests.injector.pods import STRICT

NOWHERE = """\
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
"""
UNREACHED = re.compile(r"connection refused|cluster unreachable|connection to the server")


class Unreached(Kube):
    """A cluster that no command reaches."""

    def __init__(self, tool: Tool) -> None:
        super().__init__("registry.example/sealyard:test", "sealyard-test-abc")
        self.tool = tool
        self.seen: dict[tuple[str, ...], str] = {}
        self.certificate = "first"

    def run(self, *command: str | Path, given: str | None = None, patience: int = PATIENCE) -> str:
        name, *words = map(str, command)
        if given is not None:
            self._of_the_namespace(words, given)
        shape = (name, *(re.sub(r"[0-9a-f]{8,}|\d+", "N", one) for one in words))
        if shape not in self.seen:
            done = self.tool(name, *words, given=given)
            if words[0] == "template":
                assert done.code == 0, done.complained
            else:
                assert done.code != 0, words
                assert UNREACHED.search(done.complained), (words, done.complained)
            self.seen[shape] = done.said
        return self.seen[shape] if words[0] == "template" else self._answer(words, given or "")

    @staticmethod
    def _of_the_namespace(words: list[str], given: str) -> None:
        """What kubectl refuses only once it knows the kinds: objects of another namespace."""
        if "--raw" in words:
            json.loads(given)  # kubectl sends it as it is, and an API server takes it as JSON
            return
        space = words[words.index("-n") + 1]
        for one in yaml.safe_load_all(given):
            assert one["metadata"].get("namespace", space) == space, one["metadata"]

    def _answer(self, words: list[str], given: str) -> str:
        verb = next(
            one
            for one in words
            if one in {"get", "create", "exec", "patch", "replace"} or one in OTHERS
        )
        if verb == "get":
            return json.dumps(self._object(words[words.index("get") + 1]))
        if verb == "create" and "--dry-run=server" in words:
            return json.dumps(inject(yaml.safe_load(given), STRICT))
        if verb == "exec":
            return '{"200": 400}' if "ask" in words[words.index("--") :] else "eyJ0eXAi"
        if verb == "patch" and any("certificate" in one for one in words):
            self.certificate = "second"
        if verb == "replace":
            added = json.loads(given)["spec"]["ephemeralContainers"][-1]
            if "volumeMounts" in added or "targetContainerName" in added:
                raise Refused("Sealyard: it joins the processes")
        return ""

    def _object(self, kind: str) -> Json:
        if kind.startswith("secret/"):
            return {"data": {"tls.crt": self.certificate}}
        pod = inject(self.pod("web", sealed=True), STRICT)
        pod["spec"]["containers"].append({"name": "helper"})
        for one in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
            one["resources"] = {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
        return {"items": [pod]} if kind == "pods" else pod


OTHERS = frozenset(
    {"apply", "delete", "logs", "rollout", "test", "uninstall", "upgrade", "wait", "label"}
)


def test_every_command_of_the_suite_is_known(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nowhere.yaml").write_text(NOWHERE)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere.yaml"))
    wait = time.sleep
    monkeypatch.setattr("time.sleep", lambda _: wait(0.5))  # creations go on meanwhile
    kube = Unreached(tool)
    kube.prepare(tmp_path)
    kube.install(*kube.settings())

    suite.test_the_test_of_the_chart_passes(kube)
    suite.test_one_label_seals(kube)
    suite.test_pods_that_roll_under_load_lose_nothing_and_show_nothing(kube)
    suite.test_an_eviction_under_load_shows_nothing(kube)
    suite.test_a_quota_and_a_limit_range_let_sealed_pods_start(kube)
    suite.test_an_ephemeral_container_does_not_see_the_keys(kube)
    suite.test_a_second_webhook_unseals_nothing(kube, tmp_path, "aaa-second")
    suite.test_a_renewal_and_twenty_syncs_refuse_no_pod(kube)
    suite.test_an_upgrade_refuses_no_pod(kube)
    kube.remove()

    assert len(kube.seen) > 30
