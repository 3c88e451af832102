"""Verbs about sessions, done in one process as its admin API or a command does them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from proxy.config.settings import KeySettings
from proxy.config.settings.store import StoreSettings
from proxy.core.crypto.context import Scope
from proxy.keys.end_to_end.package_store import PackageStore
from proxy.keys.operations.session_operations import SessionResult
from proxy.keys.operations.verb import At
from proxy.keys.operations.verbs import VERBS
from proxy.keys.sessions.pending_revocations import PendingRevocations
from proxy.keys.sessions.sessions import Sessions


def a_place(sessions: Sessions | None = None, **more: Any) -> At:  # noqa: ANN401 - any part of it
    """Return a place where verbs act that has these parts."""
    parts = dict.fromkeys(
        ("write_down", "keep", "pending", "participants", "packages", "make", "values", "clock")
    )
    settings = KeySettings(cast("Any", None), StoreSettings("redis:"))
    return At(cast("Any", sessions), settings, **cast("Any", parts | more))


class Desk:
    """Takes the sessions of a process, and what writes revocations into the keyring."""

    def __init__(
        self,
        sessions: Sessions,
        keep: Callable[..., None] = lambda *_, **__: None,
        pending: PendingRevocations | None = None,
    ) -> None:
        packages = PackageStore(sessions, clock=sessions.now, notice=lambda _: None)
        parts = {"write_down": sessions.write_down, "keep": keep, "pending": pending}
        self.place = a_place(sessions, packages=packages, **parts)
        self.failed = ""

    async def run(
        self, action: str, scope: Scope, not_before: int = 0, *, after: int | None = None
    ) -> SessionResult:
        """Return the result of a call; `after` is the time that another worker has revoked."""
        verb, given = VERBS[f"sessions.{action}"], {"scope": scope}
        place = self.place
        if after is not None:
            place = replace(place, after={"not_before": after})
        more = {"not_before": not_before} if not_before else {}
        done = await verb.does(place, **given, **more)
        self.failed = done.failed
        answer = dict(done.answer)
        if "store" in answer:
            store = answer.pop("store")
            answer |= {"store": store.pop("master"), **store}
        return SessionResult(**answer)
