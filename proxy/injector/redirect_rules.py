"""The nftables rules of a pod (docs/adr/0071-beside-a-mesh.md).

Of NAT chains at one hook, that with the lowest priority is asked first, and the first that changes
a connection decides. Of two with equal priority, the one that was registered last is asked first:
who comes last would win. So Sealyard's are never at `dstnat`, where meshes have theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .annotations import MESH_HEALTH_PORT, MESH_USER, TRAFFIC_PORT

_FIRST: Final = "dstnat - 10"
_LAST: Final = "dstnat + 10"


def redirect_rules(ports: Iterable[int]) -> str:
    """Return the rules that bring connections from outside to the sidecar, before any mesh.

    Traffic within the pod, that of the sidecar included, does not pass `prerouting`, so nothing
    needs an exemption. A mesh that nobody has seen is passed by, rather than sealing.
    """
    return _table(
        _chain("inbound", "prerouting", _FIRST, f"{_to(ports)} redirect to :{TRAFFIC_PORT}")
    )


def mesh_rules(ports: Iterable[int]) -> str:
    """Return the rules that bring every connection to the sidecar but its own, after any mesh.

    * `health`: the kubelet's probes do not pass the mesh, which would want mutual TLS of them.
    * `inbound`: what arrives, and what no mesh has taken.
    * `local`: what is called from inside, by the mesh's proxy and by all others. Only the port
      changes: a source that only the mesh can route to, as ambient's, has no way to 127.0.0.1.
    """
    to = _to(ports)
    own = f"tcp dport {MESH_HEALTH_PORT} redirect to :{MESH_HEALTH_PORT}"
    local = f'oifname "lo" meta skuid != {MESH_USER} {to} dnat to :{TRAFFIC_PORT}'
    return _table(
        _chain("health", "prerouting", _FIRST, own),
        _chain("inbound", "prerouting", _LAST, f"{to} redirect to :{TRAFFIC_PORT}"),
        _chain("local", "output", _LAST, local),
    )


def _to(ports: Iterable[int]) -> str:
    return f"tcp dport {{ {', '.join(map(str, ports))} }}"


def _chain(name: str, hook: str, priority: str, rule: str) -> str:
    return f" chain {name} {{ type nat hook {hook} priority {priority}; policy accept; {rule}; }};"


def _table(*chains: str) -> str:
    """Return the table, so that a second run changes nothing."""
    return (
        "table inet sealyard; flush table inet sealyard;"
        f" table inet sealyard {{{''.join(chains)} }}"
    )
