"""The channel between a supervisor and a worker: JSON messages over a socket pair."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from typing import Any, Final

from ...core.errors import (
    ConfigurationError,
    InternalError,
    KeyMakerBusy,
    KeyringError,
    KeyUnavailable,
    NotErasable,
    OpenFailed,
    OperatorError,
    ParticipantError,
    ParticipantsUnavailable,
    RestartNeeded,
    SealyardError,
    UnfitEnvironment,
    UnknownParticipantKey,
)
from ...keys.keyring.roots import passphrase
from ...process.hardening import overwrite

_LENGTH: Final = struct.Struct("!I")
_MOST_BYTES: Final = 64 * 1024 * 1024
_PLAIN: Final[dict[str, type[SealyardError]]] = {
    error.code: error
    for error in (
        InternalError,
        KeyMakerBusy,
        KeyUnavailable,
        KeyringError,
        NotErasable,
        OpenFailed,
        OperatorError,
        ParticipantError,
        ParticipantsUnavailable,
        UnfitEnvironment,
        UnknownParticipantKey,
    )
}
_LISTS: Final[dict[str, type[ConfigurationError]]] = {
    error.code: error for error in (ConfigurationError, RestartNeeded)
}


class Channel:
    """One end. Both ends are processes of the same version, and nobody else can reach it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message; raise ConnectionError when the other end is gone."""
        data = json.dumps(message).encode()
        self._writer.write(_LENGTH.pack(len(data)) + data)
        await self._writer.drain()

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message, or None when the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > _MOST_BYTES:
                return None
            message: dict[str, Any] = json.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    def close(self) -> None:
        """Let the other end know that there is no more."""
        self._writer.close()


async def connect(sock: socket.socket) -> Channel:
    """Return the channel over one end of a socket pair, which it then owns."""
    return Channel(*await asyncio.open_connection(sock=sock))


def error_to_json(error: SealyardError) -> dict[str, Any]:
    """Return an error for the other end."""
    problems = list(error.problems) if isinstance(error, ConfigurationError) else []
    return {
        "code": error.code,
        "reason": error.reason,
        "detail": error.detail,
        "problems": problems,
    }


def error_from_json(value: dict[str, Any]) -> SealyardError:
    """Return the error that the other end met."""
    code = value["code"]
    if code in _LISTS:
        return _LISTS[code](tuple(value["problems"]))
    return _PLAIN.get(code, InternalError)(value["reason"], detail=value["detail"])


# What a pipe takes while nobody reads (pipe(7)): whoever offers must not wait for the worker.
_MOST_SECRET_BYTES: Final = 65_536


def offer() -> int | None:
    """Return what the worker reads it from, to be passed on and closed; None where it is nothing.

    Raises InternalError where it is more than a pipe holds.
    """
    data = passphrase.handed_over()
    try:
        if not data:
            return None
        if len(data) > _MOST_SECRET_BYTES:
            raise InternalError("too-many-passphrases")
        ours, theirs = os.pipe()
        try:
            os.write(theirs, data)
        finally:
            os.close(theirs)
        return ours
    finally:
        overwrite(data)


def accept(descriptor: int) -> None:
    """Take over what the supervisor has offered."""
    buffer = bytearray(_MOST_SECRET_BYTES)
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
