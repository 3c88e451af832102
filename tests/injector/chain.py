"""A model of an API server's admission chain, as far as injection meets it.

In-tree plugins run first, then the mutating webhooks in the order of their names. If one of them
changed the pod, the plugins run again, and the webhooks with `IfNeeded` whose last answer was
changed by others are called once more. Then plugins that only check see the final pod.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from proxy.injector.pod_reader import Json
from tests.injector.pods import applied

OURS = "sealyard"
HELPER = "helper"
"""The container of the other webhook."""

Call = Callable[[Json], Json]
"""From an AdmissionReview to its answer, as a webhook gives it."""

Plugin = Callable[[Json], None]
"""An in-tree plugin: it changes the pod in place, or raises Denied."""


class Denied(Exception):
    """The API server does not create the pod; `str` is the reason."""


def a_review(pod: object, **changed: object) -> Json:
    """Return what an API server asks when a Deployment makes a pod."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": pod,
            "oldObject": None,
            "dryRun": False,
            **changed,
        },
    }


@dataclass(slots=True)
class Chain:
    """The chain of one cluster. `mutating` maps names of webhooks to them: OURS, and others."""

    mutating: Mapping[str, Call]
    plugins: Sequence[Plugin] = ()
    final: Sequence[Plugin] = ()
    calls: list[str] = field(default_factory=list)

    def create(self, pod: Json) -> Json:
        """Return the pod as it is stored. Raises Denied."""
        pod = defaulted(pod)
        answers: dict[str, Json] = {}
        for _ in range(2):
            pod = self._by_plugins(pod)
            changed = False
            for name, call in sorted(self.mutating.items()):
                if answers.get(name) != pod:
                    self.calls.append(name)
                    before, pod = pod, self._mutated(call, pod)
                    answers[name] = pod
                    changed = changed or before != pod
            if not changed:
                break
        for check in self.final:
            check(pod)
        return pod

    def debug(self, pod: Json, container: Json) -> Json:
        """Return the pod with an ephemeral container, as `kubectl debug` adds it."""
        changed = deepcopy(pod)
        changed["spec"].setdefault("ephemeralContainers", []).append(container)
        asked = a_review(
            changed, operation="UPDATE", subResource="ephemeralcontainers", oldObject=pod
        )
        response = self._asked(self.mutating[OURS], asked)
        if "patch" not in response:
            return changed
        return applied(changed, json.loads(base64.b64decode(response["patch"])))

    def _by_plugins(self, pod: Json) -> Json:
        pod = deepcopy(pod)
        for plugin in self.plugins:
            plugin(pod)
        return pod

    def _mutated(self, call: Call, pod: Json) -> Json:
        response = self._asked(call, a_review(pod))
        if "patch" not in response:
            return pod
        return defaulted(applied(pod, json.loads(base64.b64decode(response["patch"]))))

    def _asked(self, call: Call, asked: Json) -> Json:
        response: Json = call(json.loads(json.dumps(asked)))["response"]
        assert response["uid"] == asked["request"]["uid"]
        if not response["allowed"]:
            raise Denied(response["status"]["message"])
        return response


def containers_of(pod: Json) -> list[Json]:
    """Return all containers that start with the pod."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def defaulted(pod: Json) -> Json:
    """Return the pod with defaults that matter here, and without empty objects of resources."""
    pod = deepcopy(pod)
    for one in containers_of(pod):
        for port in one.get("ports", []):
            port.setdefault("protocol", "TCP")
        resources = one.setdefault("resources", {})
        for name, limit in resources.get("limits", {}).items():
            resources.setdefault("requests", {}).setdefault(name, limit)
    return pod


def limit_ranger(**defaults: str) -> Plugin:
    """Return LimitRanger with a LimitRange that gives each container these limits."""

    def plugin(pod: Json) -> None:
        for one in containers_of(pod):
            resources = one.setdefault("resources", {})
            for kind in ("limits", "requests"):
                resources[kind] = {**defaults, **resources.get(kind, {})}

    return plugin


def quota(*names: str) -> Plugin:
    """Return ResourceQuota for limits: every container must have them, as its `Constraints`."""

    def plugin(pod: Json) -> None:
        lacking = [
            f"limits.{name} for: {one['name']}"
            for one in containers_of(pod)
            for name in names
            if name not in one.get("resources", {}).get("limits", {})
        ]
        if lacking:
            raise Denied(f"failed quota: must specify {'; '.join(lacking)}")

    return plugin


def patching(asked: Json, operations: Sequence[Json]) -> Json:
    """Return the answer of a webhook that allows a pod and changes it, if it has operations."""
    response: Json = {"uid": asked["request"]["uid"], "allowed": True}
    if operations:
        patch = base64.b64encode(json.dumps(operations).encode()).decode()
        response |= {"patchType": "JSONPatch", "patch": patch}
    return {"response": response}


def tokens(pod: Json) -> None:
    """Mount the service account's token into every container, as the plugin ServiceAccount."""
    volumes = pod["spec"].setdefault("volumes", [])
    if not any(one["name"] == "kube-api-access" for one in volumes):
        volumes.append({"name": "kube-api-access", "projected": {"sources": []}})
    for one in containers_of(pod):
        mounts = one.setdefault("volumeMounts", [])
        if not any(mount["name"] == "kube-api-access" for mount in mounts):
            mounts.append({"name": "kube-api-access", "mountPath": "/var/run/secrets/x"})


def other_webhook(
    port: int = 15090, resources: Mapping[str, str] | None = None, **more: object
) -> Call:
    """Return a second webhook, which prepends a container and gives resources to all."""

    def call(asked: Json) -> Json:
        pod = asked["request"]["object"]
        operations: list[Json] = []
        apps = pod["spec"]["containers"]
        if not any(one["name"] == HELPER for one in apps):
            prepended = {
                "name": HELPER,
                "image": "registry.example/helper:1",
                "ports": [{"name": "http", "containerPort": port}],
                **more,
            }
            apps = [prepended, *apps]
            operations.append({"op": "add", "path": "/spec/containers/0", "value": prepended})
        for part, found in (
            ("containers", apps),
            ("initContainers", pod["spec"].get("initContainers", [])),
        ):
            for index, one in enumerate(found):
                limits = {**(resources or {}), **one.get("resources", {}).get("limits", {})}
                if resources and limits != one.get("resources", {}).get("limits"):
                    value = {**one.get("resources", {}), "limits": limits}
                    path = f"/spec/{part}/{index}/resources"
                    operations.append({"op": "add", "path": path, "value": value})
        return patching(asked, operations)

    return call
