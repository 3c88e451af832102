"""Keeps the webhook's own certificate: in a Secret, in a file that is served, and in the webhook.

Every replica runs it. The Secret decides: it is replaced under its resourceVersion, so one replica
makes each step and the others take over what it made. The service account needs `get` and `update`
of that one Secret, and `get` and `patch` of that one MutatingWebhookConfiguration.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol

from ..core.errors import KeyringError
from ..keys import private_file
from ..process.kubernetes_api import CallFailed
from ..telemetry.reporter import Reporter
from .policy import KEEPER_CONFLICTS, KEEPER_RETRIES, KEEPER_SECONDS
from .serving_certificate import next_step

_CONFLICTS: Final = {HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}
"""An object that has changed since it was read: of an update, and of a patch with a test."""
_RANDOM: Final = secrets.SystemRandom()


class Calls(Protocol):
    """The API server."""

    async def call(
        self, method: str, path: str, sent: object = None, *, kind: str = "application/json"
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of an answer; raise CallFailed."""


@dataclass(frozen=True, slots=True)
class CertificatePlaces:
    """Where the certificate is kept. `file` gets the certificate and its key, PEM, mode 0600."""

    namespace: str
    secret: str
    webhook: str
    file: Path


class CertificateKeeper:
    """Brings Secret, file and webhook configuration into line, again and again."""

    def __init__(
        self,
        api: Calls,
        places: CertificatePlaces,
        reporter: Reporter,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._places = places
        self._reporter = reporter
        self._now = now
        self._written = b""
        self._failing = ""

    async def first(self) -> None:
        """Return once the certificate is in the file and the webhook configuration trusts it."""
        for delay in _delays():
            if await self._attempt():
                return
            await asyncio.sleep(delay)

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            # Replicas that started together do not ask together.
            await asyncio.sleep(KEEPER_SECONDS * _RANDOM.uniform(0.8, 1.2))
            await self._attempt()

    async def _attempt(self) -> bool:
        try:
            await self._keep()
        except (CallFailed, _Unusable, KeyringError) as error:
            reason = getattr(error, "reason", None) or str(error)
            if reason != self._failing:  # once for each reason, not twice a minute
                self._reporter.report("injector.certificate_failed", reason=reason)
            self._failing = reason
            return False
        self._failing = ""
        return True

    async def _keep(self) -> None:
        # Trusted before it is served.
        held = await self._trusted()
        served = held["tls.crt"] + held["tls.key"]
        if served != self._written:
            await asyncio.to_thread(private_file.write, self._places.file, served)
            self._written = served

    async def _trusted(self) -> dict[str, bytes]:
        """Return the data of the Secret once the webhook configuration has its authorities."""
        for _ in range(KEEPER_CONFLICTS):
            webhook = await self._api.call("GET", self._webhook_path)
            held = await self._secret(_names(webhook), _trusted_by(webhook))
            try:
                await self._publish(webhook, held["ca.crt"])
            except CallFailed as failed:
                if failed.status not in _CONFLICTS:
                    raise
                continue
            return held
        raise _Unusable("the webhook configuration changes all the time")

    async def _secret(self, names: tuple[str, ...], trusted: bytes) -> dict[str, bytes]:
        """Return the data of the Secret after its next step, whoever makes it."""
        for _ in range(KEEPER_CONFLICTS):
            found = await self._api.call("GET", self._secret_path)
            held = _decoded(found)
            made = next_step(held, names, self._now(), trusted)
            if made is None:
                return held
            data = {name: base64.b64encode(value).decode() for name, value in made.items()}
            try:
                await self._api.call("PUT", self._secret_path, {**found, "data": data})
            except CallFailed as failed:
                if failed.status not in _CONFLICTS:
                    raise
                continue  # another replica was faster
            self._reporter.report("injector.certificate_made", waits="next.crt" in made or None)
            return made
        raise _Unusable("the Secret changes all the time")

    async def _publish(self, webhook: dict[str, Any], bundle: bytes) -> None:
        wanted = base64.b64encode(bundle).decode()
        changes = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": wanted}
            for index, one in enumerate(webhook["webhooks"])
            if one["clientConfig"].get("caBundle") != wanted
        ]
        if changes:
            version = webhook["metadata"]["resourceVersion"]
            same = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
            await self._api.call(
                "PATCH", self._webhook_path, [same, *changes], kind="application/json-patch+json"
            )
            self._reporter.report("injector.authority_published", webhooks=len(changes))

    @property
    def _secret_path(self) -> str:
        return f"/api/v1/namespaces/{self._places.namespace}/secrets/{self._places.secret}"

    @property
    def _webhook_path(self) -> str:
        group = "/apis/admissionregistration.k8s.io/v1"
        return f"{group}/mutatingwebhookconfigurations/{self._places.webhook}"


class _Unusable(Exception):
    """An object of the cluster is not as it has to be; the text is safe to log."""


def _names(webhook: object) -> tuple[str, ...]:
    """Return the DNS names by which the API server calls the webhook."""
    try:
        services = {
            (one["clientConfig"]["service"]["name"], one["clientConfig"]["service"]["namespace"])
            for one in webhook["webhooks"]  # type: ignore[index] # TypeError is caught
        }
    except (KeyError, TypeError, IndexError):
        raise _Unusable("the webhook configuration names no Service") from None
    hosts = [f"{name}.{namespace}.svc" for name, namespace in sorted(services)]
    if not hosts:
        raise _Unusable("the webhook configuration has no webhooks")
    return tuple(name for one in hosts for name in (one, f"{one}.cluster.local"))


def _trusted_by(webhook: dict[str, Any]) -> bytes:
    """Return the authorities of the first entry of the webhook configuration."""
    try:
        return base64.b64decode(webhook["webhooks"][0]["clientConfig"].get("caBundle", ""))
    except (ValueError, TypeError, AttributeError):
        return b""


def _decoded(secret: object) -> dict[str, bytes]:
    if not isinstance(secret, dict) or secret.get("type") != "Opaque":
        raise _Unusable("the Secret is not of type Opaque")
    try:
        return {
            name: base64.b64decode(value, validate=True)
            for name, value in (secret.get("data") or {}).items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}  # made anew


def _delays() -> Iterator[float]:
    yield from KEEPER_RETRIES
    while True:
        yield KEEPER_RETRIES[-1]
