from __future__ import annotations

import pytest

from proxy.injector.annotations import InjectorSettings, pod_options
from proxy.injector.pod_reader import CannotInject, Json
from proxy.injector.ports import Sealed, declared, resolve, sealed
from tests.injector.pods import SETTINGS, a_container


def chosen(
    containers: list[Json], settings: InjectorSettings = SETTINGS, **annotations: str
) -> Sealed:
    """Return the ports that these annotations seal."""
    written = {f"sealyard.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return sealed(containers, [], pod_options(written, settings))


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


def test_all_declared_tcp_ports_are_sealed() -> None:
    assert chosen([a_container("logs", 7000), two_ports()]).numbers == (7000, 8080, 9000)


def test_ports_of_native_sidecars_are_sealed_too() -> None:
    options = pod_options({}, SETTINGS)

    assert sealed([a_container()], [a_container("beside", 9000)], options).numbers == (8080, 9000)


def test_ports_of_an_earlier_injection_stay_sealed() -> None:
    status = "injected by 1.0, 0123456789ab; listeners=15080,15021; sealed=8080,9000"
    containers = [a_container("helper", 7000), {"name": "web"}]

    assert {8080, 9000} <= set(chosen(containers, status=status).numbers)


@pytest.mark.parametrize("status", ["; sealed=", "; sealed=0", "; sealed=99999", "sealed=80", "x"])
def test_a_status_that_is_not_ours_fixes_nothing(status: str) -> None:
    assert chosen([two_ports()], status=status).numbers == (8080, 9000)


def test_what_is_named_is_sealed_beside_what_is_declared() -> None:
    made = chosen([two_ports()], ports="metrics, 7000")

    assert made.numbers == (7000, 8080, 9000)
    assert made.takes(1)
    assert chosen([two_ports()], ports="metrics", interception="port-env").numbers == (9000,)


def test_a_port_that_nobody_declares_may_be_named() -> None:
    assert chosen([{"name": "web"}], ports="3000").numbers == (3000,)


def test_ports_that_pass_stay_open() -> None:
    options = pod_options({"sealyard.io/pass-ports": "metrics, dns"}, SETTINGS)
    made = sealed([two_ports()], [], options)

    assert (made.numbers, made.passed) == ((8080,), (53, 9000))
    assert [made.takes(one) for one in (8080, 9000, 53, 5)] == [True, False, False, True]


def test_without_a_redirect_only_the_moved_port_is_taken() -> None:
    made = chosen([a_container()], interception="port-env")

    assert [made.takes(one) for one in (8080, 9000)] == [True, False]


@pytest.mark.parametrize("ports", ["nothing", "dns", "53"])
def test_what_is_no_tcp_port_cannot_be_sealed(ports: str) -> None:
    with pytest.raises(CannotInject):
        chosen([two_ports()], ports=ports)


def test_a_name_of_two_ports_seals_both_and_leaves_none_open() -> None:
    containers = [a_container("web", 1), a_container("api", 2)]

    assert chosen(containers, ports="http").numbers == (1, 2)
    with pytest.raises(CannotInject):
        chosen(containers, pass_ports="http")


def test_an_application_never_gets_a_port_that_is_taken() -> None:
    apps = [a_container("web", 5080), a_container("logs", 25080)]

    assert chosen(apps, interception="port-env", ports="5080").moved == 35080


def test_a_reference_is_resolved_within_its_container() -> None:
    known = declared([a_container("web", 1), a_container("api", 2)])

    assert resolve("http", "api", known) == 2
    assert resolve("8080", "api", known) == 8080
    assert resolve("grpc", "api", known) is None
    assert resolve(True, "api", known) is None  # noqa: FBT003 - JSON may hold it


@pytest.mark.parametrize("interception", ["mesh", "redirect"])
def test_a_port_need_not_be_declared_where_all_are_taken(interception: str) -> None:
    made = chosen([{"name": "web"}], interception=interception)

    assert made == Sealed(())
    assert made.takes(8080)
