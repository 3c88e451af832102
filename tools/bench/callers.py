"""What it costs a request to know who sends it, in process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from proxy.traffic.callers.callers import Callers
from proxy.traffic.http1.forwarding_headers import Peer
from proxy.traffic.http1.gate import RawRequest
from tests.traffic.callers.issuers import signed, verifying
from tools.raw_requests import raw_request

_PEER: Final = Peer("192.0.2.7")


def cases() -> list[tuple[str, float | None, Callable[[], object]]]:
    """Return what is measured: its name, the goal in microseconds of CPU, and what it does."""
    found: list[tuple[str, float | None, Callable[[], object]]] = []
    for alg in ("EdDSA", "ES256", "PS256", "RS256"):
        callers, raw = verifying(), _request(signed(alg=alg))
        found.append((f"callers: a token that is known, {alg}", 4.0, _known(callers, raw)))
        first = partial(_first, verifying(), raw)
        found.append((f"callers: a token that is verified, {alg}", 200.0, first))
    return found


def _request(token: str) -> RawRequest:
    headers = (
        (b"Host", b"localhost:8080"),
        (b"User-Agent", b"a client of the usual kind"),
        (b"Accept", b"application/json"),
        (b"Authorization", b"Bearer " + token.encode()),
    )
    return raw_request("GET", "/api/messages", (1, 1), headers)


def _known(callers: Callers, raw: RawRequest) -> Callable[[], object]:
    _first(callers, raw)
    return lambda: callers.known(callers.presented(callers.earned(raw, _PEER), _PEER))


def _first(callers: Callers, raw: RawRequest) -> object:
    """Verify a token as if it were new; no key is missing, so that nothing is waited for."""
    callers.forget()
    verifying_now = callers.verified(callers.presented(raw, _PEER), "192.0.2.7")
    try:
        verifying_now.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError
