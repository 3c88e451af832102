"""The proxies that are overloaded, each as its users would protect the backend by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ..peers import envoy, haproxy, nginx, sealyard
from ..peers.base import Peer, Place, fill
from ..ports import free_port

_SEALS: Final = frozenset({"pass", "seal"})
_PASSES: Final = frozenset({"pass"})

_GRADIENT: Final = """\
                  - name: envoy.filters.http.adaptive_concurrency
                    typed_config:
                      "@type": type.googleapis.com/{extension}
                      gradient_controller_config:
                        sample_aggregate_percentile: {value: 50}
                        concurrency_limit_params: {concurrency_update_interval: 0.1s}
                        min_rtt_calc_params: {interval: 60s, request_count: 50, jitter: {value: 10}}
""".replace(
    "{extension}",
    "envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
)
_BREAKERS: Final = """\
      circuit_breakers:
        thresholds:
          - {max_connections: 20, max_pending_requests: 20, max_requests: 40}
"""


_MANAGER: Final = """\
overload_manager:
  refresh_interval: 0.1s
  resource_monitors:
    - name: envoy.resource_monitors.cpu_utilization
      typed_config:
        "@type": type.googleapis.com/{extension}
  actions:
    - name: envoy.overload_actions.stop_accepting_requests
      triggers:
        - name: envoy.resource_monitors.cpu_utilization
          scaled: {scaling_threshold: 0.85, saturation_threshold: 1.0}
    - name: envoy.overload_actions.disable_http_keepalive
      triggers:
        - name: envoy.resource_monitors.cpu_utilization
          threshold: {value: 0.98}
""".replace(
    "{extension}",
    "envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig",
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A peer, how it limits what it asks of the backend, and at which port its probes answer.

    `unlimited` is the same without what would refuse the load that shows its capacity.
    """

    peer: Peer
    limits: str
    probed: int = 0
    probes: tuple[str, ...] = ()
    unlimited: Peer | None = None

    @property
    def name(self) -> str:
        """What it is chosen by."""
        return f"{self.peer.name}, {self.limits}"


def proxies() -> list[Proxy]:
    """Return those that can run here, each with a port of its own for probes."""
    envoys = (one for one in _envoys() if one.limits != "overload manager")
    every = (_sealyard(), *envoys, *_nginxes())
    return [one for one in every if one.peer.absent() is None]


def _sealyard() -> Proxy:
    health = free_port()

    def prepare(place: Place) -> list[str]:
        sealyard.prepare_keys(place)
        fill("sealyard_overload.yaml", place, health=str(health))
        return sealyard.serving(place, name="sealyard_overload.yaml")

    peer = Peer(sealyard.NAME, _SEALS, lambda: None, sealyard.version, prepare)
    return Proxy(peer, "its defaults", health, ("/livez", "/readyz", "/metrics"))


def _envoys() -> list[Proxy]:
    known = envoy.PEERS[0]

    def one(limits: str, filters: str, breakers: str, manager: str = "") -> Proxy:
        admin = free_port()

        def prepare(place: Place) -> list[str]:
            more = {"filters": filters, "breakers": breakers, "manager": manager}
            more["admin"] = str(admin)
            return envoy.serving(fill("envoy_overload.yaml", place, **more))

        peer = Peer(known.name, _PASSES, known.absent, known.version, prepare)
        return Proxy(peer, limits, admin, ("/ready", "/stats/prometheus"))

    return [
        one("adaptive_concurrency, its defaults", _GRADIENT, ""),
        one("circuit breakers: 20 connections, 20 pending", "", _BREAKERS),
        one("its defaults", "", ""),
        one("overload manager", "", "", _MANAGER),
    ]


def for_table() -> list[Proxy]:
    """Return Sealyard, and those that refuse or order by load as it does and can run here."""
    return [one for one in _of_table() if one.peer.absent() is None]


def absent_from_table() -> list[str]:
    """Return why others of them cannot run here."""
    return [f"{one.name}: {why}" for one in _of_table() if (why := one.peer.absent()) is not None]


def _of_table() -> tuple[Proxy, ...]:
    known, admin = haproxy.PEERS[0], free_port()
    plain, managed = _envoys()[-2:]

    def prepare(place: Place) -> list[str]:
        conf = fill("haproxy_overload.cfg", place, admin=str(admin))
        return ["haproxy", "-db", "-f", str(conf)]

    peer = Peer(known.name, _PASSES, known.absent, known.version, prepare)
    return (
        _sealyard(),
        Proxy(peer, "a priority class by rate", admin, ("/ready",)),
        replace(managed, unlimited=plain.peer),
    )


def _nginxes() -> list[Proxy]:
    known = nginx.PEERS[0]

    def one(limits: str, limit: str) -> Proxy:
        def prepare(place: Place) -> list[str]:
            conf = fill("nginx_overload.conf", place, limit=limit)
            return ["nginx", "-p", str(place.folder), "-c", str(conf)]

        return Proxy(Peer(known.name, _PASSES, known.absent, known.version, prepare), limits)

    return [one("limit_conn 40", "limit_conn all 40;"), one("its defaults", "")]
