"""Numbers of the injector and of pods that nobody can set."""

from datetime import timedelta
from typing import Final

# --- ports and users of the sidecar -----------------------------------------------
TRAFFIC_PORT: Final = 15080  # for redirected connections
HEALTH_PORT: Final = 15021
MESH_HEALTH_PORT: Final = 15082  # in place of it beside a mesh: Istio's proxy has 15021 itself
PORT_SHIFTS: Final = (10000, 20000, 30000, -10000, -20000)  # where an application's port moves to
USER: Final = 65532
# With interception `mesh`, which exempts it from the redirect. Not 65532, the user of many images;
# and below 65536, for pods with a user namespace of their own.
MESH_USER: Final = 15080
# Files of a Secret belong to root and the group root, unless the pod has an `fsGroup`, which is
# then a group of every container. So the group root lets a user other than root read the keys at
# mode 0440, whatever the pod sets.
GROUP: Final = 0

# --- probes -----------------------------------------------------------------------
PROBE_SECONDS: Final = 2
READY_PERIOD_SECONDS: Final = 5
READY_FAILURES: Final = 2
LIVE_PERIOD_SECONDS: Final = 10
LIVE_FAILURES: Final = 3
UNSAID_PROBE_SECONDS: Final = 1  # Kubernetes' own, where a probe does not say
UNSAID_GRACE_SECONDS: Final = 30  # the same of a pod
HOOK_SECONDS: Final = 30  # of a hook of the application, which has no time-out of its own
START_SECONDS: Final = 60
# A sidecar may wait so long for a root that is away, or for shares. A restart would only lose the
# shares that were handed in, and back off for minutes after the root is there.
ROOT_WAIT_SECONDS: Final = 24 * 3600
RESERVED_SECONDS: Final = 5  # of the pod's grace, after that of `serve`
TOKEN_SECONDS: Final = 600  # a service account's token for a root; the kubelet renews it

# --- the webhook ------------------------------------------------------------------
# etcd stores at most 1.5 MiB, a request has at most 3 MiB. Parsed, it may take 21 times as much.
REVIEW_BYTES: Final = 4 * 1024 * 1024
READ_BYTES: Final = 12 * 1024 * 1024  # of all reviews that are being read; the chart allows 256 MiB
READ_SECONDS: Final = 10.0
# An API server sets none of these limits before it asks, and rules compare each with each: one pod
# must not hold up the reviews of all others.
MOST_NAMED: Final = 250  # containers, init containers, volumes, or annotations of Sealyard
MOST_PORTS: Final = 1000  # that containers declare together, or that an annotation lists
MOST_NAMESPACES: Final = 10_000  # that metrics tell apart: whoever reaches the port may name any
SHUTDOWN_SECONDS: Final = 10.0
BACKLOG: Final = 1024  # reviews of a whole deployment arrive at once
# Between two looks at its authority, each of two reads: so long pods may be refused after something
# took the authority out of the webhook configuration.
KEEPER_SECONDS: Final = 10.0
KEEPER_RETRIES: Final = (1.0, 2.0, 5.0, 10.0)  # until the first success, the last one repeated
KEEPER_CONFLICTS: Final = 5
LIFETIME: Final = timedelta(days=365)  # of its certificate
RENEW_BEFORE: Final = timedelta(days=120)
OVERLAP: Final = timedelta(minutes=10)  # for API servers to notice a new authority: they watch it
CERTIFICATE_SKEW: Final = timedelta(hours=1)  # valid so long before: clocks of a cluster differ

# --- Events on the owners of pods --------------------------------------------------
EVENTS_WAITING: Final = 100  # until the API server takes them
EVENTS_REMEMBERED: Final = 1000
SAME_EVENT_SECONDS: Final = 600.0  # in which the same is told once
EVENT_BYTES: Final = 1000  # of a message; an API server takes 1024

# --- `inject doctor` --------------------------------------------------------------
CONNECT_SECONDS: Final = 2.0
SEEN_SECONDS: Final = 1.0  # until a connection is in the kernel's table
SEEN_AGAIN_SECONDS: Final = 0.01
