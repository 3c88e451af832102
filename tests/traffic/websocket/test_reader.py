"""Bytes of a peer become messages, however they are cut; what breaks the protocol is told."""

from __future__ import annotations

import itertools
import secrets
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.websocket.closing import Breach, check_close, close_payload
from proxy.traffic.websocket.deflate import compress, inflate
from proxy.traffic.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, frame
from proxy.traffic.websocket.reader import FRAGMENT, Arrived, MessageReader

LIMIT = 100_000


def reader(*, masked: bool = False, deflate: bool = False, limit: int = LIMIT) -> MessageReader:
    return MessageReader(masked=masked, limit=limit, deflate=deflate)


def read(data: bytes, one: MessageReader, cuts: list[int] | None = None) -> list[Arrived]:
    found: list[Arrived] = []
    edges = sorted({min(at, len(data)) for at in cuts or []} | {0, len(data)})
    for start, end in itertools.pairwise(edges):
        one.put(data[start:end])
        found.extend(arrived for arrived in iter(one.next, None) if arrived is not FRAGMENT)
    return found


def fragmented(opcode: int, payload: bytes, sizes: list[int], *, masked: bool, rsv: int) -> bytes:
    """Return a message in frames of these sizes, the rest in the last, with a ping between them."""
    out = b""
    at = 0
    for size in sizes:
        part = frame(opcode, payload[at : at + size], masked=masked)
        out += bytes((part[0] & 0x7F | rsv,)) + part[1:] + frame(PING, b"p", masked=masked)
        at, opcode, rsv = at + size, 0, 0
    part = frame(opcode, payload[at:], masked=masked)
    return out + bytes((part[0] | rsv,)) + part[1:]


# RFC 6455 section 5.7 and RFC 7692 section 7.2.3
VECTORS = [
    ("810548656c6c6f", [Arrived(TEXT, b"Hello")], False, False),
    ("818537fa213d7f9f4d5158", [Arrived(TEXT, b"Hello")], True, False),
    ("010348656c80026c6f", [Arrived(TEXT, b"Hello")], False, False),
    ("890548656c6c6f", [Arrived(PING, b"Hello")], False, False),
    ("8a8537fa213d7f9f4d5158", [Arrived(PONG, b"Hello")], True, False),
    ("c107f248cdc9c90700", [Arrived(TEXT, b"Hello", compressed=True)], False, True),
    ("4103f248cd8004c9c90700", [Arrived(TEXT, b"Hello", compressed=True)], False, True),
    ("c10b000500faff48656c6c6f00", [Arrived(TEXT, b"Hello", compressed=True)], False, True),
    ("c108f348cdc9c9070000", [Arrived(TEXT, b"Hello", compressed=True)], False, True),
    (
        "c10df24805000000ffffcac9c90700",
        [Arrived(TEXT, b"Hello", compressed=True)],
        False,
        True,
    ),
    ("8800", [Arrived(CLOSE, b"")], False, False),
    ("880203e8", [Arrived(CLOSE, b"\x03\xe8")], False, False),
]


@pytest.mark.parametrize(("raw", "expected", "masked", "deflate"), VECTORS)
def test_the_examples_of_the_rfcs(
    raw: str, expected: list[Arrived], *, masked: bool, deflate: bool
) -> None:
    data = bytes.fromhex(raw)
    assert read(data, reader(masked=masked, deflate=deflate)) == expected
    every = list(range(len(data)))
    assert read(data, reader(masked=masked, deflate=deflate), every) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from([TEXT, BINARY]),
            st.text(max_size=300),
            st.lists(st.integers(0, 60), max_size=4),
            st.booleans(),
        ),
        max_size=4,
    ),
    st.booleans(),
    st.lists(st.integers(0, 2000), max_size=12),
)
def test_any_fragments_and_cuts_give_the_same_messages(
    messages: list[tuple[int, str, list[int], bool]],
    masked: bool,  # noqa: FBT001 - hypothesis fills them by position
    cuts: list[int],
) -> None:
    data = b""
    expected: list[Arrived] = []
    for opcode, text, sizes, packed in messages:
        payload = text.encode()
        sent = compress(payload, 15) if packed else payload
        data += fragmented(opcode, sent, sizes, masked=masked, rsv=0x40 if packed else 0)
        expected += [Arrived(PING, b"p")] * len(sizes)
        expected.append(Arrived(opcode, payload, packed))
    assert read(data, reader(masked=masked, deflate=True), cuts) == expected


@pytest.mark.parametrize("size", [0, 125, 126, 0xFFFF, 0x10000])
@pytest.mark.parametrize("masked", [False, True])
def test_a_frame_of_every_length_is_read(size: int, *, masked: bool) -> None:
    payload = b"x" * size
    data = frame(BINARY, payload, masked=masked)
    assert read(data, reader(masked=masked)) == [Arrived(BINARY, payload)]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("a100", 1002),  # a reserved bit
        ("c100", 1002),  # compressed, where that was not agreed
        ("8300", 1002),
        ("8f00", 1002),
        ("8000", 1002),  # goes on with nothing
        ("01008100", 1002),  # begins within another
        ("0900", 1002),  # a ping in parts
        ("897e007e", 1002),
        ("8180aabbccdd", 1002),  # masked by a server
        ("827e0005", 1002),  # not the shortest length
        ("827f000000000000ffff", 1002),
        ("827f8000000000000000", 1002),
        ("827f0000000000100000", 1009),
        ("8101ff", 1007),
        ("0102c3a90001ff", 1007),
        ("8101c3", 1007),
        ("880103", 1002),
        ("880203ed", 1002),  # 1005
        ("8802ffff", 1002),
        ("880303e8ff", 1007),
    ],
)
def test_what_breaks_the_protocol_is_told(raw: str, code: int) -> None:
    data = bytes.fromhex(raw)
    for cuts in ([], list(range(len(data)))):
        with pytest.raises(Breach) as caught:
            read(data, reader(), cuts)
        assert caught.value.code == code


def test_a_client_must_mask() -> None:
    with pytest.raises(Breach, match="mask"):
        read(bytes.fromhex("8100"), reader(masked=True))


def test_bad_text_is_told_before_its_message_ends() -> None:
    with pytest.raises(Breach, match="not-utf-8"):
        read(b"\x01\x05ab\xff", reader())
    packed = compress(b"\xff", 15)
    with pytest.raises(Breach, match="not-utf-8"):
        read(bytes((0xC1, len(packed))) + packed, reader(deflate=True))


def test_much_that_is_compressed_is_left_packed_where_that_is_asked_for() -> None:
    one = MessageReader(masked=False, limit=LIMIT, deflate=True, at_once=100)
    text = secrets.token_hex(200).encode()
    little, much = compress(b"little", 15), compress(text, 15)
    data = b"".join(frame(TEXT, part, masked=False, compressed=True) for part in (little, much))
    first, second, third = read(data + frame(TEXT, text, masked=False), one)

    assert first == Arrived(TEXT, b"little", compressed=True)
    assert second == Arrived(TEXT, much, compressed=True, packed=True)
    assert one.unpacked(second) == Arrived(TEXT, text, compressed=True)
    assert third == Arrived(TEXT, text)
    for bad, reason in ((b"\xff" * 200, "compressed-data"), (compress(b"\xff", 15), "not-utf-8")):
        with pytest.raises(Breach, match=reason):
            one.unpacked(Arrived(TEXT, bad, compressed=True, packed=True))


def test_many_small_fragments_are_bounded_together() -> None:
    with pytest.raises(Breach) as caught:
        read(b"\x02\x01x" + b"\x00\x01x" * 10, reader(limit=10))
    assert caught.value.code == 1009


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    bomb = compress(bytes(64 * 1024 * 1024), 15)
    for limit, data in ((LIMIT, bomb), (1 << 30, bomb)):
        with pytest.raises(Breach) as caught:
            inflate(data, limit)
        assert caught.value.code == 1009
    assert inflate(compress(bytes(LIMIT), 9), LIMIT) == bytes(LIMIT)


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x06"])
def test_damaged_compression_is_told(data: bytes) -> None:
    with pytest.raises(Breach):
        inflate(data, LIMIT)


def test_streams_that_say_they_end_are_followed_to_a_bound() -> None:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    final = stream.compress(b"a") + stream.flush()
    assert inflate(final + b"\x00", LIMIT) == b"a"
    assert inflate(final * 3 + b"\x00", LIMIT) == b"aaa"
    with pytest.raises(Breach):
        inflate(final * 20, LIMIT)


def test_nothing_is_read_behind_a_close_frame() -> None:
    one = reader()
    assert read(frame(CLOSE, b"", masked=False) + b"\x81\x01x", one) == [Arrived(CLOSE, b"")]
    one.put(b"\x81\x01x")
    assert one.next() is None
    assert one.closed


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_codes_that_may_be_sent(code: int) -> None:
    check_close(close_payload(code, "why"))


@given(st.binary(max_size=80), st.booleans(), st.booleans())
def test_any_bytes_are_messages_or_a_breach(
    data: bytes,
    masked: bool,  # noqa: FBT001 - hypothesis fills them by position
    deflate: bool,  # noqa: FBT001 - as above
) -> None:
    def outcome(cuts: list[int]) -> tuple[list[Arrived], int]:
        found: list[Arrived] = []
        one = reader(masked=masked, deflate=deflate)
        edges = sorted({*cuts, 0, len(data)})
        try:
            for start, end in itertools.pairwise(edges):
                one.put(data[start:end])
                while (arrived := one.next()) is not None:
                    found.append(arrived)
        except Breach as breach:
            return found, breach.code
        return found, 0

    assert outcome([]) == outcome(list(range(len(data))))
