from __future__ import annotations

import pytest

from proxy.core.explain.endings import unended
from proxy.core.explain.explanation import PlayedAnswer, Wanted

CHUNKED = (b"Transfer-Encoding", b"Chunked")


def length(value: bytes) -> tuple[bytes, bytes]:
    return (b"content-LENGTH", value)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((), b"{}"),
        ((length(b" 2 "),), b"{}"),
        ((length(b"1"),), b"{}"),
        ((length(b"two"),), b"{}"),
        ((CHUNKED,), b"2\r\n{}\r\n0\r\n\r\n"),
        ((CHUNKED,), b"2;a=b\r\n{}\r\n0\r\nA: b\r\n\r\n"),
        ((CHUNKED,), b"{}"),
        ((CHUNKED,), b"2\r\n{}\r\n{}\r\n"),
        (((b"Transfer-Encoding", b"gzip"),), b""),
    ],
)
def test_a_request_ends_that_has_its_body_or_is_refused(
    headers: tuple[tuple[bytes, bytes], ...], body: bytes
) -> None:
    assert unended(Wanted("POST", "/", headers, body)) is None


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((length(b"3"),), b"{}"),
        ((length(b"5000"),), b""),
        ((length(b"9" * 5000),), b"{}"),
        ((CHUNKED,), b""),
        ((CHUNKED,), b"2"),
        ((CHUNKED,), b"2\r\n{"),
        ((CHUNKED,), b"2\r\n{}\r"),
        ((CHUNKED,), b"2\r\n{}\r\n"),
        ((CHUNKED,), b"2\r\n{}\r\n0\r\n"),
        ((CHUNKED,), b"2\r\n{}\r\n0\r\nA: b\r\n"),
    ],
)
def test_a_request_does_not_end_that_says_it_is_longer_than_its_body(
    headers: tuple[tuple[bytes, bytes], ...], body: bytes
) -> None:
    told = unended(Wanted("POST", "/", headers, body))

    assert told == "its Content-Length or Transfer-Encoding does not fit its body"


@pytest.mark.parametrize(
    ("method", "answer", "ends"),
    [
        ("GET", PlayedAnswer(200, (length(b"2"),), b"{}"), True),
        ("GET", PlayedAnswer(200, (length(b"7"),), b"{}"), False),
        ("HEAD", PlayedAnswer(200, (length(b"7"),), b""), True),
        ("GET", PlayedAnswer(304, (length(b"7"),), b""), True),
    ],
)
def test_a_response_ends_with_its_length(method: str, answer: PlayedAnswer, *, ends: bool) -> None:
    told = unended(Wanted(method, "/", (), b"", answer))

    assert (told is None) == ends
