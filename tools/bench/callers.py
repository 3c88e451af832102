"""`python -m tools.bench.callers`: what it costs a request to know who sends it, in process.

Microseconds of CPU time, the least of nine rounds and the median: with a token that is known, and
with one that is verified now. The goals are 4 and 200.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from proxy.traffic.callers.callers import Callers
from proxy.traffic.http1.forwarding_headers import Peer
from proxy.traffic.http1.gate import RawRequest
from tests.traffic.callers.issuers import EVERY, signed, verifying
from tools.raw_requests import raw_request

from .timing import measure

_PEER: Final = Peer("192.0.2.7")


def main() -> None:
    """Measure each algorithm and print the table."""
    sys.stdout.write("| token | known, least | median | first, least | median |\n")
    sys.stdout.write("|---|--:|--:|--:|--:|\n")
    for alg in EVERY:
        callers, raw = verifying(), _request(signed(alg=alg))
        known = measure(_known(callers, raw), seconds=0.05)
        first = measure(partial(_first, callers, raw), seconds=0.05)
        figures = (known.least, known.median, first.least, first.median)
        sys.stdout.write(f"| {alg} | {' | '.join(f'{one:.2f}' for one in figures)} |\n")


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


if __name__ == "__main__":
    main()
