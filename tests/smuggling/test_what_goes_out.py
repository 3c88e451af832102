"""Whatever comes in, what goes to the origin has one reading, and it is the client's."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.smuggling.parsers import Read
from tests.smuggling.sending import Outcome, lane

TOKEN = "!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
RISKY_NAMES = (
    "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Via", "Expect", "Forwarded",
    "X-Forwarded-For", "Content-Type", "Content-Encoding", "Accept", "Cookie", "Cookie",
)  # fmt: skip
RISKY_VALUES = (
    "", "close", "keep-alive", "Content-Length", "Host, Transfer-Encoding", "chunked", "trailers",
    "h2c", "websocket", "100-continue", "5", "a\tb", "a, b", '"q\\"q"', "caf\xe9", "\xff\xfe",
)  # fmt: skip

names = st.sampled_from(RISKY_NAMES) | st.text(TOKEN, min_size=1, max_size=12)
values = st.sampled_from(RISKY_VALUES) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20
)
headers = st.lists(st.tuples(names, values), max_size=8)
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X-ODD"])
targets = st.text("abc/.%2eE~;=:@!,-_'()*&", max_size=20).map(lambda text: "/" + text)
queries = st.none() | st.text("abc/?%=&+;:@[]{}|\"'<>^`", max_size=20)
chunks = st.lists(st.binary(min_size=1, max_size=40), max_size=5)

FRAMING = {"content-length", "transfer-encoding", "host"}


def a_request(
    method: str,
    target: str,
    pairs: list[tuple[str, str]],
    pieces: list[bytes],
    *,
    chunked: bool,
) -> bytes:
    """Return the bytes of a request, its body framed by length or in chunks."""
    lines = [f"{method} {target} HTTP/1.1", "Host: h"]
    lines += [f"{name}: {value}" for name, value in pairs if name.lower() not in FRAMING]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        body = b"".join(pieces)
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def _exchange(raw: bytes) -> Outcome:
    async with lane() as through:
        return await through.send([raw])


@settings(max_examples=150, deadline=None)
@given(method=methods, target=targets, query=queries, pairs=headers, pieces=chunks,
       chunked=st.booleans())  # fmt: skip
def test_two_parsers_read_alike_what_was_forwarded(
    method: str,
    target: str,
    query: str | None,
    pairs: list[tuple[str, str]],
    pieces: list[bytes],
    *,
    chunked: bool,
) -> None:
    whole = target if query is None else f"{target}?{query}"
    # Disagreements of the two parsers, and requests that do not end, fail inside of `send`.
    outcome = asyncio.run(_exchange(a_request(method, whole, pairs, pieces, chunked=chunked)))

    assert len(outcome.requests) <= 1
    assert len(outcome.requests) == len(outcome.logged)
    for read in outcome.requests:
        assert read.method == method.encode()
        assert read.body == b"".join(pieces)
        assert read.target.partition(b"?")[2] == (query or "").encode()


@settings(max_examples=60, deadline=None)
@given(bodies=st.lists(st.tuples(chunks, st.booleans()), min_size=2, max_size=6))
def test_requests_in_one_packet_stay_as_many_as_they_were(
    bodies: list[tuple[list[bytes], bool]],
) -> None:
    raw = b"".join(
        a_request("POST", f"/{number}", [], pieces, chunked=chunked)
        for number, (pieces, chunked) in enumerate(bodies)
    )
    outcome = asyncio.run(_exchange(raw))

    assert outcome.requests == tuple(
        Read(b"POST", f"/{number}".encode(), b"".join(pieces))
        for number, (pieces, _) in enumerate(bodies)
    )
