"""Responses whose heads vary in what no rule reads: each value arrives as it was sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import proxy.core
from proxy.traffic.http1.fast_heads import VARYING

from .both_ways import Echo, a_way, nothing_is_fast, taken_ways
from .test_repeated_heads import _conversations
from .test_same_bytes import a_rulebook


class _Varied(Echo):
    """An echo whose heads have more lines, one after the other."""

    varying: Iterator[bytes]

    def reply(self, body: bytes) -> bytes:
        status, line, rest = super().reply(body).partition(b"\r\n")
        return status + line + next(self.varying) + rest


def _vary(echo: Echo, turns: int) -> None:
    echo.__class__ = _Varied
    assert isinstance(echo, _Varied)
    echo.varying = _varying(turns)


def _varying(turns: int) -> Iterator[bytes]:
    """Yield lines that differ in what no rule reads, and now and then in more than that."""
    for turn in range(turns):
        yield b"\r\n".join(
            [
                b"dATE: Sun, 01 Nov 2026 00:00:%02d GMT" % (turn // 3 % 60),
                b"X-Request-Id: %d" % turn,
                b'Last-Modified: "%d"' % (turn // 4),
                b"X-Request-Id: %d-again" % (turn // 2),
                b"Server: %d" % (turn // 20),
                b"",
            ]
        )


async def test_what_varies_in_the_heads_of_answers_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conversations = list(_conversations())[:20]
    turns = sum(map(len, conversations))
    async with a_way(a_rulebook()) as known, a_way(a_rulebook()) as anew:
        _vary(known.echo, turns)
        _vary(anew.echo, turns)
        with taken_ways(monkeypatch) as taken:
            for messages in conversations:
                remembered = await known.send_in_turn(messages, monkeypatch)
                with nothing_is_fast(monkeypatch):
                    assert remembered == await anew.send_in_turn(messages, monkeypatch)
                answer = remembered.answer
                numbers = [int(one) for one in re.findall(rb"X-Request-Id: (\d+)\r", answer)]
                assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]
                dates = re.findall(rb"dATE: Sun, 01 Nov 2026 00:00:(\d\d) GMT", answer)
                assert dates == [b"%02d" % (number // 3 % 60) for number in numbers]
    assert sum("opened" in one.counts for one in taken) > 20


@pytest.mark.parametrize("name", sorted(VARYING))
def test_nothing_in_the_core_reads_what_varies(name: bytes) -> None:
    core = Path(proxy.core.__file__).parent
    quoted = f'"{name.decode()}"'
    assert not [one for one in core.rglob("*.py") if quoted in one.read_text().lower()]
