"""What of a cluster's pods needs an operator: older sidecars, permissions in use, idle labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..process.fitness import Finding
from .annotations import DISABLED, ENABLED, LABEL, SIDECAR, STATUS
from .pod_reader import Json, mapping, objects, text
from .violations import OPTED_OUT

_STATUS = re.compile(r"injected by (?P<version>[^,;]+)")
_WEAKER = re.compile(r"interception=(redirect|port-env)")
_OPENED = re.compile(r"(?:passed|open)=([0-9,]+)")
_USED = re.compile(r"; permissions=([a-z,-]+)")


def examine(documents: Iterable[Json], version: str) -> Iterator[Finding]:
    """Yield what stands out among namespaces, pods and workloads, as kubectl prints them.

    `version` is that of the injector: a pod with another keeps its sidecar until it is restarted.
    A document may also be Prometheus's answer to a query for the generations of keyrings.
    """
    known: list[Json] = []
    samples: list[Json] = []
    for one in documents:
        if "items" in one:
            known += objects(one, "items")
        elif "kind" not in one and "data" in one:
            samples += objects(mapping(one, "data"), "result")
        else:
            known.append(one)
    labelled = {
        text(mapping(one, "metadata"), "name")
        for one in known
        if one.get("kind") == "Namespace" and _label(one) not in {"", DISABLED}
    }
    sealed = 0
    for one in known:
        if one.get("kind") == "Pod":
            metadata = mapping(one, "metadata")
            findings = list(_of_pod(one, version, text(metadata, "namespace") in labelled))
            sealed += STATUS in mapping(metadata, "annotations")
        else:
            findings = list(_of_workload(one))
        yield from findings
    yield from _of_keyrings(samples)
    yield Finding("sealed", "ok", f"{sealed} pods have a sidecar")


def _of_keyrings(samples: Iterable[Json]) -> Iterator[Finding]:
    """Yield the pods whose keyring is of an older generation than another pod's of the same id."""
    found: dict[str, dict[str, int]] = {}
    for one in samples:
        metric, (_, value) = mapping(one, "metric"), one.get("value") or (0, "0")
        pod = "/".join(text(metric, part) for part in ("namespace", "pod"))
        found.setdefault(text(metric, "keyring"), {})[pod] = int(float(value))
    for keyring, pods in found.items():
        newest = max(pods.values())
        for pod, generation in pods.items():
            if generation < newest:
                told = f"{pod}: generation {generation} of keyring {keyring}, others {newest}"
                yield Finding("keyring", "warning", told)


def _of_pod(pod: Json, version: str, within: bool) -> Iterator[Finding]:  # noqa: FBT001 - of its namespace
    name = _name(pod)
    status = mapping(mapping(pod, "metadata"), "annotations").get(STATUS)
    spec, label = mapping(pod, "spec"), _label(pod)
    inside = any(one.get("name") == SIDECAR for one in objects(spec, "initContainers"))
    if not isinstance(status, str) or not inside:
        if within and label == DISABLED:
            yield Finding("permission", "warning", f"{name}: {OPTED_OUT.permission}, {LABEL}")
        elif label == ENABLED or (within and label != DISABLED):
            yield Finding("unsealed", "failed", f"{name}: is to be sealed, and has no sidecar")
        return
    written = _STATUS.match(status)
    if written is None or written["version"] != version:
        older = written["version"] if written else "an unknown version"
        yield Finding("version", "warning", f"{name}: sidecar of {older}; restart it")
    used = [one for each in _USED.findall(status) for one in each.split(",") if one != "ports"]
    for kind in dict.fromkeys([*_WEAKER.findall(status), *used]):
        yield Finding("permission", "warning", f"{name}: {kind}")
    for ports in _OPENED.findall(status):
        yield Finding("permission", "warning", f"{name}: ports, {ports} open")


def _of_workload(one: Json) -> Iterator[Finding]:
    """Yield a label that reaches no pod."""
    spec = mapping(one, "spec")
    # Of a CronJob, that of its Jobs.
    template = mapping(mapping(mapping(spec, "jobTemplate"), "spec") or spec, "template")
    if template and _label(one) and not _label(template):
        told = f"{_name(one)}: the label has no effect; put it on the pod template"
        yield Finding("label", "failed", told)


def _label(one: Json) -> str:
    return str(mapping(mapping(one, "metadata"), "labels").get(LABEL, ""))


def _name(one: Json) -> str:
    metadata = mapping(one, "metadata")
    return "/".join(part for part in (text(metadata, "namespace"), text(metadata, "name")) if part)
