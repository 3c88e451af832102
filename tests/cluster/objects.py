"""What the tests apply to a cluster beside their pods: limits, an eviction, a second webhook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.injector.pod_reader import Json
from tests.cluster.kube import PYTHON, Kube

LIMIT_RANGE: Final[Json] = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "defaults"},
    "spec": {
        "limits": [
            {
                "type": "Container",
                "default": {"cpu": "500m", "memory": "256Mi"},
                "defaultRequest": {"cpu": "20m", "memory": "64Mi"},
            }
        ]
    },
}
QUOTA: Final[Json] = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "quota"},
    "spec": {"hard": {"limits.cpu": "40", "limits.memory": "40Gi", "requests.cpu": "20"}},
}


def eviction(pod: str, namespace: str) -> Json:
    """Return what evicts a pod. As JSON: `kubectl create --raw` sends a file as it is."""
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
    }


def second_webhook(kube: Kube, name: str) -> Sequence[Json]:
    """Return the Deployment and the Service of the second webhook."""
    deployment, service = kube.deployment(name, "backend", "9443")
    spec = deployment["spec"]["template"]["spec"]
    [container] = spec["containers"]
    container["command"] = [
        *(PYTHON, "/app/second_webhook.py", "9443"),
        *("/tls/tls.crt", "/tls/tls.key", kube.image),
    ]
    container["volumeMounts"].append({"name": "tls", "mountPath": "/tls"})
    container["readinessProbe"] = {"tcpSocket": {"port": 9443}, "periodSeconds": 1}
    spec["volumes"] = [
        {"name": "app", "configMap": {"name": name}},
        {"name": "tls", "secret": {"secretName": name, "defaultMode": 0o444}},
    ]
    return deployment, service


def second_configuration(kube: Kube, name: str, bundle: str) -> Json:
    """Return what registers it; its name decides whether it is called before ours or after."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"{name}-{kube.space}"},
        "webhooks": [
            {
                "name": "second.example.org",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "reinvocationPolicy": "IfNeeded",
                "clientConfig": {
                    "service": {"name": name, "namespace": kube.space, "port": 9443},
                    "caBundle": bundle,
                },
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": kube.shop}},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
            }
        ],
    }
