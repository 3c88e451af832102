"""Whether an upstream would serve messages: a connection, the TLS of the settings, one request."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from contextlib import suppress
from typing import Final

from ...config.settings import Address, ListenerSettings, TcpAddress, UpstreamTls
from ...core.errors import SealyardError
from ...traffic import tls
from ..policy import PROBE_SECONDS
from . import console

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_STATUS_BYTES: Final = 12
_TLS_ALERT: Final = b"\x15\x03"
"""RFC 8446, section 5.1: how a TLS server begins its answer to what is no handshake."""
_BAD_REQUEST: Final = b"400"
_SPEAKS_TLS: Final = "speaks TLS; write https://"


def fault(listener: ListenerSettings, address: Address) -> str:
    """Return why an upstream at an address serves no message, and what to do; empty if it does.

    It is asked for its options as a whole (RFC 9110, section 9.3.7), which changes nothing there.
    Any answer of HTTP/1.1 is one, also a refusal.
    """
    try:
        context, name = _tls_of(listener)
        return asyncio.run(_fault(address, context, name))
    except SealyardError as error:
        return f"not tried: {console.message(error)}"
    except OSError as error:
        return _not_connected(error)


def _not_connected(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message}; check the certificate there, and `upstream_tls`"
    if isinstance(error, ssl.SSLError):
        return "no TLS handshake; write http:// if it is plain HTTP"
    if isinstance(error, TimeoutError):
        return f"no connection within {PROBE_SECONDS:g} s; check the address, and firewalls"
    if isinstance(error, socket.gaierror):
        return f"{(error.strerror or 'the name is unknown').lower()}; correct the name, or DNS"
    text = os.strerror(error.errno) if error.errno else "cannot be reached"
    return f"{text}; start the backend there"


def _tls_of(listener: ListenerSettings) -> tuple[ssl.SSLContext | None, str | None]:
    """Return what messages have of TLS towards an upstream, and the name that is verified."""
    if not listener.upstream.tls:
        return None, None
    settings = listener.upstream_tls or UpstreamTls()
    return tls.upstream_context(settings), settings.server_name


async def _fault(address: Address, context: ssl.SSLContext | None, name: str | None) -> str:
    answer = await _answer(address, context, name)
    status = None if answer is None else _STATUS.match(answer)
    if status is not None and (context is not None or status[1] != _BAD_REQUEST):
        return ""
    if context is None and ((answer or b"").startswith(_TLS_ALERT) or await _speaks_tls(address)):
        return _SPEAKS_TLS
    if status is not None:
        return ""
    if answer is None:
        return f"accepts connections and answers nothing within {PROBE_SECONDS:g} s; does it hang?"
    if not answer:
        return "closes connections without an answer; read its log"
    return "answers, but not in HTTP/1.1; correct the address"


async def _answer(
    address: Address, context: ssl.SSLContext | None, name: str | None
) -> bytes | None:
    """Return the first bytes that are answered, none for a connection that is closed.

    None for no answer in time. Raises OSError where there is no connection.
    """
    async with asyncio.timeout(PROBE_SECONDS):
        reader, writer = await _connected(address, context, name)
    try:
        host = str(address) if isinstance(address, TcpAddress) else "localhost"
        request = f"OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        async with asyncio.timeout(PROBE_SECONDS):
            return await reader.readexactly(_STATUS_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except TimeoutError:
        return None
    except OSError:  # reset
        return b""
    finally:
        await _close(writer)


async def _speaks_tls(address: Address) -> bool:
    """Return whether a TLS handshake succeeds, whatever the certificate is."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = address.host if isinstance(address, TcpAddress) else "localhost"
    with suppress(OSError):
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await _connected(address, context, name)
        await _close(writer)
        return True
    return False


async def _connected(
    address: Address, context: ssl.SSLContext | None, name: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, TcpAddress):
        return await asyncio.open_connection(
            address.host, address.port, ssl=context, server_hostname=name
        )
    return await asyncio.open_unix_connection(address.path, ssl=context, server_hostname=name)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            await writer.wait_closed()
