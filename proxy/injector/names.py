"""The names by which pods ask for Sealyard, and by which Sealyard knows what is its own."""

from __future__ import annotations

from typing import Final

LABEL: Final = "sealyard.io/inject"
"""On a pod or its namespace: `enabled` or `disabled`; the pod's own word wins."""

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"

PREFIX: Final = "sealyard.io/"
STATUS: Final = "sealyard.io/status"
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"

SIDECAR: Final = "sealyard"
REDIRECT: Final = "sealyard-redirect"
CONTAINERS: Final = frozenset({SIDECAR, REDIRECT})

CONFIG_VOLUME: Final = "sealyard-config"
KEYS_VOLUME: Final = "sealyard-keys"
AUDIT_VOLUME: Final = "sealyard-audit"
VOLUMES: Final = frozenset({CONFIG_VOLUME, KEYS_VOLUME, AUDIT_VOLUME})

TRAFFIC_PORT: Final = 15080
"""Where redirected connections arrive."""

HEALTH_PORT: Final = 15021
OWN_PORTS: Final = frozenset({TRAFFIC_PORT, HEALTH_PORT})

CONFIG_FILE: Final = "/etc/sealyard/config/sealyard.yaml"
CONFIG_FOLDER: Final = "/etc/sealyard/config"
KEYS_FOLDER: Final = "/etc/sealyard/keys"
AUDIT_FOLDER: Final = "/var/log/sealyard"

EMPTY_DIR: Final = "emptyDir"
"""In place of the name of a claim, which cannot have a capital: a volume that ends with its pod."""

LISTEN_VARIABLE: Final = "SEALYARD_LISTEN"
UPSTREAM_VARIABLE: Final = "SEALYARD_UPSTREAM"
POD_VARIABLE: Final = "SEALYARD_POD"
PROBES_VARIABLE: Final = "SEALYARD_APP_PROBES"
PROBE_PATH: Final = "/app-probe"

USER: Final = 65532
GROUP: Final = 0
"""Files of a Secret belong to root and the group root, unless the pod has an `fsGroup`, which is
then a group of every container. So the group root, and nothing of the pod's own, lets a user who is
not root read its keys at mode 0440."""
