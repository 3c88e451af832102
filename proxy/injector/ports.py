"""The ports of a pod, and which of them are sealed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from .annotations import PodOptions
from .pod_reader import HIGHEST_PORT, CannotInject, Json, objects, port, text
from .policy import MOST_PORTS, PORT_SHIFTS

TUNNEL_PORT: Final = 15008
"""Where the proxy of Istio's ambient mode takes connections from others, under mutual TLS."""

_NOTHING: Final = "no port to seal: declare a TCP port or set the annotation sealyard.io/ports"
_UNPRIVILEGED: Final = 1024


@dataclass(frozen=True, slots=True)
class Declared:
    """One entry of a container's `ports`."""

    container: str
    number: int
    name: str
    tcp: bool


@dataclass(frozen=True, slots=True)
class Sealed:
    """The ports on which the application is known to listen, in ascending order, and their way.

    A redirect takes every TCP port of the pod but those `passed`, which the pod asks for, and those
    `of_mesh`. Without one, `moved` is the new
    port of the application, and its old one, the only number, is the sidecar's.
    """

    numbers: tuple[int, ...]
    moved: int = 0
    container: str = ""
    passed: tuple[int, ...] = ()
    of_mesh: tuple[int, ...] = ()

    @property
    def left(self) -> tuple[int, ...]:
        """The ports that no redirect takes: those that pass, and those that a mesh answers at."""
        return tuple(sorted({*self.passed, *self.of_mesh}))

    def takes(self, number: int) -> bool:
        """Return whether connections from outside to a port reach the sidecar."""
        return number in self.numbers if self.moved else number not in self.left

    def behind(self, number: int) -> int:
        """Return the port on 127.0.0.1 where the application serves `number`."""
        return self.moved or number


def declared(containers: Iterable[Json]) -> tuple[Declared, ...]:
    """Return every port that the containers declare; raise CannotInject above MOST_PORTS."""
    found = tuple(
        Declared(container["name"], number, text(one, "name"), text(one, "protocol") in {"", "TCP"})
        for container in containers
        for one in objects(container, "ports")
        if (number := port(one.get("containerPort"))) is not None
    )
    if len(found) > MOST_PORTS:
        raise CannotInject(f"the containers declare more than {MOST_PORTS} ports")
    return found


def resolve(reference: object, container: str, known: Iterable[Declared]) -> int | None:
    """Return the number of a port of one container, given as a number or by name."""
    if isinstance(reference, str) and not reference.isdecimal():
        found = [one for one in known if one.container == container and one.name == reference]
        return found[0].number if found else None
    return port(int(reference) if isinstance(reference, str) else reference)


def sealed(
    applications: Sequence[Json],
    others: Sequence[Json],
    options: PodOptions,
    mesh_ports: Collection[int] = (),
) -> Sealed:
    """Return the sealed ports of the application's containers; `others` are the native sidecars.

    `mesh_ports` are those where a trusted proxy is probed before the sidecar runs: they pass.
    Raises CannotInject where two containers declare the same port, and where there is none although
    it must be known: to move the application, or since a mesh's proxy calls it on loopback.
    """
    known = declared(applications)
    all_ports = known + declared(others)
    passed = _numbers(options.passed, all_ports, unsealed=True)
    numbers = _requested(all_ports, options, passed)
    problems = [
        f"port {one.number} of container {one.container} is reserved for Sealyard"
        for one in all_ports
        if one.number in options.own_ports and one.tcp
    ]
    claims: dict[int, set[str]] = {number: set() for number in numbers}
    for one in all_ports:
        if one.tcp and one.number in claims:
            claims[one.number].add(one.container)
    for number, holders in claims.items():
        if len(holders) > 1:
            problems.append(f"port {number} is declared by {' and '.join(sorted(holders))}")
        if number in options.own_ports and not holders:
            problems.append(f"port {number} cannot be sealed: it is reserved for Sealyard")
    if problems:
        raise CannotInject(*dict.fromkeys(problems))
    of_mesh = {*mesh_ports, *([TUNNEL_PORT] if options.tunnelled else [])}
    made = Sealed(numbers, passed=tuple(sorted(passed)), of_mesh=tuple(sorted(of_mesh)))
    if options.interception == "port-env":
        return _moved(made, applications, all_ports, options)
    return made


def _requested(known: Sequence[Declared], options: PodOptions, passed: set[int]) -> tuple[int, ...]:
    """Return the ports to seal. Ports of an earlier injection stay sealed.

    Where other webhooks add containers, the place of a container in the pod says nothing.
    """
    # What a name stood for at the first injection is fixed, even if it is declared no more.
    names = {one.name for one in known}
    asked = (
        one for one in options.ports or () if not options.fixed or one.isdecimal() or one in names
    )
    found = {*options.fixed, *options.called, *_numbers(asked, known)}
    if options.ports is None or options.interception != "port-env":
        found |= {one.number for one in known if one.tcp}
    found -= passed
    if not found and (options.interception == "port-env" or options.called_on_loopback):
        raise CannotInject(_NOTHING)
    return tuple(sorted(found))


def _numbers(
    written: Iterable[str], known: Sequence[Declared], *, unsealed: bool = False
) -> set[int]:
    """Return the numbers of ports that are written as numbers or names.

    A name may stand for a port in each of several containers, but not where it leaves them open.
    There it may also stand for none yet: another webhook can add its container later.
    """
    found: set[int] = set()
    problems: list[str] = []
    for one in written:
        matching = [each for each in known if one in {each.name, str(each.number)}]
        numbers = {each.number for each in matching if each.tcp or unsealed}
        if matching and not numbers:
            problems.append(f"port {one} is not TCP")
        elif unsealed and len(numbers) > 1:
            problems.append(f"port {one} is the name of several port numbers")
        elif numbers:
            found |= numbers
        elif one.isdecimal():
            found.add(int(one))  # Kubernetes does not require a declaration
        elif not unsealed:
            problems.append(f"no container has a port named {one}")
    if problems:
        raise CannotInject(*problems)
    return found


def _moved(
    made: Sealed,
    applications: Sequence[Json],
    all_ports: Sequence[Declared],
    options: PodOptions,
) -> Sealed:
    number, *more = made.numbers
    if more:
        raise CannotInject(
            "interception port-env can seal only one port: set sealyard.io/ports or pass-ports"
        )
    if number < _UNPRIVILEGED:
        raise CannotInject(
            f"interception port-env cannot seal port {number}: only root may listen below 1024"
        )
    owners = [one.container for one in all_ports if one.number == number and one.tcp]
    taken = options.own_ports | {one.number for one in all_ports}
    free = (
        number + shift
        for shift in PORT_SHIFTS
        if _UNPRIVILEGED <= number + shift <= HIGHEST_PORT and number + shift not in taken
    )
    moved = next(free, None)
    if moved is None:
        raise CannotInject(f"no free port is left to move the application of port {number} to")
    if not owners:  # nobody declares it: where it was moved before, or else the default container
        variable = {"name": options.port_variable, "value": str(moved)}
        names = [one["name"] for one in applications]
        owners = [
            *(one["name"] for one in applications if variable in objects(one, "env")),
            *(one for one in names if one == options.application),
            *names,
        ]
    return replace(made, moved=moved, container=owners[0])
