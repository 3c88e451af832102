"""Calls of the Kubernetes API server, as the service account of this pod."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from ..core.errors import UnfitEnvironment
from .policy import KUBERNETES_BYTES, KUBERNETES_SECONDS

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts the token and the CA of a pod's service account."""


class CallFailed(Exception):
    """The API server gave no usable answer; `reason` is safe to log."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class ApiServer:
    """One API server, `host` being HOST:PORT. The token is read for each call: it is rotated."""

    host: str
    token: Path
    tls: ssl.SSLContext

    async def call(
        self,
        method: str,
        path: str,
        sent: object = None,
        *,
        kind: str = "application/json",
        most: int = KUBERNETES_BYTES,
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of a 2xx answer of at most `most` bytes, within KUBERNETES_SECONDS.

        Raises CallFailed with the status for any other answer, and without one where there is none.
        """
        try:
            async with asyncio.timeout(KUBERNETES_SECONDS):
                token = (await asyncio.to_thread(self.token.read_bytes)).strip().decode("ascii")
                status, body = await self._exchange(method, path, sent, kind, token, most)
            if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                raise CallFailed(f"status {status}", status)
            return json.loads(body)
        except TimeoutError:
            raise CallFailed(f"no answer within {KUBERNETES_SECONDS:g} s") from None
        except (ClientError, OSError, ValueError, RecursionError) as error:
            raise CallFailed(type(error).__name__) from None

    async def _exchange(  # noqa: PLR0913, PLR0917 - the parts of one call
        self, method: str, path: str, sent: object, kind: str, token: str, most: int
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        body = None
        if sent is not None:
            body, headers["Content-Type"] = json.dumps(sent).encode(), kind
        connector = TCPConnector(ssl=self.tls, force_close=True)
        async with (
            ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=KUBERNETES_SECONDS),
            ) as session,
            session.request(
                method,
                f"https://{self.host}{path}",
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            found = b""
            async for chunk in response.content.iter_any():
                found += chunk
                if len(found) > most:
                    raise CallFailed("the answer is too long", response.status)
            return response.status, found


def trust(authority: Path, reason: str = "kubernetes-api") -> ssl.SSLContext:
    """Return a context that trusts the CA in a file alone.

    Raises UnfitEnvironment(reason), naming the file, where it cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not usable"
        raise UnfitEnvironment(reason, detail=f"{authority}: {why}") from None
    return context


def in_cluster(environ: Mapping[str, str], folder: Path) -> ApiServer:
    """Return the API server of the cluster that this pod runs in; `folder` is as ACCOUNT.

    Raises UnfitEnvironment outside a cluster, and where no service account is mounted.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise UnfitEnvironment("kubernetes-api", detail="KUBERNETES_SERVICE_HOST is not set")
    shown = f"[{host}]" if ":" in host else host
    return ApiServer(f"{shown}:{port}", folder / "token", trust(folder / "ca.crt"))
