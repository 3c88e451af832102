from __future__ import annotations

import pytest

from proxy.injector.annotations import pod_options
from proxy.injector.pod_reader import CannotInject, Json
from proxy.injector.ports import Sealed, declared, resolve, sealed
from tests.injector.pods import SETTINGS, a_container


def chosen(containers: list[Json], **annotations: str) -> Sealed:
    """Return the ports that these annotations seal."""
    written = {f"sealyard.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return sealed(containers, [], pod_options(written, SETTINGS))


def two_ports() -> Json:
    """Return a container with a port for messages, one for metrics and one that is not TCP."""
    return {
        "name": "web",
        "ports": [
            {"name": "http", "containerPort": 8080},
            {"name": "metrics", "containerPort": 9000, "protocol": "TCP"},
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        ],
    }


def test_all_tcp_ports_of_the_first_container_are_sealed() -> None:
    assert chosen([two_ports(), a_container("logs", 7000)]).numbers == (8080, 9000)


def test_ports_are_chosen_by_number_or_name() -> None:
    assert chosen([two_ports(), a_container("logs", 7000)], ports="metrics, 7000").numbers == (
        7000,
        9000,
    )


def test_a_port_that_nobody_declares_may_be_named() -> None:
    assert chosen([{"name": "web"}], ports="3000").numbers == (3000,)


def test_excluded_ports_stay_open() -> None:
    assert chosen([two_ports()], exclude_ports="metrics").numbers == (8080,)


@pytest.mark.parametrize("ports", ["nothing", "dns", "53"])
def test_what_is_no_tcp_port_cannot_be_sealed(ports: str) -> None:
    with pytest.raises(CannotInject):
        chosen([two_ports()], ports=ports)


def test_a_name_of_two_ports_cannot_be_meant() -> None:
    with pytest.raises(CannotInject):
        chosen([a_container("web", 1), a_container("api", 2)], ports="http")


def test_an_application_never_gets_a_port_that_is_taken() -> None:
    apps = [a_container("web", 5080), a_container("logs", 25080)]

    assert chosen(apps, interception="port-env").moved == 35080


def test_a_reference_is_resolved_within_its_container() -> None:
    known = declared([a_container("web", 1), a_container("api", 2)])

    assert resolve("http", "api", known) == 2
    assert resolve("8080", "api", known) == 8080
    assert resolve("grpc", "api", known) is None
    assert resolve(True, "api", known) is None  # noqa: FBT003 - JSON may hold it
