"""Changed bytes through a real sidecar: no canary comes out, and nobody sees another request."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.smuggling.parsers import Read, as_logged

from .messages import BEGINNING, MARK, Fuzzer
from .rig import Origin, Rig, leaks, rigged

ROUND = 400
MANY = 5_000_000


def methods(told: Counter[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (method, _), number in told.items():
        found[method] += number
    return found


def seen(origin: Origin) -> Counter[tuple[str, int]]:
    """Return what an origin got since it was last asked."""
    requests, origin.requests = origin.requests, []
    return Counter((as_logged(one.method), len(one.body)) for one in requests)


async def one_round(rig: Rig, fuzzer: Fuzzer) -> int:
    """Send a round; return how many requests got through where everything is ruled."""
    told_ruled, told_passed = await rig.round([fuzzer.next() for _ in range(ROUND)])
    assert rig.process.poll() is None
    assert rig.ruled.leaks == []
    assert (rig.ruled.disagreements, rig.passed.disagreements) == ([], [])
    # What is sealed has another length, so the ruled ones are compared by method and number.
    sealed = seen(rig.ruled)
    assert methods(sealed) == methods(told_ruled)
    assert seen(rig.passed) == told_passed
    return sealed.total()


@pytest.mark.parametrize(
    ("requests", "seconds"),
    [(MANY, 15), pytest.param(MANY, 6600, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
async def test_changed_bytes_leak_nothing_and_are_seen_alike_on_both_sides(
    tmp_path: Path,
    requests: int,
    seconds: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Send so many requests, half of them to each listener, or as many as the time allows."""
    seed = secrets.randbits(32)
    fuzzer, through = Fuzzer(seed), 0
    async with rigged(tmp_path) as rig:
        began = time.monotonic()
        while 2 * fuzzer.made < requests and time.monotonic() < began + seconds:
            try:
                through += await one_round(rig, fuzzer)
            except BaseException as error:
                error.add_note(f"seed {seed}, {fuzzer.made} streams made")
                raise
        took = time.monotonic() - began
    record_property("requests", f"{2 * fuzzer.made:,} in {took:.0f} s, half to each listener")
    record_property("sealed", f"{through:,}")
    assert through > fuzzer.made // 20


@pytest.mark.parametrize(
    ("body", "leak"),
    [
        (b'{"content":"%b"}', True),
        (b'[{"a":{"Content":["x","-%b-"]}}]', True),
        (b'{"content":"x","content":{"y":"%b"}}', True),
        (b'{"\\u0063ontent":"%b"}', True),
        (b"%b", True),
        (b'{"content":"x","conte@t":"%b"}', False),
        (b'{"content":"x"}', False),
    ],
)
def test_a_leak_is_told_from_what_no_rule_selects(body: bytes, *, leak: bool) -> None:
    assert leaks(Read(b"POST", b"/", body.replace(b"%b", BEGINNING + b"0123456789ab"))) is leak


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\nUser-Agent: %b\r\n\r\n", b"GET /?%b HTTP/1.1\r\nHost: h\r\n\r\n"],
)
def test_a_canary_is_in_a_body_and_in_no_head(head: bytes) -> None:
    made = Fuzzer(1)._marked((2 * head) % (MARK, MARK) + b'{"content":"%b"} %b' % (MARK, MARK))
    heads, _, body = made.rpartition(b"\r\n\r\n")
    assert MARK not in made
    assert BEGINNING not in heads
    assert body.startswith(b'{"content":"' + BEGINNING)
    assert body.count(BEGINNING) == 1


async def test_a_leak_would_be_seen(tmp_path: Path) -> None:
    async with rigged(tmp_path, request="encrypt: optional $.other, nothing: pass") as rig:
        with pytest.raises(AssertionError):
            await one_round(rig, Fuzzer(1))
        assert rig.ruled.leaks
