"""The admin listener over TLS with certificates of callers, and on a Unix socket."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme

from tests.scenarios import rig
from tests.scenarios.rig import TOKEN, Served
from tests.servers import free_port

_CONFIGURATION = """\
version: 1
keys: {{keyring: {{file: keyring.jwe, key: {{file: root.key}}}}}}
admin:
  listen: "{listen}"
  token: {{file: admin.token}}
{more}
listeners:
  - {{name: api, listen: "127.0.0.1:{port}", upstream: "http://127.0.0.1:9", unmatched: pass}}
"""
_MUTUAL = """\
  tls: {cert: server.pem, key: server.key, client_ca: ca.pem}
  clients: [{name: ops, dns: ops.example, scopes: [read]}]
"""


@contextmanager
def serving(folder: Path, listen: str, more: str = "", admin: int = 0) -> Iterator[Served]:
    rig.write_keys(folder)
    port = free_port()
    text = _CONFIGURATION.format(listen=listen, more=more, port=port)
    with rig.running(folder, text, port=port, admin=admin, health=0) as served:
        yield served


class Authority:
    """Signs the listener's certificate and those of callers."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.other = trustme.CA(), trustme.CA()
        self.folder = folder
        self.ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.renew()

    def renew(self) -> None:
        """Write another certificate for the listener."""
        server = self.ca.issue_cert("127.0.0.1")
        server.private_key_pem.write_to_path(str(self.folder / "server.key"))
        server.cert_chain_pems[0].write_to_path(str(self.folder / "server.pem"))

    def caller(self, name: str = "", *, foreign: bool = False) -> ssl.SSLContext:
        """Return what a caller goes by: with a certificate for `name`, or with none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        if name:
            (self.other if foreign else self.ca).issue_cert(name).configure_cert(context)
        return context


async def status(url: str, tls: ssl.SSLContext | None = None, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.TCPConnector(ssl=tls) if tls is not None else None
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request("POST" if "/-/" in url else "GET", url, headers=headers) as response,
    ):
        return response.status


async def test_a_certificate_is_a_credential_with_scopes_of_its_own(tmp_path: Path) -> None:
    authority, admin = Authority(tmp_path), free_port()
    with serving(tmp_path, f"127.0.0.1:{admin}", _MUTUAL, admin) as ours:
        await ours.event("server.ready")
        url = f"https://127.0.0.1:{admin}"
        ops, nobody = authority.caller("ops.example"), authority.caller("other.example")
        got = {
            "read": await status(f"{url}/v1/config", ops),
            "reload": await status(f"{url}/-/reload", ops),
            "wrong token beside": await status(f"{url}/v1/config", ops, "wrong"),
            "other name": await status(f"{url}/v1/config", nobody),
            "none": await status(f"{url}/v1/config", authority.caller()),
            "token": await status(f"{url}/v1/config", authority.caller(), TOKEN),
        }
        with pytest.raises(aiohttp.ClientError):
            await status(f"{url}/v1/config", authority.caller("ops.example", foreign=True))

    expected = {"read": 200, "reload": 403, "wrong token beside": 401, "other name": 401}
    assert got == {**expected, "none": 401, "token": 200}


async def test_another_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    authority, admin = Authority(tmp_path), free_port()
    with serving(tmp_path, f"127.0.0.1:{admin}", _MUTUAL, admin) as ours:
        await ours.event("server.ready")
        before = ssl.get_server_certificate(("127.0.0.1", admin))
        authority.renew()
        await ours.event("config.loaded", 2)
        after = ssl.get_server_certificate(("127.0.0.1", admin))
        works = await status(f"https://127.0.0.1:{admin}/livez", authority.caller(), TOKEN)

    assert (before != after, works) == (True, 200)


async def test_a_unix_socket_is_for_owner_and_group_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with serving(tmp_path, f"unix:{path}") as ours:
        await ours.event("server.ready")
        mode = path.stat().st_mode & 0o777
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with session.get("http://localhost/v1/config", headers=headers) as response:
                right = response.status
            async with session.get("http://localhost/v1/config") as response:
                wrong = response.status

    assert (mode, right, wrong) == (0o660, 200, 401)
