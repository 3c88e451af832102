from __future__ import annotations

from proxy.traffic.downstream.connections import PerAddress


def test_each_address_has_its_own_limit() -> None:
    addresses = PerAddress()

    assert [addresses.admits("a", 2), addresses.admits("a", 2), addresses.admits("a", 2)] == [
        True,
        True,
        False,
    ]
    assert addresses.admits("b", 2)


def test_who_leaves_makes_room() -> None:
    addresses = PerAddress()
    for _ in range(2):
        addresses.admits("a", 2)

    addresses.lost("a")

    assert addresses.admits("a", 2)
    assert not addresses.admits("a", 2)


def test_a_socket_without_an_address_is_not_counted() -> None:
    addresses = PerAddress()

    assert all(addresses.admits("", 1) for _ in range(3))
    addresses.lost("")
