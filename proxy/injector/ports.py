"""The ports of a pod, and which of them are sealed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .annotations import OWN_PORTS, PodOptions
from .pod_reader import HIGHEST_PORT, CannotInject, Json, objects, port, text

_TCP: Final = "TCP"
_SHIFTS: Final = (10000, 20000, 30000, -10000, -20000)
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
    """The ports whose traffic passes the sidecar, in ascending order.

    `moved` is the new port of the application, 0 where it keeps its own.
    """

    numbers: tuple[int, ...]
    moved: int = 0
    container: str = ""

    def behind(self, number: int) -> int:
        """Return the port on 127.0.0.1 where the application serves `number`."""
        return self.moved or number


def declared(containers: Iterable[Json]) -> tuple[Declared, ...]:
    """Return every port that the containers declare."""
    return tuple(
        Declared(container["name"], number, text(one, "name"), _is_tcp(one))
        for container in containers
        for one in objects(container, "ports")
        if (number := port(one.get("containerPort"))) is not None
    )


def resolve(reference: object, container: str, known: Iterable[Declared]) -> int | None:
    """Return the number of a port of one container, given as a number or by name."""
    if isinstance(reference, str) and not reference.isdecimal():
        found = [one for one in known if one.container == container and one.name == reference]
        return found[0].number if found else None
    return port(int(reference) if isinstance(reference, str) else reference)


def sealed(applications: Sequence[Json], others: Sequence[Json], options: PodOptions) -> Sealed:
    """Return the sealed ports of the application's containers; `others` are the native sidecars.

    Raises CannotInject where there are none, or where two containers declare the same.
    """
    known = declared(applications)
    all_ports = known + declared(others)
    numbers = _requested(applications, known, options)
    problems = [
        f"port {one.number} of container {one.container} is reserved for Sealyard"
        for one in all_ports
        if one.number in OWN_PORTS and one.tcp
    ]
    for number in numbers:
        claims = {one.container for one in all_ports if one.number == number and one.tcp}
        if len(claims) > 1:
            problems.append(f"port {number} is declared by {' and '.join(sorted(claims))}")
        if number in OWN_PORTS and not claims:
            problems.append(f"port {number} cannot be sealed: it is reserved for Sealyard")
    if problems:
        raise CannotInject(*dict.fromkeys(problems))
    if options.interception == "redirect":
        return Sealed(numbers)
    return _moved(numbers, applications, all_ports)


def _requested(
    applications: Sequence[Json], known: Sequence[Declared], options: PodOptions
) -> tuple[int, ...]:
    if options.ports is None:
        first = applications[0]["name"]
        found = {one.number for one in known if one.container == first and one.tcp}
    else:
        found = _numbers(options.ports, known)
    found -= _numbers(options.excluded, known)
    if not found:
        raise CannotInject(
            "no port to seal: declare a TCP port in the first container"
            " or set the annotation sealyard.io/ports"
        )
    return tuple(sorted(found))


def _numbers(written: Iterable[str], known: Sequence[Declared]) -> set[int]:
    found: set[int] = set()
    problems: list[str] = []
    for one in written:
        matching = [each for each in known if one in {each.name, str(each.number)}]
        numbers = {each.number for each in matching if each.tcp}
        if matching and not numbers:
            problems.append(f"port {one} is not TCP")
        elif len(numbers) > 1:
            problems.append(f"port {one} is the name of several port numbers")
        elif numbers:
            found |= numbers
        elif one.isdecimal():
            found.add(int(one))  # Kubernetes does not require a declaration
        else:
            problems.append(f"no container has a port named {one}")
    if problems:
        raise CannotInject(*problems)
    return found


def _moved(
    numbers: Sequence[int], applications: Sequence[Json], all_ports: Sequence[Declared]
) -> Sealed:
    if len(numbers) > 1:
        raise CannotInject("interception port-env can seal only one port: set sealyard.io/ports")
    number = numbers[0]
    if number < _UNPRIVILEGED:
        raise CannotInject(
            f"interception port-env cannot seal port {number}: only root may listen below 1024"
        )
    owners = [one.container for one in all_ports if one.number == number and one.tcp]
    taken = OWN_PORTS | {one.number for one in all_ports}
    free = (
        number + shift
        for shift in _SHIFTS
        if _UNPRIVILEGED <= number + shift <= HIGHEST_PORT and number + shift not in taken
    )
    moved = next(free, None)
    if moved is None:
        raise CannotInject(f"no free port is left to move the application of port {number} to")
    return Sealed((number,), moved, owners[0] if owners else applications[0]["name"])


def _is_tcp(declaration: Json) -> bool:
    return (text(declaration, "protocol") or _TCP) == _TCP
