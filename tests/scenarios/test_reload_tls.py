from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from tests.scenarios.rig import A_FORM, a_configuration, backend
from tests.scenarios.test_reload import FREQUENT, running


def write_certificate(authority: trustme.CA, folder: Path) -> None:
    """Write a new certificate as a renewal would."""
    made = authority.issue_cert("127.0.0.1")
    (folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(folder / "server.key")
    (folder / "server.key").chmod(0o600)


async def shown(port: int, context: ssl.SSLContext) -> bytes:
    """Return the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(certificate)


async def test_a_renewed_certificate_is_shown_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    write_certificate(authority, tmp_path)
    async with backend() as behind:
        text = a_configuration(behind.port).replace(
            "unmatched: pass", "unmatched: pass\n    tls: {cert: server.pem, key: server.key}"
        )
        async with running(tmp_path, text, interval=FREQUENT) as ours:
            port = ours.sidecar.port("api")
            first = await shown(port, context)
            standing = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            write_certificate(authority, tmp_path)
            await ours.ear.hear("config.loaded")
            second = await shown(port, context)
            (tmp_path / "server.pem").write_text("damaged")
            refused = await ours.ear.hear("config.refused")
            third = await shown(port, context)
            standing[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await standing[0].readline()
            standing[1].close()

    assert first != second
    assert second == third
    assert refused["reason"] == "environment-error"
    assert answer.startswith(b"HTTP/1.1 200")


async def test_callers_of_the_admin_api_need_a_certificate_once_none_is_configured_by_its_name(
    tmp_path: Path,
) -> None:
    """With `clients`, a caller without a certificate may have a token."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # in which the server ends the handshake
    authority.configure_trust(context)
    write_certificate(authority, tmp_path)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    admin = "token: {file: admin.token}"
    alone = f"{admin}, tls: {{cert: server.pem, key: server.key, client_ca: ca.pem}}"
    clients = f"{alone}, clients: [{{name: ops, subject: CN=ops, scopes: [read]}}]"
    with_clients = a_configuration(1).replace(admin, clients)
    async with running(tmp_path, with_clients) as ours:
        port = ours.service.admin.port("admin")
        first = await shown(port, context)
        ours.file.write_text(a_configuration(1).replace(admin, alone))
        assert (await ours.service.reload("admin")).accepted
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(port, context)
        ours.file.write_text(with_clients)
        assert (await ours.service.reload("admin")).accepted
        assert await shown(port, context) == first


async def test_an_upstream_that_was_left_is_closed_once_nobody_uses_it(tmp_path: Path) -> None:
    async with (
        backend() as old,
        backend() as new,
        running(tmp_path, a_configuration(old.port)) as ours,
    ):
        await ours.send()
        left = ours.sidecar.lanes["api"].lane.upstream
        ours.file.write_text(a_configuration(new.port))
        await ours.service.reload("admin")
        await ours.send()
        async with asyncio.timeout(20):
            while ours.sidecar.lanes["api"].retired:  # noqa: ASYNC110 - what is told of nowhere
                await asyncio.sleep(0.05)

        assert left is not ours.sidecar.lanes["api"].lane.upstream

    assert (old.forms(), new.forms()) == ({A_FORM}, {A_FORM})
