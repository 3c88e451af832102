"""Numbers of a process that nobody can set."""

from typing import Final

MOST_GRACE_SECONDS: Final = 3600  # the most that `serve` takes for its grace, and its drain delay
SOON_DAYS: Final = 14  # `doctor` warns of a certificate that ends within
KILLED_SECONDS: Final = 1.0  # for a child process to end after SIGKILL

# --- file descriptors -------------------------------------------------------------
OWN_DESCRIPTORS: Final = 64  # beside those of listeners: log, keys, store, admin
LISTENER_DESCRIPTORS: Final = 4  # of each process: a host name may have several addresses
MOST_LINGERING: Final = 256  # connections that were refused and are read to their end
LINGERING_SHARE: Final = 16  # one in so many descriptors, at most
LEAST_CLIENTS: Final = 16  # of a process, or two for each listener; with fewer, it does not start

# --- memory -----------------------------------------------------------------------
TRIM_SECONDS: Final = 10.0  # between looks at what may be given back
KEPT_BYTES: Final = 64 * 1024 * 1024  # free memory that malloc keeps
# The most that glibc takes; the copies of the largest body that rules read are below it.
LARGEST_BYTES: Final = 32 * 1024 * 1024
WORTH_BYTES: Final = 4 * 1024 * 1024  # less is not given back
# A full collection of garbage while long messages are under way: after the first of these times,
# or after the second where the process has grown so much, or so much of the budget is held.
COLLECTED_SECONDS: Final = 30.0
PRESSED_SECONDS: Final = 2.0
GROWN_BYTES: Final = 16 * 1024 * 1024
PRESSED_SHARE: Final = 0.8

# --- the Kubernetes API -----------------------------------------------------------
KUBERNETES_SECONDS: Final = 5.0
# etcd stores objects of at most 1.5 MiB; JSON with escapes is longer.
KUBERNETES_BYTES: Final = 8 * 1024 * 1024
