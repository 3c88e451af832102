"""The channel between a supervisor and a worker: JSON messages over a socket pair."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from typing import Any, Final

from ...config.settings import Settings
from ...core import errors
from ...core.errors import ConfigurationError, InternalError, SealyardError
from ...keys.keyring.roots import passphrase
from ...process.hardening import overwrite
from ..policy import CHANNEL_BYTES, SECRET_BYTES

_LENGTH: Final = struct.Struct("!I")


class Channel:
    """One end. Both ends run the same version, and no other process can reach it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message; raise ConnectionError when the other end is gone."""
        if self._writer.is_closing():  # uvloop's transports raise RuntimeError then
            raise ConnectionResetError("the channel is closed")
        data = json.dumps(message).encode()
        self._writer.write(_LENGTH.pack(len(data)) + data)
        await self._writer.drain()

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message, or None when the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > CHANNEL_BYTES:
                return None
            message: dict[str, Any] = json.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    def close(self) -> None:
        """Close this end; the other reads the end of the stream."""
        self._writer.close()


async def connect(sock: socket.socket) -> Channel:
    """Return the channel over one end of a socket pair, which it then owns."""
    return Channel(*await asyncio.open_connection(sock=sock))


def error_to_json(error: SealyardError) -> dict[str, Any]:
    """Return an error for the other end."""
    problems = list(error.problems) if isinstance(error, ConfigurationError) else []
    return {
        "kind": type(error).__name__,
        "reason": error.reason,
        "detail": error.detail,
        "problems": problems,
    }


def error_from_json(value: dict[str, Any]) -> SealyardError:
    """Return the error that the other end met."""
    kind: type[SealyardError] = getattr(errors, value["kind"], InternalError)
    if issubclass(kind, ConfigurationError):
        return kind(tuple(value["problems"]))
    return kind(value["reason"], detail=value["detail"])


def pass_secrets() -> int | None:
    """Return a pipe with the passphrases for a worker, to pass on and close; None without any.

    Raises InternalError where they exceed the capacity of a pipe.
    """
    data = passphrase.handed_over()
    try:
        if not data:
            return None
        if len(data) > SECRET_BYTES:
            raise InternalError("too-many-passphrases")
        ours, theirs = os.pipe()
        try:
            os.write(theirs, data)
        finally:
            os.close(theirs)
        return ours
    finally:
        overwrite(data)


def secrets_to_json(settings: Settings) -> str:
    """Return the passphrases, and what shares gave, for a worker that runs.

    Empty where operators hand in no shares: then it has had all of them since it was spawned.
    """
    if all(one.kind != "shares" for one in settings.keys.keyring.roots):
        return ""
    data = passphrase.handed_over()
    try:
        return base64.b64encode(data).decode()
    finally:
        overwrite(data)


def secrets_from_json(text: str) -> None:
    """Take what the supervisor has by now, if it sends any."""
    passphrase.take_over(bytearray(base64.b64decode(text)))


def receive_secrets(descriptor: int) -> None:
    """Read the passphrases that the supervisor passed on, and close the pipe."""
    buffer = bytearray(SECRET_BYTES)
    try:
        with memoryview(buffer) as view:
            size = 0
            while read := os.readv(descriptor, [view[size:]]):
                size += read
            data = bytearray(view[:size])
    finally:
        overwrite(buffer)
        os.close(descriptor)
    passphrase.take_over(data)
