from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.websocket.frames import FrameBoundaries, going_away


def a_frame(payload: bytes, *, opcode: int = 2, masked: bool = False) -> bytes:
    size = len(payload)
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | opcode, mask | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, mask | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, mask | 127)) + size.to_bytes(8, "big")
    return head + (b"mask" if masked else b"") + payload


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 125, 126, 300, 65536]), st.booleans()), max_size=5),
    st.lists(st.integers(1, 400), max_size=20),
)
def test_boundaries_are_where_frames_end(sizes: list[tuple[int, bool]], cuts: list[int]) -> None:
    frames = [a_frame(bytes(size), masked=masked) for size, masked in sizes]
    stream = b"".join(frames)
    ends = {sum(map(len, frames[:count])) for count in range(len(frames) + 1)}
    boundaries = FrameBoundaries()
    position = 0

    for cut in [*cuts, len(stream)]:
        boundaries.pass_by(stream[position : position + cut])
        position = min(position + cut, len(stream))
        assert boundaries.at_boundary == (position in ends)
    assert not boundaries.closed


def test_the_way_to_the_next_boundary() -> None:
    boundaries = FrameBoundaries()
    boundaries.pass_by(a_frame(b"abcd")[:3])

    assert boundaries.to_boundary(b"bcd" + a_frame(b"x")) == 3
    assert boundaries.at_boundary


def test_a_close_frame_is_noticed() -> None:
    boundaries = FrameBoundaries()
    boundaries.pass_by(a_frame(b"x") + a_frame(b"\x03\xe8", opcode=8))

    assert boundaries.closed


def test_a_goodbye_is_a_frame() -> None:
    assert going_away(masked=False) == a_frame(b"\x03\xe9", opcode=8)
    hidden = going_away(masked=True)
    assert hidden[:2] == b"\x88\x82"
    assert bytes(a ^ b for a, b in zip(hidden[6:], hidden[2:6], strict=False)) == b"\x03\xe9"


def test_many_small_frames_take_little_time() -> None:
    boundaries = FrameBoundaries()

    boundaries.pass_by(a_frame(b"") * 200_000)

    assert boundaries.at_boundary
