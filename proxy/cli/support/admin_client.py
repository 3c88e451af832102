"""Requests of commands to the admin listener of a running Sealyard."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncGenerator, Container
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import click

from ...admin.auth.tokens import token_bytes
from ...config.settings import AdminSettings, SecretReference, TcpAddress, UnixAddress
from ..policy import ANSWER_SECONDS, CONNECT_SECONDS, ExitCode
from . import console
from .configuration import load_configuration

_STATUSES: Final = {
    401: "the admin token is not valid there; give --token-file",
    403: "this token lacks the permission `read`; give --token-file of another",
    429: "too many requests; try again later",
}
_NO_JSON: Final = (
    "the answer is not a JSON object, as Sealyard gives it: check which program listens there, and"
    " which address `admin.listen` names"
)
_ANYWHERE: Final = frozenset({"*", "0.0.0.0", "::"})  # noqa: S104 - where it listens, not this process

token_file_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="A file with a token that may `read`; default: the first token of the configuration.",
)
ca_option = click.option(
    "--ca",
    type=click.Path(path_type=Path),
    help="CA certificates that verify an admin listener with TLS; default: those of the system.",
)


class AdminListener:
    """The admin listener that a configuration names, and a token for it."""

    def __init__(self, config: Path | None, token_file: Path | None, ca: Path | None) -> None:
        """Read configuration and token.

        Raises Failure where there is no such listener, or no token for it.
        """
        admin = load_configuration(config).settings.admin
        if admin is None:
            raise console.Failure(
                "the configuration has no `admin` listener; write `admin: {listen:"
                ' "127.0.0.1:9901", token: {file: admin.token}}`',
                ExitCode.ENVIRONMENT,
            )
        self._admin = admin
        self._token = _token(admin, token_file)
        self._ca = ca
        self.address = str(admin.listen)

    @asynccontextmanager
    async def get(
        self, path: str, *, missing: str = "no such page", accepted: Container[int] = (200,)
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Request a path and yield the response, whose body may be endless.

        Raises Failure for no response (`ExitCode.ENVIRONMENT`) or one of another status than those
        `accepted` (`ExitCode.NEGATIVE`); `missing` says what a 404 means.
        """
        connector, authority = _target(self._admin)
        secured = self._admin.tls is not None
        trust = ssl.create_default_context(cafile=self._ca) if secured else True
        url = f"{'https' if secured else 'http'}://{authority}{path}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(url, headers=headers, ssl=trust) as answer,
            ):
                if answer.status not in accepted:
                    known = {**_STATUSES, 404: missing}.get(answer.status)
                    reason = known or f"status {answer.status}"
                    raise console.Failure(f"{self._admin.listen}: {reason}")
                yield answer
        except aiohttp.ClientError:
            raise console.Failure(
                f"{self._admin.listen}: no response, or the connection broke; does `sealyard serve`"
                " run with this configuration?",
                ExitCode.ENVIRONMENT,
            ) from None

    def asked(self, path: str) -> dict[str, Any]:
        """Return the JSON object at a path; raise as `get` does. No event loop may be running.

        Raises Failure also where the answer takes longer than `ANSWER_SECONDS`, or is no such
        object.
        """

        async def ask() -> bytes:
            async with asyncio.timeout(ANSWER_SECONDS), self.get(path) as answer:
                return await answer.read()

        try:
            told = json.loads(asyncio.run(ask()))
        except TimeoutError:
            reason = f"no response within {ANSWER_SECONDS:g} s"
        except (ValueError, RecursionError):
            reason = _NO_JSON
        else:
            if isinstance(told, dict):
                return told
            reason = _NO_JSON
        raise console.Failure(f"{self._admin.listen}: {reason}", ExitCode.ENVIRONMENT)


def _token(admin: AdminSettings, file: Path | None) -> str:
    if file is not None:
        reference = SecretReference(file=file)
    elif admin.tokens:
        reference = admin.tokens[0].secret
    else:
        raise console.Failure(
            "the configuration has no admin token: give --token-file", ExitCode.USAGE
        )
    return token_bytes(reference, os.environ).decode("ascii")


def _target(admin: AdminSettings) -> tuple[aiohttp.BaseConnector | None, str]:
    if isinstance(admin.listen, UnixAddress):
        return aiohttp.UnixConnector(str(admin.listen.path)), "localhost"
    anywhere = admin.listen.host in _ANYWHERE
    return None, str(TcpAddress("127.0.0.1", admin.listen.port) if anywhere else admin.listen)
