from __future__ import annotations

import pytest

from proxy.traffic.http1.boundaries import EventBoundaries, streams_events


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n"])
def test_an_event_ends_with_an_empty_line_wherever_it_is_cut(end: bytes) -> None:
    stream = b"data: x" + end
    for cut in range(1, len(stream)):
        boundaries = EventBoundaries()
        boundaries.pass_by(stream[:cut])
        assert not boundaries.at_boundary
        assert boundaries.last_boundary(stream[cut:] + b"data") == len(stream) - cut


def test_before_the_first_event_none_has_begun() -> None:
    assert EventBoundaries().at_boundary


def test_without_an_end_there_is_no_boundary() -> None:
    boundaries = EventBoundaries()
    boundaries.pass_by(b"a\n\n")

    assert boundaries.at_boundary
    assert boundaries.last_boundary(b"data: x\n") == 0


@pytest.mark.parametrize(
    ("kind", "streams"),
    [(b"Text/Event-Stream; charset=utf-8", True), (b"text/plain", False), (None, False)],
)
def test_streams_of_events(kind: bytes | None, *, streams: bool) -> None:
    headers = () if kind is None else ((b"content-type", kind),)

    assert streams_events(headers) == streams
