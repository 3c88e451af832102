from __future__ import annotations

from pathlib import Path

import pytest

from proxy.admin.auth.guard import allowed
from proxy.config.settings import TcpAddress, UnixAddress

LISTEN = TcpAddress("sealyard.internal", 9901)


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("localhost", True),
        ("LOCALHOST:9901", True),
        ("127.0.0.1:9901", True),
        ("10.1.2.3", True),
        ("[::1]:9901", True),
        ("sealyard.internal:9901", True),
        ("attacker.example", False),
        ("localhost.attacker.example", False),
        ("127.0.0.1.attacker.example", False),
        ("localhost@attacker.example", False),
        ("[localhost]", False),
        ("127.0.0.1:port", False),
        ("0x7f.1", False),
        ("", False),
        (None, False),
    ],
)
def test_only_names_that_nobody_can_rebind_are_answered(
    host: str | None, *, answered: bool
) -> None:
    assert allowed(host, LISTEN) is answered


def test_a_unix_socket_is_localhost(tmp_path: Path) -> None:
    assert allowed("localhost", UnixAddress(tmp_path))
    assert not allowed("attacker.example", UnixAddress(tmp_path))
